//! Proves the books from the rows: nothing that the write path claims is believed.
//!
//! Reads one snapshot (repeatable read, read only) and never writes. Journals are streamed in the order of the books;
//! memory holds the accounts and the open holds of one book at a time. Sums are made here, in 128 bits, independently
//! of the SQL that posted them.

use std::collections::HashMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};
use uuid::Uuid;

use crate::journal::LineKind;
use crate::{AccountName, Currency};

/// What was proved, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Every check, also those that found nothing.
    pub checks: Vec<Check>,
}

/// One thing that must hold for every row of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    /// Rows looked at.
    pub rows: u64,
    /// Rows for which it does not hold.
    pub wrong: u64,
    /// The first such row, in words.
    pub first_wrong: Option<String>,
}

impl Report {
    /// Whether everything holds.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|c| c.wrong == 0)
    }
}

/// Proves all books; `progress` hears the number of journals read so far, now and then.
pub async fn verify(client: &mut Client, mut progress: impl FnMut(u64)) -> Result<Report, tokio_postgres::Error> {
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let mut proof = Proof {
        horizon: tx.query_typed_one(HORIZON, &[]).await?.try_get(0)?,
        ..Proof::default()
    };
    let portal = tx.bind(JOURNALS, &[]).await?;
    let mut book: Option<Book> = None;
    loop {
        let rows = tx.query_portal(&portal, ROWS_PER_FETCH).await?;
        for row in &rows {
            let id: i64 = row.try_get("book_id")?;
            if book.as_ref().is_none_or(|b| b.id != id)
                && let Some(done) = book.replace(Book::new(id))
            {
                done.compare(&tx, &mut proof).await?;
            }
            if let Some(book) = &mut book {
                book.add(row, &mut proof)?;
            }
        }
        progress(proof.journals.rows);
        if rows.len() < ROWS_PER_FETCH as usize {
            break;
        }
    }
    if let Some(done) = book.take() {
        done.compare(&tx, &mut proof).await?;
    }
    // Books without a journal have all counters at zero and no holds.
    for row in &tx.query_typed(IDLE_BOOKS, &[]).await? {
        Book::new(row.try_get(0)?).compare(&tx, &mut proof).await?;
    }
    for row in &tx.query_typed(CLEARING, &[]).await? {
        let (currency, net): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
        proof.clearing.see(net == "0", || {
            format!("1920 in {currency} nets to {net} over all books")
        });
    }
    let rules = crate::rules::check(&tx).await?;
    tx.rollback().await?;
    let mut checks = vec![
        proof.journals,
        proof.references,
        proof.counters,
        proof.limits,
        proof.chart,
        proof.holds,
        proof.pending,
        proof.clearing,
    ];
    checks.extend(rules);
    Ok(Report { checks })
}

struct Proof {
    journals: Check,
    references: Check,
    counters: Check,
    limits: Check,
    chart: Check,
    holds: Check,
    pending: Check,
    clearing: Check,
    /// Ids below are of detached months: what they opened is only known by what remains of it.
    horizon: Option<Uuid>,
}

impl Default for Proof {
    fn default() -> Self {
        let check = Check::new;
        Proof {
            journals: check("each journal sums to zero per currency, posted and pending"),
            references: check("each line is on an account that its book has"),
            counters: check("counters are the sums of the lines"),
            limits: check("no account is below its limit"),
            chart: check("each account is in the chart, with its side and limit"),
            holds: check("what remains of each hold is what its journals left"),
            pending: check("pending counters are the sums of the open holds"),
            clearing: check("money between books nets to zero"),
            horizon: None,
        }
    }
}

impl Check {
    pub(crate) fn new(name: &'static str) -> Check {
        Check {
            name,
            rows: 0,
            wrong: 0,
            first_wrong: None,
        }
    }

    pub(crate) fn see(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        self.rows += 1;
        if !holds {
            self.wrong += 1;
            self.first_wrong.get_or_insert_with(wrong);
        }
    }
}

