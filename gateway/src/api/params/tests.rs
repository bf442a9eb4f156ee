//! What parameters are read as, and what is refused.

use super::*;

fn form(body: &str) -> Params {
    Params::from_form(body.as_bytes()).expect("reads")
}

#[test]
fn brackets_become_groups_and_lists() {
    let mut params = form("a%5Bb%5D=1&c[0]=x&c[1]=y&d[]=p&d[]=q&m[k%20v]=w+z&empty=");
    assert_eq!(params.group("a").unwrap().unwrap().integer("b").unwrap(), Some(1));
    assert_eq!(params.texts("c").unwrap().unwrap(), ["x", "y"]);
    assert_eq!(params.texts("d").unwrap().unwrap(), ["p", "q"]);
    assert_eq!(params.metadata("m").unwrap().unwrap()["k v"].as_deref(), Some("w z"));
    assert_eq!(params.text_change("empty").unwrap(), Some(None));
    params.finish().unwrap();
}

#[test]
fn bad_numbers_are_refused_with_the_parameter_named() {
    for bad in [
        "1.0",
        "1e3",
        "+1",
        " 1",
        "-0",
        "0x10",
        "9223372036854775808",
        "NaN",
        "1_000",
        "１",
    ] {
        let error = form(&format!("amount={bad}")).amount("amount").expect_err(bad);
        assert_eq!(error.param.as_deref(), Some("amount"), "{bad}");
        assert_eq!(error.status, 400);
    }
    for bad in ["0", "-1", "100000000"] {
        assert!(form(&format!("amount={bad}")).amount("amount").is_err(), "{bad}");
    }
    assert_eq!(form("amount=99999999").amount("amount").unwrap(), Some(99_999_999));
}

