//! Closing a period: what has to be in order before, who signed what, and the close itself.
//!
//! Nothing late may be unexplained in clearing accounts, the books must prove themselves, and two people must have signed each
//! report that wants it: its rows, by their hash, so that a signature ends when something is booked that changes them. The close is
//! the ledger's ([`ledger::period`]); what was checked is kept with it. It must never close on a checklist that was made before the
//! postings under way had ended.

use crate::report::{self, Ask, Cell, Made, Position, REPORTS, Report, ReportError};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ledger::period::{self, PeriodError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

/// How many people sign a report.
pub const SIGNERS: usize = 2;

/// Days, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// the first; none: from the first journal
    pub since: Option<Date>,
    /// the last
    pub up_to: Date,
}

/// A line of the checklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// what has to be so
    pub name: String,
    /// what is not, in words; empty when all is well
    pub open: Vec<String>,
}

/// What has to be in order before a period is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checklist {
    /// of this period
    pub period: Period,
    /// line by line
    pub items: Vec<Item>,
}

/// Why a period is not closed, or nothing is signed.
#[derive(Debug, thiserror::Error)]
pub enum ClosingError {
    /// The checklist is not in order; its open lines.
    #[error("the period cannot be closed yet:\n{0}")]
    NotInOrder(String),
    /// Something was booked between the checklist and the close.
    #[error("{0} has changed since it was signed: something was booked meanwhile; it is to be signed again")]
    Changed(&'static str),
    /// This report is not among those that are signed.
    #[error("{0} is not signed; those that are: {names}", names = signed_names())]
    NotSigned(&'static str),
    /// There is nothing like it to explain.
    #[error("there is no open item {0} in this account; `counterfoil report unexplained-money` lists them")]
    NoSuchItem(String),
    /// A day that nobody can write.
    #[error("{0} is too far away")]
    Day(Date),
    /// A report cannot be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The ledger refuses.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
}

impl Checklist {
    /// Whether the period can be closed.
    pub fn is_in_order(&self) -> bool {
        self.items.iter().all(|item| item.open.is_empty())
    }

    /// As it is kept and told to programs.
    pub fn json(&self) -> Value {
        let items = self
            .items
            .iter()
            .map(|item| json!({ "name": item.name, "ok": item.open.is_empty(), "open": item.open }));
        json!({
            "object": "closing_checklist",
            "since": self.period.since.map(|day| day.to_string()),
            "up_to": self.period.up_to.to_string(),
            "ok": self.is_in_order(),
            "items": items.collect::<Vec<_>>(),
        })
    }
}

/// The period that ends with this day: from the day after the last close of every book.
pub async fn period(client: &impl GenericClient, up_to: Date) -> Result<Period, ClosingError> {
    let acts = period::list(client).await?;
    let closed = acts.iter().find(|act| act.book.is_none() && act.stands);
    let since = closed
        .and_then(|act| act.up_to.tomorrow().ok())
        .filter(|day| *day <= up_to);
    Ok(Period { since, up_to })
}

/// Looks at everything. Reads all journals several times: seconds per million.
pub async fn checklist(client: &mut Client, up_to: Date) -> Result<Checklist, ClosingError> {
    let period = period(client, up_to).await?;
    let mut items = vec![unmatched(client, period).await?, unexplained(client, period).await?];
    let mut open = Vec::new();
    let proofs = [
        ledger::verify::verify(client, |_| {}).await?.checks,
        crate::audit::audit(client).await?,
    ];
    for check in proofs.into_iter().flatten().filter(|check| check.wrong > 0) {
        let first = check.first_wrong.unwrap_or_default();
        open.push(format!("{}: {} wrong, the first: {first}", check.name, check.wrong));
    }
    items.push(Item {
        name: "the books prove themselves, and agree with payments, refunds, disputes and payouts".to_owned(),
        open,
    });
    for report in REPORTS.iter().filter(|report| report.signed) {
        let made = report::make(client, report, ask(period)?).await?;
        let signers = signers(client, report, period, &digest(&made)).await?;
        let missing = SIGNERS.saturating_sub(signers.len());
        let open = match (missing, signers.is_empty()) {
            (0, _) => None,
            (missing, true) => Some(format!("{missing} signatures are missing")),
            (missing, false) => Some(format!("signed by {}; {missing} more to come", signers.join(", "))),
        };
        items.push(Item {
            name: format!("{} is signed by two people", report.title),
            open: Vec::from_iter(open),
        });
    }
    Ok(Checklist { period, items })
}

/// Signs a report of the period as it is now. Answers all who have signed these very rows; signing twice changes nothing.
pub async fn sign(
    client: &impl GenericClient,
    report: &'static Report,
    up_to: Date,
    by: &str,
) -> Result<(Made, Vec<String>), ClosingError> {
    if !report.signed {
        return Err(ClosingError::NotSigned(report.name));
    }
    let period = period(client, up_to).await?;
    let made = report::make(client, report, ask(period)?).await?;
    let digest = digest(&made);
    let position = made.position.to_string();
    let params: [(&(dyn ToSql + Sync), Type); 7] = [
        (&Uuid::now_v7(), Type::UUID),
        (&report.name, Type::TEXT),
        (&period.since, Type::DATE),
        (&period.up_to, Type::DATE),
        (&position, Type::TEXT),
        (&digest.as_slice(), Type::BYTEA),
        (&by, Type::TEXT),
    ];
    let sql = "SELECT gateway.sign_report($1, $2, $3, $4, $5, $6, $7)";
    client.query_typed_one(sql, &params).await?;
    let signers = signers(client, report, period, &digest).await?;
    Ok((made, signers))
}

/// Explains an item of unexplained money as it stands now; `book` is none for what is of no book alone.
pub async fn explain(
    client: &impl GenericClient,
    book: Option<(ledger::BookId, &str)>,
    account: &str,
    item: &str,
    reason: &str,
    by: &str,
) -> Result<i64, ClosingError> {
    let made = report::make(client, &report::UNEXPLAINED, Ask::default()).await?;
    let open = open_items(&made);
    let code = book.map_or("all", |(_, code)| code);
    let found = open
        .iter()
        .find(|open| (open.book, open.account, open.item) == (code, account, item));
    let amount = found.ok_or_else(|| ClosingError::NoSuchItem(item.to_owned()))?.amount;
    let book = book.map_or(0, |(book, _)| book.0);
    let params: [(&(dyn ToSql + Sync), Type); 7] = [
        (&book, Type::INT8),
        (&Uuid::now_v7(), Type::UUID),
        (&account, Type::TEXT),
        (&item, Type::TEXT),
        (&amount, Type::INT8),
        (&reason, Type::TEXT),
        (&by, Type::TEXT),
    ];
    let sql = "SELECT gateway.explain($1, $2, $3, $4, $5, $6, $7)";
    client.query_typed_one(sql, &params).await?;
    Ok(amount)
}

/// Closes every book up to and including the day, when the checklist is in order; it is kept with the close.
pub async fn close(
    client: &mut Client,
    up_to: Date,
    by: &str,
    reason: Option<&str>,
) -> Result<Checklist, ClosingError> {
    let checklist = checklist(client, up_to).await?;
    if !checklist.is_in_order() {
        let open = checklist.items.iter().flat_map(|item| {
            let name = &item.name;
            item.open.iter().map(move |open| format!("  {name}: {open}"))
        });
        return Err(ClosingError::NotInOrder(open.collect::<Vec<_>>().join("\n")));
    }
    let tx = client.transaction().await?;
    // Waits for the postings under way; from here on none can be dated in the period. What they brought is looked at once more.
    period::close(&tx, None, up_to, by, reason).await?;
    for report in REPORTS.iter().filter(|report| report.signed) {
        let everything = Position::everything();
        let made = report::make_at(&tx, report, ask(checklist.period)?, everything).await?;
        if signers(&tx, report, checklist.period, &digest(&made)).await?.len() < SIGNERS {
            return Err(ClosingError::Changed(report.name));
        }
    }
    let kept = checklist.json();
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&Uuid::now_v7(), Type::UUID),
        (&up_to, Type::DATE),
        (&kept, Type::JSONB),
        (&by, Type::TEXT),
    ];
    tx.query_typed_one("SELECT gateway.note_closing($1, $2, $3, $4)", &params)
        .await?;
    tx.commit().await?;
    Ok(checklist)
}

