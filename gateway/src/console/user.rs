//! People of the console and their sessions: rows, and all the SQL about them.
//!
//! A session is known by the hash of its cookie; the cookie is in no row and no log. It must never give a session to who has not
//! proven everything that is asked for.

use super::role::Role;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, GenericClient, Row};

/// Quiet for this long and a session is locked.
pub const IDLE: SignedDuration = SignedDuration::from_mins(15);
/// No session is longer.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Failures in a row until a person is locked out.
pub const FAILURES_MAX: i32 = 5;
/// For how long.
pub const LOCKOUT: SignedDuration = SignedDuration::from_mins(15);
/// A session's last use is written this often at most.
const SEEN_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// A person with what proves them.
#[derive(Clone, Debug)]
pub struct User {
    /// login name
    pub name: String,
    /// what they are here for
    pub role: Role,
    /// of a merchant's reader: whose affairs
    pub account: Option<String>,
    /// may not sign in any more
    pub disabled: bool,
    /// of the password
    pub password_hash: String,
    /// the password was made by somebody else
    pub must_change: bool,
    /// of the second factor
    pub totp_generation: i32,
    /// since when there is a second factor
    pub totp_since: Option<Timestamp>,
    /// the last code that was taken
    pub totp_step: i64,
    /// wrong answers in a row
    pub failures: i32,
    /// locked out until then
    pub locked_until: Option<Timestamp>,
    /// how they like it
    pub preferences: Preferences,
}

/// How a person likes the console.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// `en` or `zh`; none: as the browser says
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// an IANA name; none: UTC
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// `light` or `dark`; none: as the system says
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme: Option<String>,
    /// saved searches
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<SavedView>,
}

/// A search that is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedView {
    /// for people
    pub name: String,
    /// path and query
    pub href: String,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// the password was right, a second factor is asked for
    Password,
    /// in
    Full,
}

/// A session with its person.
#[derive(Clone, Debug)]
pub struct Session {
    /// what the cookie holds
    pub token: Token,
    /// how far it is
    pub stage: Stage,
    /// whose
    pub user: User,
}

/// What a cookie holds: 256 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Token(..)")
    }
}

impl Token {
    /// A new one.
    pub fn random() -> Self {
        Self(hex::encode(rand::random::<[u8; 32]>()))
    }

    /// From a cookie, if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| Self(text.to_owned()))
    }

    /// For the cookie.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For the table.
    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }

    /// What the forms of this session carry: no other site knows it, and it does not tell the cookie.
    pub fn form_token(&self) -> String {
        hex::encode(Sha256::digest(format!("form of {}", self.0)))
    }

    /// Whether a form carries it.
    pub fn owns(&self, form_token: &str) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.form_token().as_bytes(), form_token.as_bytes()).into()
    }
}

/// The person of this name.
pub async fn by_name(client: &impl GenericClient, name: &str) -> Result<Option<User>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM gateway.console_user u JOIN gateway.console_credential c ON c.user_name = u.name WHERE u.name = $1"
    );
    let rows = client.query_typed(&sql, &[(&name, Type::TEXT)]).await?;
    rows.first().map(read).transpose()
}

/// Everybody, with when they were last seen.
pub async fn all(client: &impl GenericClient) -> Result<Vec<(User, Option<Timestamp>)>, Error> {
    let sql = format!(
        "SELECT {COLUMNS}, (SELECT max(s.seen_at) FROM gateway.console_session s WHERE s.user_name = u.name) AS seen_at
         FROM gateway.console_user u JOIN gateway.console_credential c ON c.user_name = u.name ORDER BY u.name"
    );
    let rows = client.query_typed(&sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((read(row)?, row.try_get("seen_at")?)))
        .collect()
}

/// Adds a person, whose password somebody else knows. False: the name is taken. Needs the rights of the owner.
pub async fn create(
    client: &impl GenericClient,
    name: &str,
    role: Role,
    account: Option<&str>,
    password_hash: &str,
    must_change: bool,
    by: &str,
) -> Result<bool, Error> {
    let sql = "WITH made AS (INSERT INTO gateway.console_user (name, role, account_id, created_by, created_at)
                             VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING RETURNING name)
               INSERT INTO gateway.console_credential (user_name, password_hash, must_change) SELECT name, $5, $6 FROM made";
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&name, Type::TEXT),
        (&role.as_str(), Type::TEXT),
        (&account, Type::TEXT),
        (&by, Type::TEXT),
        (&password_hash, Type::TEXT),
        (&must_change, Type::BOOL),
    ];
    Ok(client.execute_typed(sql, &params).await? == 1)
}