/// Debits pending and posted, credits pending and posted, wide.
type Sums = [i128; 4];

/// What the journals of one book add up to.
struct Book {
    id: i64,
    accounts: HashMap<String, Sums>,
    holds: HashMap<Uuid, i128>,
}

impl Book {
    fn new(id: i64) -> Book {
        Book {
            id,
            accounts: HashMap::new(),
            holds: HashMap::new(),
        }
    }

    fn add(&mut self, row: &Row, proof: &mut Proof) -> Result<(), tokio_postgres::Error> {
        let journal: Uuid = row.try_get("journal_id")?;
        let accounts: Vec<Option<&str>> = row.try_get("account")?;
        let kinds: Vec<Option<i8>> = row.try_get("kind")?;
        let amounts: Vec<Option<i64>> = row.try_get("amount")?;
        let hold: Option<Uuid> = row.try_get("hold_id")?;
        let complete = accounts.len() >= 2 && kinds.len() == accounts.len() && amounts.len() == accounts.len();
        let mut sound = complete;
        let mut nets: Vec<(&str, i128, i128)> = Vec::with_capacity(1);
        for ((account, kind), amount) in accounts.iter().zip(&kinds).zip(&amounts) {
            let kind = kind.and_then(|k| LineKind::from_letter(k as u8));
            let (Some(account), Some(kind), Some(amount)) = (account, kind, amount.filter(|a| *a > 0)) else {
                sound = false;
                continue;
            };
            let currency = account.rsplit('.').next().unwrap_or_default();
            sound &= currency.parse::<Currency>().is_ok();
            let amount = i128::from(amount);
            let (counter, delta, posted, pending) = match kind {
                LineKind::Debit => (1, amount, amount, 0),
                LineKind::Credit => (3, amount, -amount, 0),
                LineKind::PendingDebit => (0, amount, 0, amount),
                LineKind::PendingCredit => (2, amount, 0, -amount),
                LineKind::ReleaseDebit => (0, -amount, 0, -amount),
                LineKind::ReleaseCredit => (2, -amount, 0, amount),
            };
            match nets.iter_mut().find(|n| n.0 == currency) {
                Some(net) => (net.1, net.2) = (net.1 + posted, net.2 + pending),
                None => nets.push((currency, posted, pending)),
            }
            // A debit-side line moves the hold; its credit twin says the same.
            if counter == 0
                && let Some(hold) = hold
            {
                let left = self.holds.entry(hold).or_default();
                *left += delta;
                if *left == 0 {
                    self.holds.remove(&hold);
                }
            }
            match self.accounts.get_mut(*account) {
                Some(sums) => sums[counter] += delta,
                None => {
                    let mut sums = [0; 4];
                    sums[counter] = delta;
                    self.accounts.insert((*account).to_owned(), sums);
                }
            }
        }
        sound &= nets.iter().all(|n| n.1 == 0 && n.2 == 0);
        proof
            .journals
            .see(sound, || format!("book {} journal {journal}", self.id));
        Ok(())
    }

