//! What a command leaves in the audit log: that it was begun, before it does anything, and how it ended.
//!
//! The one place where commands are noted. Each command says of itself whether it is a privileged act or a look at protected
//! data (`deed` in its file, and the match in [`super::Command`] has no default, so that a new command has to say). A command whose
//! beginning cannot be noted does nothing. As whom it works and from which address is said by the database, not by the caller.

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::database::Which;

/// A privileged act, or a look at protected data.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    database: Which,
    /// the command without its arguments
    pub(super) action: &'static str,
    object: Option<String>,
    account: Option<String>,
    person: Option<String>,
    makes_the_log: bool,
}

/// One that is noted as begun.
pub(super) struct Begun {
    deed: Deed,
    client: Client,
}

impl Deed {
    /// A command on this database.
    pub(super) fn new(action: &'static str, database: &Which) -> Self {
        Self {
            database: database.clone(),
            action,
            object: None,
            account: None,
            person: None,
            makes_the_log: false,
        }
    }

    /// What it is done to: an id.
    pub(super) fn object(mut self, object: impl ToString) -> Self {
        self.object = Some(object.to_string());
        self
    }

    /// Whose affair it is: a merchant's account, or another book, which is the platform's own.
    pub(super) fn account(mut self, account: Option<&str>) -> Self {
        self.account = account.map(str::to_owned);
        self
    }

    /// Who says to be acting, where the command asks for a person.
    pub(super) fn person(mut self, person: &str) -> Self {
        self.person = Some(person.to_owned());
        self
    }

    /// It makes the tables of the log itself: before that there is nothing to write to.
    pub(super) fn makes_the_log(mut self) -> Self {
        self.makes_the_log = true;
        self
    }

    /// Notes that it begins.
    pub(super) async fn begin(self) -> Result<Begun> {
        let client = self.database.connect().await?;
        let begun = Begun { deed: self, client };
        match begun.note("begun").await {
            Ok(()) => Ok(begun),
            Err(error) if begun.deed.makes_the_log && is_missing(&error) => Ok(begun),
            Err(error) if is_missing(&error) => Err(error)
                .context("the schemas are older than this program: `counterfoil migrate` brings them up to date"),
            Err(error) => Err(error).context("the audit log cannot be written, so nothing was done"),
        }
    }
}

impl Begun {
    /// Notes how it ended.
    pub(super) async fn end<T>(self, outcome: &Result<T>) -> Result<()> {
        let result = if outcome.is_ok() { "done" } else { "failed" };
        match self.note(result).await {
            Err(error) if self.deed.makes_the_log && is_missing(&error) => Ok(()),
            noted => noted.context("its end could not be written to the audit log"),
        }
    }

    async fn note(&self, result: &str) -> Result<(), tokio_postgres::Error> {
        let Deed {
            action,
            object,
            account,
            person,
            ..
        } = &self.deed;
        let actor = match person {
            Some(person) => format!("{} as {person}", operator()),
            None => operator(),
        };
        let (actor, object) = (short(&actor), object.as_deref().map(short));
        let account = account.as_deref().map(short);
        self.client
            .query_typed(
                "SELECT gateway.note_act($1, $2, $3, $4, $5, $6, $7, NULL)",
                &[
                    (&Uuid::now_v7(), Type::UUID),
                    (&Timestamp::now(), Type::TIMESTAMPTZ),
                    (&actor, Type::TEXT),
                    (action, Type::TEXT),
                    (&object, Type::TEXT),
                    (&account, Type::TEXT),
                    (&result, Type::TEXT),
                ],
            )
            .await
            .map(drop)
    }
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    let codes = [SqlState::UNDEFINED_FUNCTION, SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| codes.contains(code))
}

/// `operator:NAME@HOST`: who logged in to this machine, also behind sudo, as the kernel has it.
pub(super) fn operator() -> String {
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let login = login
        .and_then(|text| text.trim().parse().ok())
        .filter(|uid| *uid != u32::MAX);
    let uid: u32 = login.unwrap_or_else(|| rustix::process::getuid().as_raw());
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("operator:{}@{}", name.unwrap_or_else(|| uid.to_string()), host.trim())
}

/// As much as the log takes.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
