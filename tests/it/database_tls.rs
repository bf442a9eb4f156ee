//! The way to PostgreSQL on a real server with `ssl = on`: each mode of libpq does what it promises, the whole service runs over
//! a verified way with a client certificate, and several hosts lead to the one that takes writes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use gateway::database::Database;
use gateway::dev::ca;
use gateway::dev::postgres::testing::TestServer;
use tests::TestApp;

/// A server that offers TLS with a certificate for 127.0.0.1 and localhost, and asks for a client certificate of its authority.
struct Secured {
    server: TestServer,
    dir: PathBuf,
    database: String,
}

impl Secured {
    async fn start() -> Self {
        let server = TestServer::start().await.expect("a server");
        let database = server.database(None).await.expect("a database");
        let base = server.postgres().path().to_owned();
        let dir = base.join("tls");
        let made = ca::ensure(&dir, jiff::Timestamp::now()).expect("certificates");
        let (owner, _) = client_certificate(&dir);
        let account = fs::metadata(base.join("data")).expect("the data");
        for file in [&made.authority, &made.certificate, &made.key, &owner] {
            chown(file, Some(account.uid()), Some(account.gid())).expect("given to the server");
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("opened");
        let client = Database::parse(&server.postgres().url(&database)).expect("a URL");
        let client = client.connect().await.expect("connects");
        for (setting, value) in [
            ("ssl_cert_file", made.certificate.display().to_string()),
            ("ssl_key_file", made.key.display().to_string()),
            ("ssl_ca_file", owner.display().to_string()),
            ("ssl", "on".to_owned()),
        ] {
            let set = format!("ALTER SYSTEM SET {setting} = '{value}'");
            client.batch_execute(&set).await.expect("set");
        }
        client.batch_execute("SELECT pg_reload_conf()").await.expect("reloads");
        let secured = Self { server, dir, database };
        tests::eventually("TLS is on", || async {
            let required = secured.url("sslmode=require");
            Database::parse(&required).expect("a URL").connect().await.ok()
        })
        .await;
        secured
    }

    /// Its URL with these parameters.
    fn url(&self, parameters: &str) -> String {
        format!("{}?{parameters}", self.server.postgres().url(&self.database))
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }
}

/// An authority of clients in `clients.pem`, and a certificate of it in `client.pem` and `client.key`.
fn client_certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).expect("an authority");
    let issuer = rcgen::Issuer::from_params(&params, &authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(rcgen::DnType::CommonName, "gateway-1");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    fs::write(dir.join("clients.pem"), authority.pem()).expect("written");
    fs::write(dir.join("client.pem"), certificate.pem()).expect("written");
    fs::write(dir.join("client.key"), key.serialize_pem()).expect("written");
    (dir.join("clients.pem"), dir.join("client.pem"))
}

/// Whether the connection made with this string is encrypted, and the name of the client's certificate.
async fn way(url: &str) -> Result<(bool, Option<String>), String> {
    let database = Database::parse(url).map_err(|error| error.to_string())?;
    let client = database.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", cause.unwrap_or_default())
    })?;
    let sql = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row = client.query_one(sql, &[]).await.expect("a row");
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn every_sslmode_proves_what_it_says_and_no_more() {
    let secured = Secured::start().await;
    let (ca, strangers) = (secured.file("ca.pem"), secured.file("clients.pem"));
    let ways = [
        ("sslmode=disable".to_owned(), Ok(false)),
        ("application_name=x".to_owned(), Ok(true)), // prefer
        ("sslmode=require".to_owned(), Ok(true)),
        (format!("sslmode=verify-ca&sslrootcert={ca}"), Ok(true)),
        (format!("sslmode=verify-full&sslrootcert={ca}"), Ok(true)),
        (format!("sslmode=require&sslrootcert={strangers}"), Err("certificate")),
        (format!("sslmode=verify-ca&sslrootcert={strangers}"), Err("certificate")),
        (
            format!("sslmode=verify-full&sslrootcert={strangers}"),
            Err("certificate"),
        ),
    ];
    for (parameters, expected) in ways {
        match (way(&secured.url(&parameters)).await, expected) {
            (Ok((encrypted, _)), Ok(expected)) => assert_eq!(encrypted, expected, "{parameters}"),
            (Err(error), Err(says)) => assert!(error.contains(says), "{parameters}: {error}"),
            (found, expected) => panic!("{parameters}: {found:?}, expected {expected:?}"),
        }
    }
    // The same server by a name that is not in its certificate.
    let elsewhere = |mode: &str| {
        let url = secured.url(&format!("hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={ca}"));
        url.replace("@127.0.0.1:", "@db1.example:")
    };
    assert_eq!(way(&elsewhere("verify-ca")).await, Ok((true, None)));
    let refused = way(&elsewhere("verify-full")).await.expect_err("another name");
    assert!(refused.contains("certificate"), "{refused}");

    let (certificate, key) = (secured.file("client.pem"), secured.file("client.key"));
    let named = format!("sslmode=verify-full&sslrootcert={ca}&sslcert={certificate}&sslkey={key}");
    let shown = way(&secured.url(&named)).await.expect("connects").1;
    assert_eq!(shown.as_deref(), Some("/CN=gateway-1"));

    // A server without TLS: preferred is not required.
    let plain = TestServer::shared().await.expect("a server");
    let plain = plain.postgres().url("postgres");
    assert_eq!(way(&format!("{plain}?sslmode=prefer")).await, Ok((false, None)));
    let refused = way(&format!("{plain}?sslmode=require")).await.expect_err("no TLS");
    assert!(refused.contains("does not support TLS"), "{refused}");
}

