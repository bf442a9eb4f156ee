//! Receipts: a journal with an idempotency key is booked once, and whoever asks again gets the first answer.
//!
//! [`Once`] is the [`Batch`] for callers that retry. A unit is the journals of one fact, each with a key. The keys are
//! looked at before any state: when they are known, the answer is the receipt of the first time, also when that was a
//! refusal (an account was short then, even if it is not now); when the content differs, the answer is
//! [`Refusal::KeyReused`] with the names of the fields that do. Content is what the caller said, so not the journal's
//! id, and the effective time before a value date.
//!
//! Cost: one round trip and one row per key while nothing is refused; a batch in which a key is known or something is
//! refused takes the careful way, two round trips more. Journals without a key do not come here and pay nothing.
//!
//! A refusal is remembered when it is one of state; a malformed journal is refused the same way each time, by itself.
//! It must never answer from anything but committed rows, and never forget.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use postgres_types::ToSql;
use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

use crate::group::{Batch, Failure, Flight, Pass};
use crate::journal::{HoldUse, Journal};
use crate::post::{Statements, admit, post_with};
use crate::{BookId, Refusal};

/// What a booked journal left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The journal: of a repeat, the first one.
    pub journal: Uuid,
    /// Whether it was booked before this call.
    pub replayed: bool,
}

/// Group commit of journals with keys. A unit is the journals of one fact, posted together or not at all; every one of
/// them carries a key of its own, else it is refused as [`Refusal::Malformed`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Once;

impl Batch for Once {
    type Unit = Vec<Journal>;
    type Answer = Result<Vec<Receipt>, Refusal>;

    type Statements = Statements;

    async fn prepare(&self, client: &Client) -> Result<Statements, tokio_postgres::Error> {
        Statements::prepare(client).await
    }

    async fn commit(
        &self,
        tx: &Client,
        statements: &Statements,
        units: &mut [Vec<Journal>],
        pass: Pass,
    ) -> Result<Vec<Self::Answer>, Failure> {
        let keyless = units.iter().flatten().any(|j| j.key().is_none());
        if pass == Pass::Optimistic && !keyless {
            post_with(tx, statements, &units.iter().flatten().collect::<Vec<_>>()).await?;
            return Ok(units.iter().map(|unit| Ok(fresh(unit))).collect());
        }
        if pass == Pass::Optimistic {
            return Err(Failure::NeedsCare);
        }
        carefully(tx, statements, units).await
    }

    fn flight(&self, _: &[Vec<Journal>], pass: Pass) -> Flight {
        match pass {
            Pass::Optimistic => Flight::Alone, // or no statement at all, when a key is missing
            Pass::Careful => Flight::InSteps,
        }
    }
}

/// The names of what makes up a journal's content, in the order of the digest.
pub const FIELDS: [&str; 8] = [
    "code",
    "effective_at",
    "reference",
    "link",
    "reverses",
    "memo",
    "hold",
    "lines",
];

/// 8 bytes of SHA-256 for each of [`FIELDS`].
pub fn digest(journal: &Journal) -> [u8; 64] {
    let hold = match journal.hold() {
        None => String::new(),
        Some(HoldUse::Open { expires_at }) => format!("open {expires_at}"),
        Some(HoldUse::Consume { hold_id, closes, .. }) => format!("{hold_id} {closes}"),
    };
    let lines = journal.lines().iter().map(|l| {
        let (account, kind, amount) = (&l.account, l.kind.letter(), l.amount);
        format!("{account} {kind} {amount}\n")
    });
    let content: [String; 8] = [
        journal.code().as_str().to_owned(),
        journal.effective_at().as_microsecond().to_string(), // what the database keeps
        journal.reference().map(|r| format!("={r}")).unwrap_or_default(),
        journal.link().map(|id| id.to_string()).unwrap_or_default(),
        journal.reverses().map(|id| id.to_string()).unwrap_or_default(),
        journal.memo().map(|m| m.to_string()).unwrap_or_default(),
        hold,
        lines.collect(),
    ];
    let mut digest = [0; 64];
    for (part, text) in digest.chunks_exact_mut(8).zip(content) {
        part.copy_from_slice(&Sha256::digest(text.as_bytes())[..8]);
    }
    digest
}

/// What is known under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The journal that was booked, or that would have been.
    pub journal: Uuid,
    /// Why it was refused; none when it was booked.
    pub refusal: Option<Refusal>,
    /// When the books learned of it.
    pub recorded_at: Timestamp,
    digest: Vec<u8>,
}

