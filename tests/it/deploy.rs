//! What is shipped to operators, tried: backups that restore and are proven against the seal's heads, PostgreSQL's settings on a real
//! server, the secrets of the compose file, units under systemd's own judgement, manifests against their schemas.

use gateway::dev::postgres::{EmbeddedPostgres, Options};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::{TestApp, binary, eventually, said, workspace};

/// A folder that PostgreSQL's account can reach, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{name}-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        Self(path)
    }

    /// A file of the project, for an account that may not look into the workspace.
    fn copy(&self, from: &Path, mode: u32) -> PathBuf {
        let to = self.0.join(from.file_name().expect("a name"));
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).expect("its mode");
        to
    }

    /// A folder that belongs to PostgreSQL's account.
    fn theirs(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("a folder");
        if let Some((user, group)) = postgres_account() {
            chown(&path, Some(user), Some(group)).expect("changes hands");
        }
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Who PostgreSQL runs as when we are root; nobody else when we are not.
fn postgres_account() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").expect("accounts");
    let line = accounts
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("the account postgres");
    let ids: Vec<u32> = line
        .split(':')
        .skip(2)
        .take(2)
        .map(|id| id.parse().expect("an id"))
        .collect();
    Some((ids[0], ids[1]))
}

fn run_as_postgres(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = match postgres_account() {
        Some(_) => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .args(arguments)
        .current_dir("/")
        .env_remove("DATABASE_URL")
        .envs(environment.iter().copied());
    command.output().expect("it starts")
}

/// Payments, a base backup, more payments; then restores: to the end (every acknowledged journal is there), to the moment between
/// (proven, and short of the newest head), and from a damaged archive (refused with a word).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_restores_to_the_last_payment_or_any_moment_and_is_proven_against_the_heads() {
    let folder = Folder::new("backup");
    for script in [
        "archive-wal.sh",
        "fetch-wal.sh",
        "base-backup.sh",
        "restore.sh",
        "drill.sh",
    ] {
        folder.copy(&workspace().join("deploy/backup").join(script), 0o755);
    }
    let config = folder.copy(&workspace().join("deploy/postgres/postgresql.conf"), 0o644);
    let program = folder.copy(&binary(), 0o755);
    let archive = folder.theirs("archive").display().to_string();
    let secret = folder.0.join("secret");
    fs::write(&secret, "of this test\n").expect("written");
    let cipher = format!("openssl enc -aes-256-ctr -pbkdf2 -pass file:{}", secret.display());
    let environment = folder.0.join("backup.environment");
    fs::write(
        &environment,
        format!("BACKUP_DIR={archive}\nBACKUP_ENCRYPT='{cipher}'\n"),
    )
    .expect("written");
    fs::set_permissions(&environment, fs::Permissions::from_mode(0o644)).expect("its mode");

    // The shipped settings on a real server; what depends on the machine's size is made small.
    let set = |name: &str, value: String| (name.to_owned(), value);
    let script = folder.0.join("archive-wal.sh");
    let options = Options {
        sync_new_cluster: false,
        settings: vec![
            set("config_file", config.display().to_string()),
            set(
                "archive_command",
                format!(
                    "BACKUP_ENVIRONMENT={} {} %p %f",
                    environment.display(),
                    script.display()
                ),
            ),
            set("shared_buffers", "128MB".into()),
            set("effective_cache_size", "512MB".into()),
            set("huge_pages", "off".into()),
            set("listen_addresses", "127.0.0.1".into()),
        ],
    };
    let server = EmbeddedPostgres::start(&folder.0.join("server"), &options)
        .await
        .expect("a server with the shipped settings");
    server.create_database("counterfoil", None).await.expect("a database");
    let app = TestApp::start_with(&["--database-url", &server.url("counterfoil")]).await;
    let sql = app.sql().await;
    let ask = async |statement: &str| -> String {
        sql.query_one(statement, &[])
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
            .get(0)
    };
    for (name, value) in [
        ("fsync", "on"),
        ("archive_timeout", "1min"),
        ("jit", "off"),
        ("wal_log_hints", "on"),
        ("timezone", "UTC"),
    ] {
        assert_eq!(
            ask(&format!("SHOW {name}")).await,
            value,
            "{name} of deploy/postgres/postgresql.conf"
        );
    }

    pay(&app, 3).await;
    let (user, password) = {
        let url = url::Url::parse(&server.url("counterfoil")).expect("a URL");
        (url.username().to_owned(), url.password().unwrap_or_default().to_owned())
    };
    let port = url::Url::parse(&server.url("counterfoil"))
        .expect("a URL")
        .port()
        .expect("a port")
        .to_string();
    let mut surroundings = vec![
        ("BACKUP_DIR", archive.as_str()),
        ("BACKUP_ENCRYPT", cipher.as_str()),
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", port.as_str()),
        ("PGUSER", user.as_str()),
        ("PGPASSWORD", password.as_str()),
        ("LC_ALL", "C.UTF-8"),
    ];
    let decipher = format!("{cipher} -d");
    surroundings.push(("BACKUP_DECRYPT", decipher.as_str()));
    let made = run_as_postgres(&folder.0.join("base-backup.sh"), &[], &surroundings);
    assert!(made.status.success(), "{}", said(&made));

    tokio::time::sleep(std::time::Duration::from_millis(1100)).await; // recovery targets count in whole transactions
    let between = ask("SELECT now()::text").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    pay(&app, 2).await;
    let journals: i64 = sql
        .query_one("SELECT count(*) FROM ledger.journal", &[])
        .await
        .expect("counts")
        .get(0);
    let log = app.dir().join("heads/heads.jsonl");
    eventually("every journal is under an exported head", || async {
        let heads = fs::read_to_string(&log).unwrap_or_default();
        let newest: Value = serde_json::from_str(heads.lines().last()?).ok()?;
        (newest["journals"] == journals).then_some(())
    })
    .await;
    let last = ask("SELECT pg_walfile_name(pg_switch_wal())").await;
    eventually("the last segment is archived", || async {
        Path::new(&archive)
            .join("wal")
            .join(format!("{last}.gz"))
            .exists()
            .then_some(())
    })
    .await;

    let keys = folder.copy(&app.dir().join("seal.keys"), 0o600);
    let heads = folder.copy(&log, 0o644);
    if let Some((user, group)) = postgres_account() {
        chown(&keys, Some(user), Some(group)).expect("changes hands");
    }
    let drill = |more: &[&str]| {
        let (keys, program) = (keys.display().to_string(), program.display().to_string());
        let common = ["--user", user.as_str(), "--keys", &keys, "--counterfoil", &program];
        run_as_postgres(&folder.0.join("drill.sh"), &[&common, more].concat(), &surroundings)
    };
    let heads = heads.display().to_string();
    let whole = drill(&["--heads", &heads]);
    assert!(
        whole.status.success() && said(&whole).contains("proven"),
        "{}",
        said(&whole)
    );
    let earlier = drill(&["--time", &between]);
    assert!(earlier.status.success(), "{}", said(&earlier));
    let short = drill(&["--time", &between, "--heads", &heads]);
    assert!(
        !short.status.success(),
        "a restore that lacks acknowledged journals was called whole: {}",
        said(&short)
    );

    let segment = Path::new(&archive).join("wal").join(format!("{last}.gz"));
    let mut bytes = fs::read(&segment).expect("the segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(&segment, bytes).expect("damaged");
    let damaged = drill(&["--heads", &heads]);
    assert!(
        !damaged.status.success() && said(&damaged).contains("is damaged"),
        "{}",
        said(&damaged)
    );
    // Asked to archive another segment under a name that is taken, the archive refuses.
    let other = folder.theirs("other").join("x");
    fs::write(&other, "something else").expect("written");
    let again = run_as_postgres(&script, &[&other.display().to_string(), &last], &surroundings);
    assert!(
        !again.status.success() && said(&again).contains("another segment"),
        "{}",
        said(&again)
    );

    app.stop().await;
    server.stop().await.expect("stops");
}

async fn pay(app: &TestApp, times: usize) {
    for _ in 0..times {
        let paid = json!({ "amount": 1900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
        app.post("/v1/payment_intents").params(paid).send().await.ok();
    }
}

/// What the compose file mounts is what the program takes: its settings, with keys and certificates as the script makes them.
#[test]
fn the_compose_files_secrets_and_settings_start_the_program() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: init.sh gives files to another user, which only root can");
        return;
    }
    tests::ensure_built();
    let folder = Folder::new("compose");
    let state = folder.0.join("state");
    let init = workspace().join("deploy/compose/init.sh");
    let made = |run: &str| {
        let output = Command::new("bash").arg(&init).arg(&state).output().expect("it starts");
        assert!(output.status.success(), "{run}: {}", said(&output));
        fs::read(state.join("keys/vault.keys")).expect("keys")
    };
    assert_eq!(made("first"), made("again"), "what is there stays");
    fs::create_dir_all(folder.0.join("heads")).expect("a folder");
    let mount = [
        ("/etc/counterfoil/tls", state.join("tls")),
        ("/etc/counterfoil/keys", state.join("keys")),
        ("/var/lib/counterfoil/heads", folder.0.join("heads")),
    ];
    let settings = fs::read_to_string(workspace().join("deploy/compose/counterfoil.toml")).expect("settings");
    let settings = mount.iter().fold(settings, |text, (inside, outside)| {
        text.replace(inside, &outside.display().to_string())
    });
    let file = folder.0.join("counterfoil.toml");
    fs::write(&file, settings).expect("written");
    let environment = fs::read_to_string(state.join("counterfoil.env")).expect("the environment");
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let output = Command::new(binary())
        .args(["serve", "--check", "--config"])
        .arg(&file)
        .envs(variables)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    for secret in [
        "keys/vault.keys",
        "keys/seal.keys",
        "owner_password",
        "counterfoil.env",
        "tls/ca.key",
    ] {
        let mode = fs::metadata(state.join(secret)).expect(secret).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret} is open to others");
    }
}

