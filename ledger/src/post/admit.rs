//! The careful way: lock, then judge groups one by one in arrival order on running counters.
//!
//! One round trip: holds are locked, then accounts, both in sorted order, and the journals already booked are looked
//! up; the three statements are pipelined. Writes nothing.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::journal::{HoldUse, Journal, LineKind};
use crate::{AccountName, BookId, Refusal};

/// Says for each group, the journals of one unit, whether it may be posted: all of it or nothing. Groups are judged in
/// order, each after the accepted ones before it. The locks stay with the transaction, so that a `post` of the accepted
/// groups in the same transaction cannot be refused for a limit.
pub async fn admit(
    tx: &impl GenericClient,
    groups: &[Vec<&Journal>],
) -> Result<Vec<Result<(), Refusal>>, tokio_postgres::Error> {
    let journals: Vec<&Journal> = groups.iter().flatten().copied().collect();
    let mut state = State::lock(tx, &journals).await?;
    Ok(groups.iter().map(|group| state.judge(group)).collect())
}

#[derive(Clone)]
struct Account {
    open: bool,
    overdraft: bool,
    debit_normal: bool,
    debits_pending: i64,
    debits_posted: i64,
    credits_pending: i64,
    credits_posted: i64,
}

#[derive(Clone)]
struct Hold {
    debit: String,
    credit: String,
    remaining: i64,
}

/// What the groups may lean on: counters and holds as they will be after what was accepted so far.
#[derive(Default)]
struct State {
    accounts: HashMap<(BookId, String), Account>,
    holds: HashMap<(BookId, Uuid), Hold>,
    journals: HashSet<(BookId, Uuid)>,
    keys: HashSet<(BookId, [u8; 16])>,
}

impl State {
    async fn lock(tx: &impl GenericClient, journals: &[&Journal]) -> Result<State, tokio_postgres::Error> {
        let (mut hold_books, mut holds) = (Vec::new(), Vec::new());
        for j in journals {
            if let Some(HoldUse::Consume { hold_id, .. }) = j.hold() {
                hold_books.push(j.book().0);
                holds.push(hold_id);
            }
        }
        let (account_books, accounts): (Vec<i64>, Vec<&str>) = journals
            .iter()
            .flat_map(|j| j.lines().iter().map(|l| (j.book().0, l.account.as_str())))
            .unzip();
        let books: Vec<i64> = journals.iter().map(|j| j.book().0).collect();
        let ids: Vec<Uuid> = journals.iter().map(|j| j.id()).collect();
        let keys: Vec<Option<Vec<u8>>> = journals.iter().map(|j| j.key().map(|k| k.to_vec())).collect();

        let hold_params: [(&(dyn postgres_types::ToSql + Sync), Type); 2] =
            [(&hold_books, Type::INT8_ARRAY), (&holds, Type::UUID_ARRAY)];
        let account_params: [(&(dyn postgres_types::ToSql + Sync), Type); 2] =
            [(&account_books, Type::INT8_ARRAY), (&accounts, Type::TEXT_ARRAY)];
        let booked_params: [(&(dyn postgres_types::ToSql + Sync), Type); 3] = [
            (&books, Type::INT8_ARRAY),
            (&ids, Type::UUID_ARRAY),
            (&keys, Type::BYTEA_ARRAY),
        ];
        // Polled in this order, so sent in this order: holds before accounts.
        let (holds, accounts, booked) = tokio::try_join!(
            biased;
            tx.query_typed("SELECT * FROM ledger.lock_holds($1, $2)", &hold_params),
            tx.query_typed("SELECT * FROM ledger.lock_accounts($1, $2)", &account_params),
            tx.query_typed(BOOKED, &booked_params),
        )?;

        let mut state = State::default();
        for row in &holds {
            state.holds.insert(
                (BookId(row.try_get("book_id")?), row.try_get("hold_id")?),
                Hold {
                    debit: row.try_get("debit_account")?,
                    credit: row.try_get("credit_account")?,
                    remaining: row.try_get("remaining")?,
                },
            );
        }
        for row in &accounts {
            state.accounts.insert(
                (BookId(row.try_get("book_id")?), row.try_get("account")?),
                account(row)?,
            );
        }
        for row in &booked {
            let book = BookId(row.try_get("book_id")?);
            state.journals.insert((book, row.try_get("journal_id")?));
            let key: Option<&[u8]> = row.try_get("idem_key")?;
            if let Some(key) = key.and_then(|k| k.try_into().ok()) {
                state.keys.insert((book, key));
            }
        }
        Ok(state)
    }

    /// Judges one group on copies of what it touches; they become the state only when all of it is accepted.
    fn judge(&mut self, group: &[&Journal]) -> Result<(), Refusal> {
        let mut next = Overlay {
            base: self,
            accounts: HashMap::new(),
            holds: HashMap::new(),
        };
        let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
        for j in group {
            if next.base.journals.contains(&(j.book(), j.id())) || !ids.insert((j.book(), j.id())) {
                return Err(Refusal::DuplicateJournal);
            }
            if let Some(key) = j.key()
                && (next.base.keys.contains(&(j.book(), *key)) || !keys.insert((j.book(), *key)))
            {
                return Err(Refusal::KeyUsed);
            }
            for line in j.lines() {
                if !next.account(j.book(), &line.account)?.open {
                    return Err(Refusal::AccountClosed(line.account.to_string()));
                }
            }
            next.apply_hold(j)?;
            for line in j.lines() {
                next.account(j.book(), &line.account)?.apply(line.kind, line.amount)?;
            }
        }
        if let Some((_, name)) = next
            .accounts
            .iter()
            .filter(|(_, a)| !a.within_limit())
            .map(|(k, _)| k)
            .min()
        {
            return Err(Refusal::Overdraft(name.clone()));
        }
        let Overlay { accounts, holds, .. } = next;
        self.accounts.extend(accounts);
        self.holds.extend(holds);
        self.journals.extend(ids);
        self.keys.extend(keys);
        Ok(())
    }
}

