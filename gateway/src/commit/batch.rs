//! How a batch of units becomes one transaction: one call of `gateway.commit` and one of `ledger.post`, sent together.
//!
//! Round trips: one (optimistic; BEGIN and COMMIT travel along). When a guard or a limit refuses something, the batch is
//! run again with care: savepoint, try, learn which units are refused, roll back to the savepoint, try the rest; each
//! turn refuses at least one unit, so it ends. Locks: rows of the gateway in the order of [`TABLES`] and of their ids,
//! then the ledger's holds and accounts in its own sorted order; what still collides is 40P01 and is retried.
//!
//! It must never answer a unit before COMMIT (the committer sees to that) and never let a refused unit fail its
//! neighbours.

use super::Refused;
use super::table::{REFUSED, TABLES, Table};
use super::unit::{Keyed, Unit, Write};
use ledger::group::{Batch, Failure, Flight, Pass};
use ledger::journal::Journal;
use std::collections::{HashMap, HashSet};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

/// The gateway's batch.
#[derive(Debug)]
pub struct GatewayBatch {
    sql: String,
}

impl GatewayBatch {
    /// The batch with its one statement.
    pub fn new() -> Self {
        let parameters = (1..=slots()).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        Self {
            sql: format!("SELECT gateway.commit({parameters})"),
        }
    }
}

impl Default for GatewayBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch for GatewayBatch {
    type Unit = Unit;
    type Answer = Result<(), Refused>;
    type Statements = Statements;

    async fn prepare(&self, client: &Client) -> Result<Statements, tokio_postgres::Error> {
        let types: Vec<Type> = arguments(std::iter::empty()).iter().map(|a| a.parameter().1).collect();
        Ok(Statements {
            rows: client.prepare_typed(&self.sql, &types).await?,
            money: ledger::post::Statements::prepare(client).await?,
        })
    }

    async fn commit(
        &self,
        tx: &Client,
        statements: &Statements,
        units: &mut [Unit],
        pass: Pass,
    ) -> Result<Vec<Self::Answer>, Failure> {
        let mut answers: Vec<Option<Refused>> = twice_in_batch(units);
        if pass == Pass::Optimistic {
            self.write(tx, statements, units, &answers)
                .await
                .map_err(Stop::into_failure)?;
            return Ok(answers.into_iter().map(|refused| refused.map_or(Ok(()), Err)).collect());
        }
        while answers.iter().any(Option::is_none) {
            tx.batch_execute("SAVEPOINT attempt").await?;
            match self.write(tx, statements, units, &answers).await {
                Ok(()) => break,
                Err(Stop::Guards(rows)) => {
                    tx.batch_execute("ROLLBACK TO attempt").await?;
                    refuse_by_rows(units, &mut answers, &rows);
                }
                Err(Stop::Ledger) => {
                    tx.batch_execute("ROLLBACK TO attempt").await?;
                    let live: Vec<usize> = (0..units.len()).filter(|i| answers[*i].is_none()).collect();
                    let groups: Vec<Vec<&Journal>> = live.iter().map(|i| units[*i].journals.iter().collect()).collect();
                    for (index, verdict) in live.into_iter().zip(ledger::post::admit(tx, &groups).await?) {
                        answers[index] = verdict.err().map(Refused::Ledger);
                    }
                }
                Err(Stop::Database(error)) => return Err(Failure::Database(error)),
            }
        }
        Ok(answers.into_iter().map(|refused| refused.map_or(Ok(()), Err)).collect())
    }

    fn flight(&self, units: &[Unit], pass: Pass) -> Flight {
        let has_rows = |unit: &Unit| unit.claim.is_some() || unit.answer.is_some() || !unit.rows.is_empty();
        match (pass, units) {
            (Pass::Careful, _) => Flight::InSteps,
            // Rows or journals alone are one statement; nothing in a batch of one is refused before it is sent.
            (Pass::Optimistic, [unit]) if has_rows(unit) == unit.journals.is_empty() => Flight::Alone,
            (Pass::Optimistic, _) => Flight::Together,
        }
    }
}

/// What is prepared on each writer's connection.
#[derive(Debug)]
pub struct Statements {
    rows: Statement,
    money: ledger::post::Statements,
}

/// Why a write stopped; the transaction, or the part since the savepoint, is aborted.
enum Stop {
    /// these rows (`table book id`) failed their guards
    Guards(String),
    /// the ledger refuses something
    Ledger,
    Database(tokio_postgres::Error),
}

impl Stop {
    fn into_failure(self) -> Failure {
        match self {
            Stop::Guards(_) | Stop::Ledger => Failure::NeedsCare,
            Stop::Database(error) => Failure::Database(error),
        }
    }
}

impl GatewayBatch {
    /// Writes every unit that has no refusal yet.
    async fn write(
        &self,
        tx: &Client,
        statements: &Statements,
        units: &[Unit],
        answers: &[Option<Refused>],
    ) -> Result<(), Stop> {
        let live = || {
            units
                .iter()
                .zip(answers)
                .filter(|(_, refused)| refused.is_none())
                .map(|(unit, _)| unit)
        };
        let arguments = arguments(live());
        let parameters: Vec<&(dyn ToSql + Sync)> = arguments.iter().map(|a| a.parameter().0).collect();
        let journals: Vec<&Journal> = live().flat_map(|unit| &unit.journals).collect();
        let rows = async {
            if arguments
                .iter()
                .all(|argument| !matches!(argument, Argument::Json(JsonText(Some(_)))))
            {
                return Ok(());
            }
            tx.execute(&statements.rows, &parameters)
                .await
                .map(drop)
                .map_err(|error| match error.as_db_error() {
                    Some(db) if db.code().code() == REFUSED => Stop::Guards(db.detail().unwrap_or_default().to_owned()),
                    _ => Stop::Database(error),
                })
        };
        let money = async {
            let posted = ledger::post::post_with(tx, &statements.money, &journals).await;
            posted.map_err(|error| match error {
                ledger::post::PostError::Database(error) => Stop::Database(error),
                _ => Stop::Ledger,
            })
        };
        tokio::try_join!(biased; rows, money).map(drop)
    }
}