#[test]
fn compose_kubernetes_and_docker_files_are_right_by_their_own_linters() {
    let deploy = workspace().join("deploy");
    let tools = workspace().join(".tools/python/bin");
    let manifests: Vec<String> = ["namespace", "config", "migrate", "gateway", "network", "selfcheck"]
        .iter()
        .map(|name| deploy.join(format!("kubernetes/{name}.yaml")).display().to_string())
        .collect();
    let kustomization = fs::read_to_string(deploy.join("kubernetes/kustomization.yaml")).expect("a kustomization");
    for manifest in &manifests {
        let name = Path::new(manifest).file_name().expect("a name").to_string_lossy();
        assert!(kustomization.contains(&format!("- {name}")), "{name} is not applied");
    }
    // docker-compose wants the files that init.sh makes: their names are enough for it.
    let folder = Folder::new("compose-lint");
    for part in [
        "compose",
        "postgres",
        "prometheus",
        "grafana",
        "otel",
        "backup",
        "docker",
    ] {
        copy_all(&deploy.join(part), &folder.0.join(part));
    }
    for file in [
        "owner.env",
        "psql.env",
        "counterfoil.env",
        "owner_password",
        "grafana_password",
        "roles.sql",
    ] {
        fs::create_dir_all(folder.0.join("compose/state")).expect("a folder");
        fs::write(folder.0.join("compose/state").join(file), "").expect("written");
    }
    // Debian's docker-compose is of the first line, which knows everything here but the project's name.
    let compose = folder.0.join("compose/compose.yaml");
    let text = fs::read_to_string(&compose)
        .expect("a file")
        .replace("name: counterfoil\n", "");
    fs::write(&compose, text).expect("written");
    let compose = compose.display().to_string();
    let mut kubernetes = vec!["--strict", "-k", "1.31"];
    kubernetes.extend(manifests.iter().map(String::as_str));
    let dockerfile = deploy.join("docker/Dockerfile").display().to_string();
    let checks: [(PathBuf, Vec<&str>); 3] = [
        (tools.join("kubernetes-validate"), kubernetes),
        (tools.join("hadolint"), vec!["--failure-threshold", "info", &dockerfile]),
        (
            PathBuf::from("docker-compose"),
            vec!["-f", &compose, "config", "--quiet"],
        ),
    ];
    for (program, arguments) in checks {
        let output = Command::new(&program)
            .args(&arguments)
            .env("PYTHONWARNINGS", "ignore")
            .output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}: scripts/bootstrap.sh test", program.display()));
        assert!(output.status.success(), "{}: {}", program.display(), said(&output));
    }
}