#[test]
fn json_is_as_strict() {
    for bad in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":NaN}"#,
        r#"{"a":"\ud800"}"#,
        r#"[1]"#,
        r#"{"a":1}x"#,
        r#"{"a":[[[[[[[[[[1]]]]]]]]]]}"#,
    ] {
        assert!(Params::from_json(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in ["1.0", "1e3", "-0.0", "9223372036854775808", "\"100\"", "true", "[100]"] {
        let body = format!(r#"{{"a":{{"n":{bad}}}}}"#);
        let mut group = Params::from_json(body.as_bytes()).unwrap().group("a").unwrap().unwrap();
        let error = group.integer("n").expect_err(bad);
        assert_eq!(error.param.as_deref(), Some("a[n]"), "{bad}");
    }
    let mut words = Params::from_json(br#"{"a":"true","b":1.5,"c":{"k":1.5}}"#).unwrap();
    assert!(words.boolean("a").is_err() && words.text("b").is_err() && words.metadata("c").is_err());
    let mut params = Params::from_json(br#"{"amount":100,"metadata":{"a":"b"}}"#).unwrap();
    assert_eq!(params.amount("amount").unwrap(), Some(100));
}

#[test]
fn form_and_json_of_the_same_request_have_one_digest() {
    use sha2::Digest as _;
    let digest = |p: &Params| {
        let mut hash = sha2::Sha256::new();
        p.digest_into(&mut hash);
        hash.finalize()
    };
    let json = Params::from_json(br#"{"confirm":true,"amount":5,"metadata":{"a":"b"}}"#).unwrap();
    assert_eq!(digest(&form("metadata[a]=b&amount=5&confirm=true")), digest(&json));
    assert_ne!(digest(&form("metadata[a]=b&amount=6&confirm=true")), digest(&json));
}

#[test]
fn duplicates_unknowns_and_broken_encodings_are_refused() {
    for bad in [
        "a=1&a=2",
        "a[b]=1&a[b]=2",
        "a=1&a[b]=2",
        "%zz=1",
        "a=%ff",
        "a[b=1",
        "[a]=1",
        "a]=1",
    ] {
        assert!(Params::from_form(bad.as_bytes()).is_err(), "{bad}");
    }
    let error = form("surprise[x]=1").finish().expect_err("unknown");
    assert_eq!(
        (error.code.as_deref(), error.param.as_deref()),
        (Some("parameter_unknown"), Some("surprise"))
    );
}

#[test]
fn card_numbers_and_direction_overrides_do_not_pass_as_text() {
    assert!(form("description=4242424242424242").text("description").is_err());
    assert!(form("description=4242+4242+4242+4242").text("description").is_err());
    assert!(form("description=a%E2%80%AEb").text("description").is_err());
    assert!(form("description=a%00b").text("description").is_err());
    assert!(form("metadata[a]=4242424242424242").metadata("metadata").is_err());
}

#[test]
fn form_and_json_agree_on_nothing_and_on_numeric_keys() {
    let json = |text: &str| Params::from_json(text.as_bytes()).unwrap();
    assert_eq!(form("description=").fields, json(r#"{"description":""}"#).fields);
    for mut params in [form("metadata[0]=x"), json(r#"{"metadata":{"0":"x"}}"#)] {
        assert_eq!(params.metadata("metadata").unwrap().unwrap()["0"].as_deref(), Some("x"));
    }
    for mut params in [form("shipping[phone]=1"), json(r#"{"shipping":{"phone":1}}"#)] {
        assert_eq!(
            params.value("shipping").unwrap(),
            Some(serde_json::json!({"phone": "1"}))
        );
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;
    use sha2::Digest as _;

    fn digest(params: &Params) -> [u8; 32] {
        let mut hash = sha2::Sha256::new();
        params.digest_into(&mut hash);
        hash.finalize().into()
    }

    fn encoded(text: &str) -> String {
        text.bytes().map(|b| format!("%{b:02X}")).collect()
    }

    proptest! {
        /// Whatever arrives is read or refused as the caller's fault, and every way of reading it ends the same way.
        #[test]
        fn nothing_panics_and_every_refusal_is_a_400(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            shaped in "[a-c\\[\\]=&%+0-9\u{202e}\u{0}é{}:\",-]{0,80}",
        ) {
            for bytes in [body.as_slice(), shaped.as_bytes()] {
                for read in [Params::from_form(bytes), Params::from_json(bytes)] {
                    let Ok(params) = read else {
                        prop_assert_eq!(read.unwrap_err().status, 400);
                        continue;
                    };
                    digest(&params);
                    for name in ["a", "b", "c"] {
                        let errors = [
                            params.clone().text(name).err(),
                            params.clone().amount(name).err(),
                            params.clone().boolean(name).err(),
                            params.clone().texts(name).err(),
                            params.clone().metadata(name).err(),
                            params.clone().value(name).err(),
                            params.clone().group(name).err(),
                        ];
                        for error in errors.into_iter().flatten() {
                            prop_assert_eq!(error.status, 400);
                            prop_assert!(error.param.is_some_and(|param| param.starts_with(name)));
                        }
                    }
                }
            }
        }

        #[test]
        fn an_accepted_amount_is_in_range_and_was_written_plainly(text in "[-+ ]?[0-9]{0,21}(\\.0|e1|_)?") {
            let mut params = form(&format!("amount={}", encoded(&text)));
            if let Ok(Some(amount)) = params.amount("amount") {
                prop_assert!((1..=MAX_AMOUNT).contains(&amount));
                prop_assert!(text.bytes().all(|b| b.is_ascii_digit()));
                prop_assert_eq!(text.trim_start_matches('0'), amount.to_string());
            }
        }

        #[test]
        fn a_form_and_the_same_json_are_one_request(
            amount in any::<i64>(),
            confirm in any::<bool>(),
            description in "\\PC{0,20}",
            metadata in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{1,12}", 1..5),
            list in proptest::collection::vec("[a-z_.]{1,10}", 1..12),
        ) {
            let mut pairs = vec![
                format!("amount={amount}"),
                format!("confirm={confirm}"),
                format!("description={}", encoded(&description)),
            ];
            pairs.extend(metadata.iter().map(|(k, v)| format!("metadata[{k}]={}", encoded(v))));
            pairs.extend(list.iter().enumerate().map(|(i, v)| format!("expand%5B{i}%5D={v}")));
            let mut typed = form(&pairs.join("&"));
            let body = serde_json::json!({
                "amount": amount, "confirm": confirm, "description": description, "metadata": metadata, "expand": list,
            });
            let mut json = Params::from_json(body.to_string().as_bytes()).unwrap();
            prop_assert_eq!(digest(&typed), digest(&json));
            prop_assert_eq!(typed.integer("amount").unwrap(), json.integer("amount").unwrap());
            prop_assert_eq!(typed.boolean("confirm").unwrap(), json.boolean("confirm").unwrap());
            prop_assert_eq!(typed.text("description").ok(), json.text("description").ok());
            prop_assert_eq!(typed.texts("expand").unwrap(), json.texts("expand").unwrap());
            prop_assert_eq!(typed.metadata("metadata").ok(), json.metadata("metadata").ok());
        }
    }
}