/// Two units of one batch that want the same key or move the same row: the second is refused before anything is sent.
fn twice_in_batch(units: &[Unit]) -> Vec<Option<Refused>> {
    let (mut keys, mut rows) = (HashSet::new(), HashSet::new());
    units
        .iter()
        .map(|unit| {
            if let Some(claim) = &unit.claim
                && keys.contains(&(unit.book_id, claim.key))
            {
                return Some(Refused::KeyTaken);
            }
            if unit
                .rows
                .iter()
                .any(|row| rows.contains(&(row.book_id, row.table, row.id.as_str())))
            {
                return Some(Refused::conflict());
            }
            keys.extend(
                unit.claim
                    .iter()
                    .chain(&unit.answer)
                    .map(|keyed| (unit.book_id, keyed.key)),
            );
            rows.extend(unit.rows.iter().map(|row| (row.book_id, row.table, row.id.as_str())));
            None
        })
        .collect()
}

/// A parameter of `gateway.commit`.
#[derive(Debug)]
enum Argument<'a> {
    /// a JSON array as the text it already is; NULL when there are no rows
    Json(JsonText),
    /// the rows' long texts, in the same order
    Texts(Vec<Option<&'a str>>),
}

impl Argument<'_> {
    fn parameter(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Argument::Json(text) => (text, Type::JSON),
            Argument::Texts(texts) => (texts, Type::TEXT_ARRAY),
        }
    }
}

#[derive(Debug)]
struct JsonText(Option<String>);

impl ToSql for JsonText {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match &self.0 {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(tokio_postgres::types::IsNull::No)
            }
            None => Ok(tokio_postgres::types::IsNull::Yes),
        }
    }
    fn accepts(r#type: &Type) -> bool {
        *r#type == Type::JSON
    }
    tokio_postgres::types::to_sql_checked!();
}

/// How many parameters `gateway.commit` has.
fn slots() -> usize {
    arguments(std::iter::empty()).len()
}

/// The parameters of `gateway.commit`, rows sorted by id so that two writers lock in one order.
fn arguments<'a>(units: impl Iterator<Item = &'a Unit>) -> Vec<Argument<'a>> {
    let (mut claims, mut answers): (Vec<&Keyed>, Vec<&Keyed>) = (Vec::new(), Vec::new());
    let mut rows: HashMap<(Table, bool), Vec<&Write>> = HashMap::new();
    for unit in units {
        claims.extend(&unit.claim);
        answers.extend(&unit.answer);
        for row in &unit.rows {
            rows.entry((row.table, row.new)).or_default().push(row);
        }
    }
    let mut arguments = Vec::with_capacity(4 + 2 * TABLES.len());
    for keyed in [claims, answers] {
        arguments.push(Argument::Json(array(keyed.iter().map(|k| k.json.as_str()))));
        arguments.push(Argument::Texts(keyed.iter().map(|k| k.body.as_deref()).collect()));
    }
    for shape in TABLES {
        for new in [true, false] {
            if !new && shape.mutable.is_empty() {
                continue;
            }
            let mut list = rows.remove(&(shape.table, new)).unwrap_or_default();
            list.sort_unstable_by_key(|row| row.id.as_str());
            arguments.push(Argument::Json(array(list.iter().map(|row| row.json.as_str()))));
            if shape.table == Table::Event {
                arguments.push(Argument::Texts(list.iter().map(|row| row.body.as_deref()).collect()));
            }
        }
    }
    arguments
}

fn array<'a>(items: impl Iterator<Item = &'a str>) -> JsonText {
    let mut text = String::new();
    for item in items {
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(item);
    }
    if text.is_empty() {
        return JsonText(None);
    }
    text.push(']');
    JsonText(Some(text))
}

/// Marks the units that own the refused rows.
fn refuse_by_rows(units: &[Unit], answers: &mut [Option<Refused>], rows: &str) {
    let refused: HashSet<&str> = rows.lines().collect();
    let mut marked = false;
    for (unit, answer) in units
        .iter()
        .zip(answers.iter_mut())
        .filter(|(_, answer)| answer.is_none())
    {
        let keyed = unit.claim.iter().chain(&unit.answer);
        let key_taken = keyed
            .into_iter()
            .any(|k| refused.contains(format!("request {} {}", unit.book_id, hex::encode(k.key.0)).as_str()));
        let conflict = unit.rows.iter().any(|row| {
            refused.contains(format!("{} {} {}", super::table_name(row.table), row.book_id, row.id).as_str())
        });
        if key_taken {
            *answer = Some(Refused::KeyTaken);
        } else if conflict {
            *answer = Some(Refused::conflict());
        }
        marked |= answer.is_some();
    }
    if !marked {
        // Cannot happen while `gateway.commit` and this list are made from one table; if it does, nobody may wait for ever.
        answers
            .iter_mut()
            .filter(|a| a.is_none())
            .for_each(|a| *a = Some(Refused::conflict()));
    }
}