/// The state as one group sees it.
struct Overlay<'a> {
    base: &'a State,
    accounts: HashMap<(BookId, String), Account>,
    holds: HashMap<(BookId, Uuid), Hold>,
}

impl Overlay<'_> {
    fn account(&mut self, book: BookId, name: &AccountName) -> Result<&mut Account, Refusal> {
        let key = (book, name.as_str().to_owned());
        if !self.accounts.contains_key(&key) {
            let known = self
                .base
                .accounts
                .get(&key)
                .ok_or_else(|| Refusal::UnknownAccount(name.to_string()))?;
            self.accounts.insert(key.clone(), known.clone());
        }
        self.accounts
            .get_mut(&key)
            .ok_or_else(|| Refusal::UnknownAccount(name.to_string()))
    }

    fn apply_hold(&mut self, j: &Journal) -> Result<(), Refusal> {
        let pair = |debit: LineKind| j.lines().iter().find(|l| l.kind == debit);
        match j.hold() {
            None => Ok(()),
            Some(HoldUse::Open { .. }) => {
                if let (Some(d), Some(c)) = (pair(LineKind::PendingDebit), pair(LineKind::PendingCredit)) {
                    let hold = Hold {
                        debit: d.account.to_string(),
                        credit: c.account.to_string(),
                        remaining: d.amount,
                    };
                    self.holds.insert((j.book(), j.id()), hold);
                }
                Ok(())
            }
            Some(HoldUse::Consume { hold_id, closes }) => {
                let key = (j.book(), hold_id);
                let known = self.holds.get(&key).or_else(|| self.base.holds.get(&key)).cloned();
                let mut hold = known.ok_or(Refusal::UnknownHold(hold_id))?;
                let (Some(d), Some(c)) = (pair(LineKind::ReleaseDebit), pair(LineKind::ReleaseCredit)) else {
                    return Err(Refusal::Malformed);
                };
                if hold.remaining == 0 {
                    return Err(Refusal::HoldClosed(hold_id));
                }
                if hold.debit != d.account.as_str() || hold.credit != c.account.as_str() {
                    return Err(Refusal::HoldMismatch(hold_id));
                }
                if d.amount > hold.remaining {
                    return Err(Refusal::HoldExceeded(hold_id));
                }
                hold.remaining -= d.amount;
                if closes && hold.remaining != 0 {
                    return Err(Refusal::HoldMismatch(hold_id));
                }
                self.holds.insert(key, hold);
                Ok(())
            }
        }
    }
}

impl Account {
    fn apply(&mut self, kind: LineKind, amount: i64) -> Result<(), Refusal> {
        let (counter, delta) = match kind {
            LineKind::Debit => (&mut self.debits_posted, amount),
            LineKind::Credit => (&mut self.credits_posted, amount),
            LineKind::PendingDebit => (&mut self.debits_pending, amount),
            LineKind::PendingCredit => (&mut self.credits_pending, amount),
            LineKind::ReleaseDebit => (&mut self.debits_pending, -amount),
            LineKind::ReleaseCredit => (&mut self.credits_pending, -amount),
        };
        let moved = counter.checked_add(delta).filter(|c| *c >= 0);
        *counter = moved.ok_or(Refusal::CounterOverflow)?;
        Ok(())
    }

    fn within_limit(&self) -> bool {
        let wide = |a: i64, b: i64, c: i64| i128::from(a) - i128::from(b) - i128::from(c);
        self.overdraft
            || if self.debit_normal {
                wide(self.debits_posted, self.credits_posted, self.credits_pending) >= 0
            } else {
                wide(self.credits_posted, self.debits_posted, self.debits_pending) >= 0
            }
    }
}

fn account(row: &Row) -> Result<Account, tokio_postgres::Error> {
    let status: &str = row.try_get("status")?;
    let normal_side: i8 = row.try_get("normal_side")?;
    Ok(Account {
        open: status == "open",
        overdraft: row.try_get("overdraft")?,
        debit_normal: normal_side == b'D' as i8,
        debits_pending: row.try_get("debits_pending")?,
        debits_posted: row.try_get("debits_posted")?,
        credits_pending: row.try_get("credits_pending")?,
        credits_posted: row.try_get("credits_posted")?,
    })
}

const BOOKED: &str = "
    SELECT j.book_id, j.journal_id, j.idem_key FROM unnest($1, $2) AS n(book_id, journal_id)
    JOIN ledger.journal j USING (book_id, journal_id)
    UNION
    SELECT k.book_id, k.journal_id, k.idem_key FROM unnest($1, $3) AS n(book_id, idem_key)
    JOIN ledger.journal_key k USING (book_id, idem_key)";