/// A manifest that is wrong is found: the linter reads them.
#[test]
fn a_wrong_manifest_is_found() {
    let folder = Folder::new("manifest");
    let text = fs::read_to_string(workspace().join("deploy/kubernetes/gateway.yaml")).expect("a manifest");
    let wrong = folder.0.join("gateway.yaml");
    fs::write(&wrong, text.replace("replicas: 3", "replicas: three")).expect("written");
    let program = workspace().join(".tools/python/bin/kubernetes-validate");
    let output = Command::new(program)
        .args(["--strict", "-k", "1.31"])
        .arg(&wrong)
        .output()
        .expect("it starts");
    assert!(!output.status.success(), "{}", said(&output));
}

#[test]
fn the_units_are_right_by_systemds_own_judgement() {
    let units = [
        "counterfoil.service",
        "counterfoil-selfcheck.service",
        "counterfoil-selfcheck.timer",
        "counterfoil-backup.service",
        "counterfoil-backup.timer",
    ];
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: no systemd here");
        return;
    }
    let folder = Folder::new("units");
    for unit in units {
        let text = fs::read_to_string(workspace().join("deploy/systemd").join(unit)).expect(unit);
        // programs that the package installs: any that is there will do for the look
        let text = text
            .replace("/usr/bin/counterfoil ", "/bin/true ")
            .replace("/usr/share/counterfoil/backup/base-backup.sh", "/bin/true");
        fs::write(folder.0.join(unit), text).expect("written");
    }
    let files: Vec<PathBuf> = units.iter().map(|unit| folder.0.join(unit)).collect();
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg("--man=no")
        .args(&files)
        .output()
        .expect("it starts");
    let complaints: Vec<String> = said(&output)
        .lines()
        .filter(|line| line.contains("counterfoil"))
        .map(str::to_owned)
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    // 0 is closed, 10 is open; the service itself must stay well inside "OK".
    for (unit, most) in [("counterfoil.service", "20"), ("counterfoil-selfcheck.service", "30")] {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold", most, "--no-pager"])
            .arg(folder.0.join(unit))
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{unit}: {}", said(&output));
    }
}

