//! Settings: complete, documented, and refused by name.

use std::collections::HashMap;

use super::*;

/// What every operator has to set.
const MINIMUM: &str = r#"
    [database]
    url = "postgresql://gateway_app:pw@db1,db2/counterfoil?target_session_attrs=read-write"
    vault_url = "postgresql://vault_app:pw@db1/counterfoil"
    [stripe]
    secret_key = "sk_live_1"
    webhook_secret = "whsec_1"
"#;

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables: HashMap<_, _> = variables
        .iter()
        .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
        .collect();
    let environment = environment().source(Some(variables));
    Settings::from_sources(File::from_str(file, FileFormat::Toml), environment).map_err(|error| error.to_string())
}

#[test]
fn the_default_file_has_every_setting_and_the_edge_agrees_with_it() {
    let settings = load(MINIMUM, &[]).expect("complete");
    assert_eq!(
        settings.limits,
        Limits::default(),
        "deploy/config.default.toml and Limits::default()"
    );
    assert_eq!(settings.access, crate::limit::Settings::default());
}

#[test]
fn every_setting_of_the_default_file_has_a_comment_above_it() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for (n, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains(" = ") && !line.starts_with('#'))
    {
        // A group of settings without an empty line between them shares one comment.
        let documented = lines[..n]
            .iter()
            .rev()
            .take_while(|above| !above.is_empty())
            .any(|above| above.starts_with('#'));
        let listener = ["address", "certificate", "key", "client_authorities"]
            .iter()
            .any(|key| line.starts_with(key));
        assert!(documented || listener, "line {}: {line}", n + 1);
    }
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = format!("{MINIMUM}\n[limits]\nbody_bytes = 1000\nidle_ms = 5");
    let settings = load(
        &file,
        &[("COUNTERFOIL__LIMITS__BODY_BYTES", "2000"), ("UNRELATED", "x")],
    )
    .expect("good");
    assert_eq!((settings.limits.body_bytes, settings.limits.idle_ms), (2000, 5));
    assert_eq!(settings.limits.drain_ms, Limits::default().drain_ms);
}

#[test]
fn a_wrong_setting_is_refused_by_name() {
    let set = |line: &str| format!("{MINIMUM}\n{line}");
    type Case<'a> = (String, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (String::new(), &[], "database.url"),
        (set("[limits]\nbody_byte = 1"), &[], "body_byte"),
        (set("[limits]\nidle_ms = \"soon\""), &[], "limits.idle_ms"),
        (set("[limits]\nh2_resets = 0"), &[], "limits.h2_resets"),
        (
            set("[access]\nwrong_keys_per_minute = 0"),
            &[],
            "access.wrong_keys_per_minute",
        ),
        (set("[limits]\nheader_count = 101"), &[], "limits.header_count"),
        (set("[limits]\nbody_memory_bytes = 10"), &[], "limits.body_memory_bytes"),
        (set("[api]\naddress = \"localhost\""), &[], "api.address"),
        (set("[api]\naddress = \"127.0.0.1:9443\""), &[], "ops.address"),
        (set("[seal]\nevery_ms = 0"), &[], "seal.every_ms"),
        (set("[seal]\npage_journals = 70000"), &[], "seal.page_journals"),
        (
            set("[seal]\nheads_copy = \"/var/lib/counterfoil/heads\""),
            &[],
            "seal.heads_copy",
        ),
        (
            set("[alerts]\nsecret = \"s\"\nurls = \"https://a.example/, http://b.example/\""),
            &[],
            "alerts.urls",
        ),
        (set("[alerts]\nurls = \"https://a.example/\""), &[], "alerts.secret"),
        (set("[audit]\nevery_ms = 0"), &[], "audit.every_ms"),
        (set("[audit]\ndirectory = \"/no/where\""), &[], "audit.directory"),
        (set("[audit]\nurl = \"https://10.0.0.1/\""), &[], "audit.secret"),
        (
            set("[audit]\nsecret = \"s\"\nurl = \"http://log.internal:8080/\""),
            &[],
            "audit.url",
        ),
        (
            set("[seal]\npush_urls = \"http://keeper.example/\""),
            &[],
            "seal.push_urls",
        ),
        (set("[seal]\npush_method = \"GET\""), &[], "seal.push_method"),
        (set("[log]\nfilter = \"gateway=shout\""), &[], "log.filter"),
        (set(""), &[("COUNTERFOIL__API__ADRESS", "1.2.3.4:1")], "adress"),
        (set(""), &[("COUNTERFOIL__DATABASE__WRITERS", "0")], "database.writers"),
        (set(""), &[("COUNTERFOIL__DATABASE__URL", "mysql://x")], "database.url"),
        (
            set(""),
            &[("COUNTERFOIL__STRIPE__BASE_URL", "ftp://x")],
            "stripe.base_url",
        ),
        (set(""), &[("COUNTERFOIL__STRIPE__SECRET_KEY", "")], "stripe.secret_key"),
        (set(""), &[("COUNTERFOIL__STRIPE__ENABLED", "false")], "stripe.enabled"),
        (
            set(""),
            &[("COUNTERFOIL__PAYERS__BASE_URL", "pay.example")],
            "payers.base_url",
        ),
        (set("[payouts]\niban = \"DE00370400440532013000\""), &[], "payouts.iban"),
        (set("[payouts]\niban = \"DE89370400440532013000\""), &[], "payouts.name"),
        (
            set("[payouts]\nname = \"P\"\niban = \"DE89370400440532013000\"\nbic = \"X\""),
            &[],
            "payouts.bic",
        ),
        (
            set("[iso8583]\nenabled = true\naddress = \"bank\""),
            &[],
            "iso8583.address",
        ),
        (
            set("[iso8583]\nenabled = true\naddress = \"bank:9000\""),
            &[],
            "iso8583.terminal_id",
        ),
    ];
    for (file, variables, name) in cases {
        let refusal = load(file, variables).expect_err(name);
        assert!(refusal.contains(name), "{name}: {refusal}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let settings = load(MINIMUM, &[]).expect("complete");
    let printed = format!("{settings:?}");
    assert!(!printed.contains("sk_live_1") && !printed.contains(":pw@"), "{printed}");
    let refusal = load(MINIMUM, &[("COUNTERFOIL__DATABASE__URL", "mysql://u:hunter2@h")]).expect_err("refused");
    assert!(!refusal.contains("hunter2"), "{refusal}");
}