    /// Compares with the accounts and the open holds of the book as they are stored.
    async fn compare(mut self, tx: &Transaction<'_>, proof: &mut Proof) -> Result<(), tokio_postgres::Error> {
        let book = self.id;
        // What detached months added up to comes before what the journals say.
        for row in &tx.query_typed(CARRIED, &[(&book, Type::INT8)]).await? {
            let carried = self.accounts.entry(row.try_get("account")?).or_default();
            for (sum, counter) in carried.iter_mut().zip(COUNTERS) {
                *sum += i128::from(row.try_get::<_, i64>(counter)?);
            }
        }
        self.holds
            .retain(|hold, _| proof.horizon.is_none_or(|horizon| *hold >= horizon));
        let mut pending: HashMap<(String, bool), i128> = HashMap::new();
        for row in &tx.query_typed(OPEN_HOLDS, &[(&book, Type::INT8)]).await? {
            let (hold, remaining): (Uuid, i64) = (row.try_get("hold_id")?, row.try_get("remaining")?);
            let expected = self.holds.remove(&hold).unwrap_or(0);
            proof.holds.see(expected == i128::from(remaining), || {
                format!("book {book} hold {hold}: {remaining} remain, its journals left {expected}")
            });
            *pending.entry((row.try_get("debit_account")?, true)).or_default() += i128::from(remaining);
            *pending.entry((row.try_get("credit_account")?, false)).or_default() += i128::from(remaining);
        }
        for (hold, left) in self.holds {
            proof.holds.see(false, || {
                format!("book {book} hold {hold}: not open, its journals left {left}")
            });
        }
        for row in &tx.query_typed(ACCOUNTS, &[(&book, Type::INT8)]).await? {
            let account: &str = row.try_get("account")?;
            let counter = |name| row.try_get::<_, i64>(name).map(i128::from);
            let (dp, dd, cp, cc) = (
                counter("debits_pending")?,
                counter("debits_posted")?,
                counter("credits_pending")?,
                counter("credits_posted")?,
            );
            let sums = self.accounts.remove(account).unwrap_or_default();
            proof.counters.see(sums == [dp, dd, cp, cc], || {
                format!(
                    "book {book} account {account}: counters {:?}, lines {sums:?}",
                    [dp, dd, cp, cc]
                )
            });
            let held = |debit| pending.get(&(account.to_owned(), debit)).copied().unwrap_or(0);
            proof.pending.see((held(true), held(false)) == (dp, cp), || {
                format!(
                    "book {book} account {account}: pending {dp}/{cp}, holds {}/{}",
                    held(true),
                    held(false)
                )
            });
            let (side, overdraft): (i8, bool) = (row.try_get("normal_side")?, row.try_get("overdraft")?);
            let available = if side == b'D' as i8 { dd - cc - cp } else { cc - dd - dp };
            proof.limits.see(overdraft || available >= 0, || {
                format!("book {book} account {account}: {available} available")
            });
            let in_chart = account.parse::<AccountName>().is_ok_and(|a| {
                a.chart().normal_side().letter() == char::from(side as u8) && a.chart().overdraft() == overdraft
            });
            proof.chart.see(in_chart, || format!("book {book} account {account}"));
            proof.references.see(true, String::new);
        }
        for account in self.accounts.into_keys() {
            proof.references.see(false, || {
                format!("book {book} has lines on {account}, which it does not have")
            });
        }
        Ok(())
    }
}

const ROWS_PER_FETCH: i32 = 4096;

const JOURNALS: &str = "
    SELECT book_id, journal_id, hold_id, account, kind, amount FROM ledger.journal ORDER BY book_id";

const IDLE_BOOKS: &str = "
    SELECT b.book_id FROM ledger.book b
    WHERE NOT EXISTS (SELECT FROM ledger.journal j WHERE j.book_id = b.book_id) ORDER BY 1";

/// In the order of [`Sums`].
const COUNTERS: [&str; 4] = ["debits_pending", "debits_posted", "credits_pending", "credits_posted"];

const HORIZON: &str = "SELECT ledger.horizon()";

const CARRIED: &str = "
    SELECT account, sum(debits_pending)::bigint AS debits_pending, sum(debits_posted)::bigint AS debits_posted,
           sum(credits_pending)::bigint AS credits_pending, sum(credits_posted)::bigint AS credits_posted
    FROM ledger.carried WHERE book_id = $1 GROUP BY account";

const OPEN_HOLDS: &str = "
    SELECT hold_id, remaining, debit_account, credit_account FROM ledger.hold
    WHERE book_id = $1 AND status = 'open' ORDER BY hold_id";

const ACCOUNTS: &str = "
    SELECT account, normal_side, overdraft, debits_pending, debits_posted, credits_pending, credits_posted
    FROM ledger.account WHERE book_id = $1 ORDER BY account";

const CLEARING: &str = "
    SELECT currency, sum(debits_posted - credits_posted)::text FROM ledger.account WHERE number = '1920'
    GROUP BY currency ORDER BY currency";