/// A closing that was made.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Closed {
    pub up_to: Date,
    pub by: String,
    pub at: Timestamp,
    pub checklist: Value,
}

/// All closings by checklist, the newest first.
pub async fn list(client: &impl GenericClient) -> Result<Vec<Closed>, tokio_postgres::Error> {
    let sql = "SELECT up_to, closed_by, closed_at, checklist FROM gateway.closing ORDER BY closed_at DESC, id";
    let rows = client.query_typed(sql, &[]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Closed {
            up_to: row.try_get(0)?,
            by: row.try_get(1)?,
            at: row.try_get(2)?,
            checklist: row.try_get(3)?,
        })
    };
    rows.iter().map(read).collect()
}

/// What people stand for: the rows, without the position that they were read from.
fn digest(made: &Made) -> [u8; 32] {
    Sha256::digest(made.body()).into()
}

/// The whole of the period, of every book.
fn ask(period: Period) -> Result<Ask, ClosingError> {
    let start = |day: Date| {
        let zoned = day.to_zoned(TimeZone::UTC);
        zoned.map(|at| at.timestamp()).map_err(|_| ClosingError::Day(day))
    };
    let end: Date = period.up_to.tomorrow().map_err(|_| ClosingError::Day(period.up_to))?;
    Ok(Ask {
        from: period.since.map(start).transpose()?,
        to: Some(start(end)?),
        ..Ask::default()
    })
}