/// What became of a key, if it was ever used.
pub async fn find(
    client: &impl GenericClient,
    book: BookId,
    key: &[u8; 16],
) -> Result<Option<Known>, tokio_postgres::Error> {
    let known = look_up(client, &[(book, *key)]).await?;
    Ok(known.into_values().next())
}

async fn carefully(
    tx: &Client,
    statements: &Statements,
    units: &[Vec<Journal>],
) -> Result<Vec<Result<Vec<Receipt>, Refusal>>, Failure> {
    let keys: Vec<Key> = units.iter().flatten().filter_map(key).collect();
    let known = look_up(tx, &keys).await?;
    // The key before the state: what is known, malformed or used twice in this batch never reaches `admit`.
    let mut seen = HashMap::new();
    let mut answers: Vec<Option<Result<Vec<Receipt>, Refusal>>> = units
        .iter()
        .enumerate()
        .map(|(i, unit)| replay(unit, &known).or_else(|| first_of_batch(i, unit, &mut seen)))
        .collect();
    let groups: Vec<(usize, Vec<&Journal>)> = (0..units.len())
        .filter(|i| answers[*i].is_none())
        .map(|i| (i, units[i].iter().collect()))
        .collect();
    let judged: Vec<Vec<&Journal>> = groups.iter().map(|(_, group)| group.clone()).collect();
    let verdicts = if judged.is_empty() {
        Vec::new()
    } else {
        admit(tx, &judged).await?
    };
    // Another transaction took the key after it was looked up, and has committed: look again.
    if verdicts.contains(&Err(Refusal::KeyUsed)) {
        return Err(Failure::NeedsCare);
    }
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for ((i, group), verdict) in groups.into_iter().zip(verdicts) {
        match &verdict {
            Ok(()) => accepted.extend(group),
            Err(refusal) if refusal.is_of_state() => refused.extend(group.into_iter().map(|j| (j, refusal.clone()))),
            Err(_) => {}
        }
        answers[i] = Some(verdict.map(|()| fresh(&units[i])));
    }
    post_with(tx, statements, &accepted).await?;
    remember(tx, &refused).await?;
    Ok(twins(units, answers, &seen))
}

type Key = (BookId, [u8; 16]);

fn key(journal: &Journal) -> Option<Key> {
    journal.key().map(|key| (journal.book(), *key))
}

fn fresh(unit: &[Journal]) -> Vec<Receipt> {
    let receipt = |j: &Journal| Receipt {
        journal: j.id(),
        replayed: false,
    };
    unit.iter().map(receipt).collect()
}

/// The answer of the first time, when any key of the unit was used before.
fn replay(unit: &[Journal], known: &HashMap<Key, Known>) -> Option<Result<Vec<Receipt>, Refusal>> {
    let own: HashSet<Key> = unit.iter().filter_map(key).collect();
    if unit.is_empty() || own.len() != unit.len() {
        return Some(Err(Refusal::Malformed));
    }
    let found: Vec<Option<&Known>> = unit.iter().map(|j| known.get(&key(j)?)).collect();
    if found.iter().all(Option::is_none) {
        return None;
    }
    let mut receipts = Vec::with_capacity(unit.len());
    for (journal, found) in unit.iter().zip(found) {
        let Some(found) = found else {
            return Some(Err(Refusal::KeyReused("set of journals".into())));
        };
        if let Some(fields) = differing(&digest(journal), &found.digest) {
            return Some(Err(Refusal::KeyReused(fields)));
        }
        if let Some(refusal) = &found.refusal {
            return Some(Err(refusal.clone()));
        }
        receipts.push(Receipt {
            journal: found.journal,
            replayed: true,
        });
    }
    Some(Ok(receipts))
}

/// Of units of one batch with the same key the first one goes on; the others wait for its answer ([`twins`]).
fn first_of_batch(
    i: usize,
    unit: &[Journal],
    seen: &mut HashMap<Key, (usize, usize)>,
) -> Option<Result<Vec<Receipt>, Refusal>> {
    let keys: Vec<Key> = unit.iter().filter_map(key).collect();
    if keys.iter().any(|k| seen.contains_key(k)) {
        return Some(Err(Refusal::KeyUsed)); // replaced by `twins`
    }
    seen.extend(keys.into_iter().enumerate().map(|(n, k)| (k, (i, n))));
    None
}