#[tokio::test]
async fn the_whole_service_works_over_a_verified_way() {
    let secured = Secured::start().await;
    let (ca, certificate, key) = (
        secured.file("ca.pem"),
        secured.file("client.pem"),
        secured.file("client.key"),
    );
    let url = secured.url(&format!(
        "sslmode=verify-full&sslrootcert={ca}&sslcert={certificate}&sslkey={key}&application_name=counterfoil"
    ));
    let app = TestApp::start_with(&["--database-url", &url]).await;
    let sale =
        serde_json::json!({ "amount": 1200, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true });
    let paid = app.post("/v1/payment_intents").params(sale).send().await.ok();
    assert_eq!(paid["status"], "succeeded", "{paid}");
    app.verify_books().await;
    let client = Database::parse(&url).expect("a URL").connect().await.expect("connects");
    let sql = "SELECT count(*), bool_and(s.ssl), bool_and(s.client_dn = '/CN=gateway-1') FROM pg_stat_ssl s
               JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'counterfoil'";
    let row = client.query_one(sql, &[]).await.expect("a row");
    assert!(
        row.get::<_, i64>(0) >= 4,
        "reading, writing and the vault's connections"
    );
    assert_eq!((row.get(1), row.get(2)), (Some(true), Some(true)), "each of them");
}

/// The first host answers nothing, the second takes no writes, as a standby: the third is the one.
#[tokio::test]
async fn several_hosts_lead_to_the_one_that_takes_writes() {
    let (standby, primary) = (Secured::start().await, Secured::start().await);
    let port = |secured: &Secured| {
        let url = secured.server.postgres().url("x");
        url.rsplit(':')
            .next()
            .and_then(|rest| rest.split('/').next().map(str::to_owned))
            .expect("a port")
    };
    for (secured, read_only) in [(&standby, true), (&primary, false)] {
        let client = Database::parse(&secured.url("sslmode=require")).expect("a URL");
        let client = client.connect().await.expect("connects");
        let sql = format!(
            "CREATE ROLE app LOGIN PASSWORD 'of-this-test'; CREATE DATABASE books;
             ALTER ROLE app SET default_transaction_read_only = {read_only}"
        );
        for statement in sql.split(';') {
            client.batch_execute(statement).await.expect("set up");
        }
    }
    let both = primary.dir.join("both.pem"); // each server here has an authority of its own
    let authorities =
        [&standby, &primary].map(|secured| fs::read_to_string(secured.file("ca.pem")).expect("an authority"));
    fs::write(&both, authorities.concat()).expect("written");
    let url = format!(
        "postgresql://app:of-this-test@127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}/books?target_session_attrs=read-write&sslmode=verify-full&sslrootcert={}",
        port(&standby),
        port(&primary),
        both.display(),
    );
    let client = Database::parse(&url)
        .expect("a URL")
        .connect()
        .await
        .expect("the primary");
    let found: i32 = client
        .query_one("SELECT inet_server_port()", &[])
        .await
        .expect("a row")
        .get(0);
    assert_eq!(found.to_string(), port(&primary));
}