async fn signers(
    client: &impl GenericClient,
    report: &Report,
    period: Period,
    digest: &[u8],
) -> Result<Vec<String>, ClosingError> {
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&report.name, Type::TEXT),
        (&period.since, Type::DATE),
        (&period.up_to, Type::DATE),
        (&digest, Type::BYTEA),
    ];
    let rows = client.query_typed(SIGNERS_OF, &params).await?;
    rows.iter()
        .map(|row| row.try_get(0).map_err(ClosingError::from))
        .collect()
}

/// Differences between files and books that nobody has decided about.
async fn unmatched(client: &impl GenericClient, period: Period) -> Result<Item, ClosingError> {
    let end = ask(period)?.to;
    let rows = client.query_typed(BREAKS, &[(&end, Type::TIMESTAMPTZ)]).await?;
    let open = rows.iter().map(|row| {
        let (file, breaks): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok(format!("{file}: {breaks} open, see `counterfoil breaks list`"))
    });
    Ok(Item {
        name: "what files and books differ in is explained".to_owned(),
        open: open.collect::<Result<_, ClosingError>>()?,
    })
}

/// Late items of clearing accounts, and all of suspense, that nobody has explained.
async fn unexplained(client: &impl GenericClient, period: Period) -> Result<Item, ClosingError> {
    let made = report::make(
        client,
        &report::UNEXPLAINED,
        Ask {
            from: None,
            ..ask(period)?
        },
    )
    .await?;
    let mut explained = Vec::new();
    for row in client.query_typed(EXPLAINED, &[]).await? {
        let known: (String, String, String, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        explained.push(known);
    }
    let is_explained = |open: &Open<'_>| {
        explained.iter().any(|(book, account, item, amount)| {
            (book.as_str(), account.as_str(), item.as_str(), *amount) == open.key()
        })
    };
    let wrong = open_items(&made).into_iter().filter(|open| {
        let at_once = open.account.starts_with("1910") || open.account.starts_with("1920");
        (open.late || at_once) && !is_explained(open)
    });
    let open: Vec<String> = wrong
        .map(|open| format!("{} {} {}: {}", open.book, open.account, open.item, open.words))
        .collect();
    Ok(Item {
        name: "clearing accounts are back at zero, or what is left is explained".to_owned(),
        open,
    })
}

struct Open<'a> {
    book: &'a str,
    account: &'a str,
    item: &'a str,
    amount: i64,
    words: String,
    late: bool,
}

impl Open<'_> {
    fn key(&self) -> (&str, &str, &str, i64) {
        (self.book, self.account, self.item, self.amount)
    }
}

fn open_items(made: &Made) -> Vec<Open<'_>> {
    made.rows
        .iter()
        .map(|row| {
            let word = |name: &str| match made.column(name).and_then(|at| row.get(at)) {
                Some(Cell::Text(text)) => text.as_str(),
                _ => "",
            };
            let amount = made.column("amount").and_then(|at| row.get(at));
            Open {
                book: word("book"),
                account: word("account"),
                item: word("item"),
                amount: match amount {
                    Some(Cell::Money(amount, _)) => *amount,
                    _ => 0,
                },
                words: amount.map(Cell::words).unwrap_or_default(),
                late: word("standing") == "late",
            }
        })
        .collect()
}

fn signed_names() -> String {
    let signed = REPORTS.iter().filter(|report| report.signed);
    signed.map(|report| report.name).collect::<Vec<_>>().join(", ")
}

const SIGNERS_OF: &str = "
    SELECT min(signed_by) FROM gateway.report_signature
    WHERE report = $1 AND since IS NOT DISTINCT FROM $2 AND up_to = $3 AND digest = $4
    GROUP BY lower(btrim(signed_by)) ORDER BY min(signed_at)";

const BREAKS: &str = "
    SELECT r.name || ' (' || r.id || ')', count(*) FROM gateway.settlement_break b
    JOIN gateway.reconciliation r ON r.id = b.reconciliation_id
    WHERE b.status = 'open' AND b.since < $1 GROUP BY r.id, r.name ORDER BY r.id";

const EXPLAINED: &str = "
    SELECT coalesce(b.code, 'all'), e.account, e.item, e.amount FROM gateway.explanation e LEFT JOIN ledger.book b USING (book_id)";