/// Answers the later units of a batch as if they had come after the first one with their key had committed.
fn twins(
    units: &[Vec<Journal>],
    answers: Vec<Option<Result<Vec<Receipt>, Refusal>>>,
    seen: &HashMap<Key, (usize, usize)>,
) -> Vec<Result<Vec<Receipt>, Refusal>> {
    let answers: Vec<_> = answers
        .into_iter()
        .map(|a| a.unwrap_or(Err(Refusal::KeyUsed)))
        .collect();
    let mut known = HashMap::new();
    for (key, (i, n)) in seen {
        let remembered = match &answers[*i] {
            Ok(_) => None,
            Err(refusal) if refusal.is_of_state() => Some(refusal.clone()),
            Err(_) => continue,
        };
        let journal = &units[*i][*n];
        known.insert(
            *key,
            Known {
                journal: journal.id(),
                refusal: remembered,
                recorded_at: Timestamp::UNIX_EPOCH,
                digest: digest(journal).to_vec(),
            },
        );
    }
    let again = |(unit, answer): (&Vec<Journal>, Result<Vec<Receipt>, Refusal>)| match answer {
        Err(Refusal::KeyUsed) => replay(unit, &known).unwrap_or(Err(Refusal::KeyUsed)),
        answer => answer,
    };
    units.iter().zip(answers).map(again).collect()
}

/// The fields that differ, joined by commas.
fn differing(a: &[u8], b: &[u8]) -> Option<String> {
    let fields: Vec<&str> = FIELDS
        .into_iter()
        .zip(a.chunks(8).zip(b.chunks(8)))
        .filter(|(_, (a, b))| a != b)
        .map(|(field, _)| field)
        .collect();
    (!fields.is_empty()).then(|| fields.join(", "))
}

async fn look_up(client: &impl GenericClient, keys: &[Key]) -> Result<HashMap<Key, Known>, tokio_postgres::Error> {
    let (books, keys): (Vec<i64>, Vec<&[u8]>) = keys.iter().map(|(book, key)| (book.0, key.as_slice())).unzip();
    let rows = client
        .query_typed(LOOK_UP, &[(&books, Type::INT8_ARRAY), (&keys, Type::BYTEA_ARRAY)])
        .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let Ok(key) = <[u8; 16]>::try_from(row.try_get::<_, &[u8]>("idem_key")?) else {
            continue; // a CHECK keeps it at 16 bytes
        };
        let (refusal, subject): (Option<&str>, Option<&str>) = (row.try_get("refusal")?, row.try_get("subject")?);
        known.insert(
            (BookId(row.try_get("book_id")?), key),
            Known {
                journal: row.try_get("journal_id")?,
                // A code that this version does not know still means that nothing was booked.
                refusal: refusal
                    .map(|code| Refusal::remembered(code, subject.unwrap_or_default()).unwrap_or(Refusal::Malformed)),
                recorded_at: row.try_get("recorded_at")?,
                digest: row.try_get("digest")?,
            },
        );
    }
    Ok(known)
}

async fn remember(tx: &impl GenericClient, refused: &[(&Journal, Refusal)]) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let books: Vec<i64> = refused.iter().map(|(j, _)| j.book().0).collect();
    let keys: Vec<Option<&[u8]>> = refused.iter().map(|(j, _)| j.key().map(<[u8; 16]>::as_slice)).collect();
    let ids: Vec<Uuid> = refused.iter().map(|(j, _)| j.id()).collect();
    let digests: Vec<Vec<u8>> = refused.iter().map(|(j, _)| digest(j).to_vec()).collect();
    let codes: Vec<&str> = refused.iter().map(|(_, r)| r.code()).collect();
    let subjects: Vec<String> = refused.iter().map(|(_, r)| r.subject()).collect();
    let params: [(&(dyn ToSql + Sync), Type); 6] = [
        (&books, Type::INT8_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&ids, Type::UUID_ARRAY),
        (&digests, Type::BYTEA_ARRAY),
        (&codes, Type::TEXT_ARRAY),
        (&subjects, Type::TEXT_ARRAY),
    ];
    let row = tx
        .query_typed_one("SELECT ledger.remember($1, $2, $3, $4, $5, $6)", &params)
        .await?;
    // Another transaction took one of the keys since they were looked up, and has committed: look again.
    if row.try_get::<_, i64>(0)? != refused.len() as i64 {
        return Err(Failure::NeedsCare);
    }
    Ok(())
}

const LOOK_UP: &str = "
    SELECT r.book_id, r.idem_key, r.journal_id, r.digest, r.refusal, r.subject, r.recorded_at
    FROM unnest($1, $2) AS k(book_id, idem_key)
    JOIN ledger.receipt r ON r.book_id = k.book_id AND r.idem_key = k.idem_key";
