//! What is told of a reconciliation: how many lines match, and every break that is open, with both sides and what could be done.

use jiff::Timestamp;
use ledger::{Currency, Money};
use reconcile::cluster::{BreakKind, Ours, Theirs};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use crate::id;

/// The report of one file, as `counterfoil reconcile --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// lines of the file that are right
    pub matched: i64,
    /// what is open
    pub breaks: Vec<Break>,
}

/// What has to be explained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Break {
    /// `amount_mismatch`, `currency_mismatch`, `duplicate`, `theirs_only`, `ours_only` or `late`
    pub kind: String,
    /// what the file calls it
    pub reference: Option<String>,
    /// our side: object, account, amount in minor units, currency, time
    pub ours: Option<Value>,
    /// their side: line of the file, amount and fee in minor units, currency, time
    pub theirs: Option<Value>,
    /// what could be done
    pub proposal: Option<Value>,
}

/// An open break of any file, for whoever works through them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Open {
    /// `brk_..`
    pub id: String,
    /// `rec_..`
    pub reconciliation: String,
    /// whole days since it should have been right
    pub age_days: i64,
    /// the break
    #[serde(flatten)]
    pub found: Break,
}

/// The report of one file: what is open of it now.
pub(super) async fn of(tx: &Transaction<'_>, id: &str) -> Result<Report, tokio_postgres::Error> {
    let matched = "SELECT r.matched + count(DISTINCT c.line) FILTER (WHERE c.rule = 'person' AND NOT c.undone) FROM gateway.reconciliation r
                   LEFT JOIN gateway.settlement_claim c ON c.reconciliation_id = r.id AND c.rule = 'person'
                   WHERE r.id = $1 GROUP BY r.id, r.matched";
    let matched = tx.query_one(matched, &[&id]).await?.try_get(0)?;
    let breaks = "SELECT kind, reference, ours, theirs, proposal FROM gateway.settlement_break
                  WHERE reconciliation_id = $1 AND status = 'open' ORDER BY number";
    let rows = tx.query(breaks, &[&id]).await?;
    let breaks = rows.iter().map(one).collect::<Result<_, _>>()?;
    Ok(Report { matched, breaks })
}

/// Every open break, oldest first, after this one.
pub async fn breaks_open(
    client: &impl GenericClient,
    now: Timestamp,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Open>, tokio_postgres::Error> {
    let sql = "SELECT id, reconciliation_id, since, kind, reference, ours, theirs, proposal FROM gateway.settlement_break
               WHERE status = 'open' AND ($1::text IS NULL OR (since, id) > (SELECT since, id FROM gateway.settlement_break WHERE id = $1))
               ORDER BY since, id LIMIT $2";
    let rows = client.query(sql, &[&after, &limit]).await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        let since: Timestamp = row.try_get("since")?;
        open.push(Open {
            id: row.try_get("id")?,
            reconciliation: row.try_get("reconciliation_id")?,
            age_days: now.duration_since(since).as_hours() / 24,
            found: one(row)?,
        });
    }
    Ok(open)
}

fn one(row: &tokio_postgres::Row) -> Result<Break, tokio_postgres::Error> {
    Ok(Break {
        kind: row.try_get("kind")?,
        reference: row.try_get("reference")?,
        ours: row.try_get("ours")?,
        theirs: row.try_get("theirs")?,
        proposal: row.try_get("proposal")?,
    })
}

/// Breaks on their way into the table, in the order of the report: those with a line by their line, then ours by age.
#[derive(Default)]
pub(super) struct Breaks(Vec<Row>);

struct Row {
    kind: BreakKind,
    line: Option<i64>,
    reference: Option<String>,
    claim: Option<i64>,
    entry: Option<(i64, Uuid, String)>,
    ours: Option<Value>,
    theirs: Option<Value>,
    proposal: Option<Value>,
    since: Timestamp,
}

impl Breaks {
    pub(super) fn push(
        &mut self,
        kind: BreakKind,
        lines: &[&Theirs],
        entries: &[&Ours],
        claim: Option<i64>,
        proposal: Option<Value>,
    ) {
        let line = lines.first();
        let entry = entries.first();
        // A bank's spelling of it may be another one: ours is the acquirer's.
        let named = line.map(|line| &line.reference).filter(|text| !text.is_empty());
        let reference = entry.map(|entry| &entry.reference).or(named).cloned();
        let since = line.map(|line| line.at).or(entry.map(|entry| entry.at));
        let ours_alone = lines.is_empty().then(|| entries.first()).flatten();
        self.0.push(Row {
            kind,
            line: line.map(|line| line.line),
            reference,
            claim,
            entry: ours_alone.map(|entry| (entry.book, entry.journal, entry.account.clone())),
            ours: side(entries, ours),
            theirs: side(lines, theirs),
            proposal: proposal.or_else(|| propose(kind, lines, entries)),
            since: since.unwrap_or(Timestamp::UNIX_EPOCH),
        });
    }