/// Sets a password; whoever is signed in with the old one is out.
pub async fn set_password(
    client: &impl GenericClient,
    name: &str,
    hash: &str,
    must_change: bool,
) -> Result<bool, Error> {
    let sql = "WITH ended AS (UPDATE gateway.console_session SET ended_at = now() WHERE user_name = $1 AND ended_at IS NULL)
               UPDATE gateway.console_credential SET password_hash = $2, must_change = $3, failures = 0, locked_until = NULL WHERE user_name = $1";
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&name, Type::TEXT), (&hash, Type::TEXT), (&must_change, Type::BOOL)];
    Ok(client.execute_typed(sql, &params).await? == 1)
}

/// Takes the second factor away, and what was derived for it is worth nothing any more.
pub async fn reset_second_factor(client: &impl GenericClient, name: &str) -> Result<bool, Error> {
    let sql = "UPDATE gateway.console_credential SET totp_generation = totp_generation + 1, totp_since = NULL, totp_step = 0 WHERE user_name = $1";
    Ok(client.execute_typed(sql, &[(&name, Type::TEXT)]).await? == 1)
}

/// Lets somebody try again at once.
pub async fn unlock(client: &impl GenericClient, name: &str) -> Result<bool, Error> {
    let sql = "UPDATE gateway.console_credential SET failures = 0, locked_until = NULL WHERE user_name = $1";
    Ok(client.execute_typed(sql, &[(&name, Type::TEXT)]).await? == 1)
}

/// Shuts somebody out for good, now. Needs the rights of the owner.
pub async fn disable(client: &impl GenericClient, name: &str) -> Result<bool, Error> {
    let sql =
        "WITH ended AS (UPDATE gateway.console_session SET ended_at = now() WHERE user_name = $1 AND ended_at IS NULL)
               UPDATE gateway.console_user SET disabled_at = now() WHERE name = $1 AND disabled_at IS NULL";
    Ok(client.execute_typed(sql, &[(&name, Type::TEXT)]).await? == 1)
}

/// Lets somebody in again. Needs the rights of the owner.
pub async fn enable(client: &impl GenericClient, name: &str) -> Result<bool, Error> {
    let sql = "UPDATE gateway.console_user SET disabled_at = NULL WHERE name = $1 AND disabled_at IS NOT NULL";
    Ok(client.execute_typed(sql, &[(&name, Type::TEXT)]).await? == 1)
}

/// Counts a wrong answer; the last of too many locks. Counted in one statement, so that trying at once gives no more tries.
pub async fn note_failure(client: &impl GenericClient, name: &str, now: Timestamp) -> Result<(), Error> {
    let sql = "UPDATE gateway.console_credential
               SET failures = CASE WHEN failures + 1 >= $3 THEN 0 ELSE failures + 1 END,
                   locked_until = CASE WHEN failures + 1 >= $3 THEN $2 ELSE locked_until END
               WHERE user_name = $1";
    let until = now + LOCKOUT;
    let params: [(&(dyn ToSql + Sync), Type); 3] = [
        (&name, Type::TEXT),
        (&until, Type::TIMESTAMPTZ),
        (&FAILURES_MAX, Type::INT4),
    ];
    client.execute_typed(sql, &params).await.map(drop)
}

/// Takes a code: false when another request has taken it, or a newer one, meanwhile.
pub async fn take_step(client: &impl GenericClient, name: &str, step: i64) -> Result<bool, Error> {
    let sql =
        "UPDATE gateway.console_credential SET totp_step = $2, failures = 0, totp_since = coalesce(totp_since, now())
               WHERE user_name = $1 AND totp_step < $2";
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&step, Type::INT8)];
    Ok(client.execute_typed(sql, &params).await? == 1)
}

/// Keeps how a person likes the console.
pub async fn set_preferences(client: &impl GenericClient, name: &str, preferences: &Preferences) -> Result<(), Error> {
    let sql = "UPDATE gateway.console_credential SET preferences = $2::text::jsonb WHERE user_name = $1";
    let text = serde_json::to_string(preferences).unwrap_or_else(|_| "{}".into());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&name, Type::TEXT), (&text, Type::TEXT)];
    client.execute_typed(sql, &params).await.map(drop)
}