/// What the Debian package would hold is there, and every script is one.
#[test]
fn what_is_shipped_exists_and_every_script_parses() {
    let gateway = workspace().join("gateway");
    let manifest = fs::read_to_string(gateway.join("Cargo.toml")).expect("a manifest");
    let assets: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[\"../")?.split('"').next())
        .collect();
    assert!(assets.len() > 10, "{assets:?}");
    for asset in assets {
        let (folder, name) = asset.rsplit_once('/').expect("a path");
        let there = match name.split_once('*') {
            None => workspace().join(asset).exists(),
            Some((_, end)) => fs::read_dir(workspace().join(folder))
                .unwrap_or_else(|_| panic!("{folder}"))
                .any(|entry| entry.expect("an entry").file_name().to_string_lossy().ends_with(end)),
        };
        assert!(there, "{asset} of the package is not there");
    }
    for (folder, shell) in [
        ("deploy/backup", "bash"),
        ("deploy/compose", "bash"),
        ("deploy/debian", "sh"),
    ] {
        for entry in fs::read_dir(workspace().join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            let script = fs::read(&path).is_ok_and(|text| text.starts_with(b"#!"));
            if script {
                let output = Command::new(shell).arg("-n").arg(&path).output().expect("it starts");
                assert!(output.status.success(), "{}: {}", path.display(), said(&output));
                let mode = fs::metadata(&path).expect("a file").permissions().mode();
                assert_eq!(mode & 0o111, 0o111, "{} cannot be run", path.display());
            }
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        match path.is_dir() {
            true if name == "state" => {}
            true => copy_all(&path, &to.join(name)),
            false => drop(fs::copy(&path, to.join(name)).expect("copied")),
        }
    }
}