    pub(super) async fn insert(
        mut self,
        tx: &Transaction<'_>,
        id: &str,
        series: &str,
    ) -> Result<(), tokio_postgres::Error> {
        self.0.sort_by_key(|row| (row.line.is_none(), row.line)); // stable: ours are in order of age
        for (chunk_number, chunk) in self.0.chunks(CHUNK).enumerate() {
            let first = (chunk_number * CHUNK) as i64;
            let numbers: Vec<i64> = (0..chunk.len() as i64).map(|n| first + n).collect();
            let ids: Vec<String> = chunk.iter().map(|_| id::new(id::prefix::SETTLEMENT_BREAK)).collect();
            let column = |of: fn(&Row) -> Option<&Value>| chunk.iter().map(|row| of(row).cloned()).collect::<Vec<_>>();
            let entry = |row: &Row| row.entry.clone();
            tx.execute(
                "INSERT INTO gateway.settlement_break (reconciliation_id, series, id, number, kind, reference, claim, book_id, journal_id, account, ours,
                     theirs, proposal, since)
                 SELECT $1, $14, u.* FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::uuid[], $9::text[],
                     $10::jsonb[], $11::jsonb[], $12::jsonb[], $13::timestamptz[]) u",
                &[
                    &id,
                    &ids,
                    &numbers,
                    &chunk.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(),
                    &chunk.iter().map(|row| row.reference.clone()).collect::<Vec<_>>(),
                    &chunk.iter().map(|row| row.claim).collect::<Vec<_>>(),
                    &chunk.iter().map(|row| entry(row).map(|e| e.0)).collect::<Vec<_>>(),
                    &chunk.iter().map(|row| entry(row).map(|e| e.1)).collect::<Vec<_>>(),
                    &chunk.iter().map(|row| entry(row).map(|e| e.2)).collect::<Vec<_>>(),
                    &column(|row| row.ours.as_ref()),
                    &column(|row| row.theirs.as_ref()),
                    &column(|row| row.proposal.as_ref()),
                    &chunk.iter().map(|row| row.since).collect::<Vec<_>>(),
                    &series,
                ],
            )
            .await?;
        }
        Ok(())
    }
}

/// One thing as it is; of several, their sum besides.
fn side<T>(items: &[&T], show: impl Fn(&T) -> Value) -> Option<Value> {
    match items {
        [] => None,
        [one] => Some(show(one)),
        several => {
            let parts: Vec<Value> = several.iter().map(|item| show(item)).collect();
            let sum: i64 = parts
                .iter()
                .filter_map(|part| part["amount"].as_i64())
                .fold(0, i64::saturating_add);
            Some(json!({ "amount": sum, "currency": parts[0]["currency"], "parts": parts }))
        }
    }
}

fn ours(entry: &Ours) -> Value {
    json!({
        "id": entry.object, "kind": entry.kind.as_str(), "amount": entry.amount, "currency": entry.currency.as_str(),
        "at": entry.at.to_string(), "account": entry.account, "book": entry.book, "journal": entry.journal,
    })
}

fn theirs(line: &Theirs) -> Value {
    json!({
        "line": line.line + 1, "kind": line.kind.as_str(), "amount": line.amount, "fee": line.fee, "currency": line.currency.as_str(),
        "at": line.at.to_string(),
    })
}

/// The same thing under another name, a person may say.
pub(super) fn same(entries: &[&Ours]) -> Value {
    let ids: Vec<&str> = entries.iter().map(|entry| entry.object.as_str()).collect();
    json!({ "action": "match", "ours": ids })
}

/// The other side of [`same`].
pub(super) fn same_line(line: &Theirs) -> Value {
    json!({ "action": "match", "theirs": line.line + 1 })
}

/// What would put it right, as far as it can be said: a journal is proposed, never booked here.
fn propose(kind: BreakKind, lines: &[&Theirs], entries: &[&Ours]) -> Option<Value> {
    let sum = |amounts: &mut dyn Iterator<Item = i64>| amounts.fold(0, i64::saturating_add);
    let theirs = sum(&mut lines.iter().map(|line| line.amount));
    match kind {
        BreakKind::AmountMismatch => {
            let entry = entries.first()?;
            let difference = theirs.saturating_sub(sum(&mut entries
                .iter()
                .filter(|e| e.kind != reconcile::Kind::Fee)
                .map(|e| e.amount)));
            let suspense = suspense(&entry.account, entry.currency);
            // More than expected: they owe us more than we booked; less: less.
            let (debit, credit) = match difference > 0 {
                true => (entry.account.clone(), suspense),
                false => (suspense, entry.account.clone()),
            };
            Some(json!({
                "action": "adjust", "code": "J27", "book": entry.book, "debit": debit, "credit": credit, "amount": difference.saturating_abs(),
                "currency": entry.currency.as_str(),
                "text": format!("book the difference of {} in suspense, and ask for it", Money::new(difference, entry.currency)),
            }))
        }
        BreakKind::CurrencyMismatch => Some(json!({
            "action": "ask", "text": "settled in another currency than it was sold in: book the exchange (J17) when the rate is known",
        })),
        BreakKind::Duplicate | BreakKind::TheirsOnly => {
            let line = lines.first()?;
            let text = match kind {
                BreakKind::Duplicate => "it was settled before: keep the amount in suspense, and give it back",
                _ => "nothing is known of it: keep the amount in suspense until it is",
            };
            Some(json!({
                "action": "suspend", "code": "J27", "amount": line.amount.saturating_abs(), "currency": line.currency.as_str(), "text": text,
            }))
        }
        BreakKind::OursOnly => Some(json!({ "action": "wait", "text": "expect it in the next file; then claim it" })),
        BreakKind::Late => {
            Some(json!({ "action": "accept", "text": "amount and reference are right: accept the date" }))
        }
    }
}

/// Account 1910 beside a clearing account.
fn suspense(account: &str, currency: Currency) -> String {
    match account.split('.').collect::<Vec<_>>().as_slice() {
        [_, dimension, _] => format!("1910.{dimension}.{currency}"),
        _ => format!("1910.{currency}"),
    }
}

/// Breaks per round trip.
const CHUNK: usize = 500;