/// Begins a session. Its cookie is new each time: one that was known before signing in is worth nothing after it.
pub async fn begin(
    client: &impl GenericClient,
    name: &str,
    stage: Stage,
    origin: Option<&str>,
    now: Timestamp,
) -> Result<Token, Error> {
    let token = Token::random();
    let sql = "WITH fresh AS (UPDATE gateway.console_credential SET failures = 0 WHERE user_name = $2 AND failures > 0 AND $3 = 'full')
               INSERT INTO gateway.console_session (hash, user_name, stage, origin, created_at, seen_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $5, $6)";
    let expires = now + LONGEST;
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&token.hash(), Type::BYTEA),
        (&name, Type::TEXT),
        (&stage.as_str(), Type::TEXT),
        (&origin, Type::TEXT),
        (&now, Type::TIMESTAMPTZ),
        (&expires, Type::TIMESTAMPTZ),
    ];
    client.execute_typed(sql, &params).await?;
    Ok(token)
}

/// The session of a cookie, if it goes on; `seen` says that a person is at it.
pub async fn session(
    client: &impl GenericClient,
    token: Token,
    now: Timestamp,
    seen: bool,
) -> Result<Option<Session>, Error> {
    let sql = format!(
        "SELECT {COLUMNS}, s.stage, s.seen_at FROM gateway.console_session s
         JOIN gateway.console_user u ON u.name = s.user_name JOIN gateway.console_credential c ON c.user_name = u.name
         WHERE s.hash = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND s.seen_at > $3 AND u.disabled_at IS NULL"
    );
    let hash = token.hash();
    let params: [(&(dyn ToSql + Sync), Type); 3] = [
        (&hash, Type::BYTEA),
        (&now, Type::TIMESTAMPTZ),
        (&(now - IDLE), Type::TIMESTAMPTZ),
    ];
    let rows = client.query_typed(&sql, &params).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let seen_at: Timestamp = row.try_get("seen_at")?;
    if seen && now.duration_since(seen_at) >= SEEN_EVERY {
        let sql = "UPDATE gateway.console_session SET seen_at = $2 WHERE hash = $1 AND ended_at IS NULL";
        client
            .execute_typed(sql, &[(&hash, Type::BYTEA), (&now, Type::TIMESTAMPTZ)])
            .await?;
    }
    Ok(Some(Session {
        token,
        stage: match row.try_get::<_, &str>("stage")? {
            "full" => Stage::Full,
            _ => Stage::Password,
        },
        user: read(row)?,
    }))
}

/// Ends a session.
pub async fn end(client: &impl GenericClient, token: &Token, now: Timestamp) -> Result<(), Error> {
    let sql = "UPDATE gateway.console_session SET ended_at = $2 WHERE hash = $1 AND ended_at IS NULL";
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&token.hash(), Type::BYTEA), (&now, Type::TIMESTAMPTZ)];
    client.execute_typed(sql, &params).await.map(drop)
}

impl Stage {
    fn as_str(self) -> &'static str {
        match self {
            Stage::Password => "password",
            Stage::Full => "full",
        }
    }
}

fn read(row: &Row) -> Result<User, Error> {
    Ok(User {
        name: row.try_get("name")?,
        // A CHECK holds it to the words; one that this program does not know yet may read and no more.
        role: row.try_get::<_, &str>("role")?.parse().unwrap_or(Role::Auditor),
        account: row.try_get("account_id")?,
        disabled: row.try_get::<_, Option<Timestamp>>("disabled_at")?.is_some(),
        password_hash: row.try_get("password_hash")?,
        must_change: row.try_get("must_change")?,
        totp_generation: row.try_get("totp_generation")?,
        totp_since: row.try_get("totp_since")?,
        totp_step: row.try_get("totp_step")?,
        failures: row.try_get("failures")?,
        locked_until: row.try_get("locked_until")?,
        preferences: serde_json::from_str(row.try_get::<_, &str>("preferences")?).unwrap_or_default(),
    })
}

const COLUMNS: &str =
    "u.name, u.role, u.account_id, u.disabled_at, c.password_hash, c.must_change, c.totp_generation, c.totp_since,
    c.totp_step, c.failures, c.locked_until, c.preferences::text AS preferences";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_belongs_to_its_session() {
        let (mine, other) = (Token::random(), Token::random());
        assert!(mine.owns(&mine.form_token()));
        assert!(!mine.owns(&other.form_token()) && !mine.owns("") && !mine.owns(mine.as_str()));
        assert_eq!(Token::parse(mine.as_str()), Some(mine.clone()));
        for wrong in ["", "abc", &"z".repeat(64), &"a".repeat(65)] {
            assert_eq!(Token::parse(wrong), None);
        }
        assert_eq!(format!("{mine:?}"), "Token(..)");
    }
}
