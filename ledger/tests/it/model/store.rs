//! PostgreSQL behind the same steps as the model.

use std::collections::HashMap;

use jiff::civil::date;
use jiff::{Timestamp, ToSpan};
use ledger::balance::{self, AsOf, Counters};
use ledger::group::{Batch, Failure, Pass};
use ledger::journal::{Draft, Journal};
use ledger::post::Statements;
use ledger::receipt::{Once, Receipt};
use ledger::{AccountActError, BookId, JournalCode, Refusal, period};
use tokio_postgres::Client;
use uuid::Uuid;

use super::books::{Account, Answer, Hold, Model, NOBODY, Plan};
use super::name;

/// Two books of their own.
pub struct Store<'a> {
    app: &'a Client,
    finance: &'a Client,
    statements: Statements,
    books: [BookId; 2],
    /// Journals by their number, and back.
    ids: HashMap<usize, Uuid>,
    numbers: HashMap<Uuid, usize>,
}

impl<'a> Store<'a> {
    pub async fn open(app: &'a Client, finance: &'a Client, code: &str) -> Store<'a> {
        let mut books = [BookId(0); 2];
        for (i, book) in books.iter_mut().enumerate() {
            let code = format!("{code}_{i}");
            *book = ledger::open_book(app, &code, &code).await.unwrap();
            let accounts = [Account::Receivable, Account::Pending, Account::Available, Account::Fee].map(name);
            ledger::open(app, *book, &accounts).await.unwrap();
        }
        Store {
            app,
            finance,
            statements: Statements::prepare(app).await.unwrap(),
            books,
            ids: HashMap::new(),
            numbers: HashMap::new(),
        }
    }

    /// All in one transaction, with care: judged one after the other.
    pub async fn batch(&mut self, plans: &[Plan]) -> Result<Vec<Answer>, String> {
        let units = plans.iter().map(|plan| vec![self.journal(plan)]).collect();
        self.commit(units, &[Pass::Careful]).await
    }

    /// Each in a transaction of its own, as a committer runs it.
    pub async fn one_by_one(&mut self, plans: &[Plan]) -> Result<Vec<Answer>, String> {
        let mut answers = Vec::new();
        for plan in plans {
            let unit = vec![self.journal(plan)];
            answers.extend(self.commit(vec![unit], &[Pass::Optimistic, Pass::Careful]).await?);
        }
        Ok(answers)
    }

    pub async fn set_open(&mut self, book: usize, account: Account, open: bool) -> bool {
        let (book, account) = (self.books[book], name(account));
        let acted = match open {
            true => ledger::reopen(self.finance, book, &account, "ann", "why not").await,
            false => ledger::close(self.finance, book, &account, "ann", "why not").await,
        };
        match acted {
            Ok(()) | Err(AccountActError::Already(_)) => true,
            Err(AccountActError::OnHold) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn set_closed(&mut self, book: usize, closed: bool) {
        let book = Some(self.books[book]);
        match closed {
            true => period::close(self.finance, book, date(2024, 12, 31), "ann", None)
                .await
                .unwrap(),
            false => period::reopen(self.finance, book, date(2020, 1, 1), "ann", "why not")
                .await
                .unwrap(),
        }
    }

    /// Where the books are not those of the model: counters, holds, number of journals, and the sums of the lines.
    pub async fn differs(&self, model: &Model) -> Option<String> {
        for (i, book) in self.books.into_iter().enumerate() {
            let balances = balance::of_book(self.app, book).await.unwrap();
            for account in [Account::Receivable, Account::Pending, Account::Available, Account::Fee] {
                let [debits_pending, debits_posted, credits_pending, credits_posted] =
                    model.counters.get(&(i, account)).copied().unwrap_or_default();
                let expected = Counters {
                    debits_pending,
                    debits_posted,
                    credits_pending,
                    credits_posted,
                };
                let found = balances.iter().find(|b| b.account == name(account))?.counters;
                if found != expected {
                    return Some(format!("{account:?}: {found:?} and not {expected:?}"));
                }
            }
            if balance::as_of(self.app, book, AsOf::default()).await.unwrap() != balances {
                return Some("the lines do not make the counters".into());
            }
            let count = "SELECT count(*) FROM ledger.journal WHERE book_id = $1";
            let found: i64 = self.app.query_one(count, &[&book.0]).await.unwrap().get(0);
            if found as usize != model.booked[i] {
                return Some(format!("{found} journals and not {}", model.booked[i]));
            }
        }
        for (number, hold) in &model.holds {
            let sql = "SELECT remaining FROM ledger.hold WHERE book_id = $1 AND hold_id = $2";
            let params: [&(dyn postgres_types::ToSql + Sync); 2] = [&self.books[hold.book].0, &self.ids[number]];
            let found: Option<i64> = self.app.query_opt(sql, &params).await.unwrap().map(|row| row.get(0));
            if found != Some(hold.remaining) {
                return Some(format!("hold {number}: {found:?} remains and not {}", hold.remaining));
            }
        }
        None
    }

    fn journal(&mut self, plan: &Plan) -> Journal {
        let id = Uuid::now_v7();
        self.ids.insert(plan.number, id);
        self.numbers.insert(id, plan.number);
        let ids = &self.ids;
        let of = |number: usize| if number == NOBODY { Uuid::nil() } else { ids[&number] };
        let content = &plan.content;
        let code = match (content.reverses, content.hold) {
            (Some(_), _) => JournalCode::J26,
            (None, Hold::Open { .. }) => JournalCode::J01,
            _ => JournalCode::J03,
        };
        let at = at(if content.old { 2024 } else { 2025 });
        let mut draft = Draft::new(self.books[plan.book], code, at).id(id).key(plan.key);
        if plan.value_date {
            draft = draft.or_value_date();
        }
        if let Some(reverses) = content.reverses {
            draft = draft.reverses(of(reverses));
        }
        let line = |i: usize| (name(content.lines[i].0), content.lines[i].2);
        let mut posted = 0;
        match content.hold {
            Hold::None => {}
            Hold::Open { lapsed } => {
                let ((debit, amount), (credit, _)) = (line(0), line(1));
                draft = draft.hold(
                    debit,
                    credit,
                    amount,
                    self::at(2025) + if lapsed { -1.hours() } else { 1.hours() },
                );
                posted = 2;
            }
            Hold::Consume { hold, closes } => {
                let ((debit, amount), (credit, _)) = (line(0), line(1));
                let (taken, rest) = if closes { (0, Some(amount)) } else { (amount, None) };
                draft = draft.consume(of(hold), debit, credit, taken, rest);
                if plan.strict {
                    draft = draft.unless_expired(self::at(2025));
                }
                posted = 2;
            }
        }
        for (account, kind, amount) in &content.lines[posted..] {
            draft = match kind {
                'D' => draft.debit(name(*account), *amount),
                _ => draft.credit(name(*account), *amount),
            };
        }
        draft.balance().unwrap()
    }

    async fn commit(&self, mut units: Vec<Vec<Journal>>, passes: &[Pass]) -> Result<Vec<Answer>, String> {
        for pass in passes {
            self.app.batch_execute("BEGIN").await.unwrap();
            match Once.commit(self.app, &self.statements, &mut units, *pass).await {
                Ok(answers) => {
                    self.app.batch_execute("COMMIT").await.unwrap();
                    return Ok(answers.into_iter().map(|a| self.told(a)).collect());
                }
                Err(failure) => {
                    self.app.batch_execute("ROLLBACK").await.unwrap();
                    if let Failure::Database(e) = failure {
                        return Err(format!("{e:?}"));
                    }
                }
            }
        }
        Err("no pass would have it".into())
    }

    fn told(&self, answer: Result<Vec<Receipt>, Refusal>) -> Answer {
        match answer {
            Ok(receipts) => Ok(self.numbers[&receipts[0].journal]),
            Err(refusal) => Err(refusal.code()),
        }
    }
}

/// Noon of the first day of a year. What the model calls old is in 2024; holds are opened and used in both.
fn at(year: i16) -> Timestamp {
    date(year, 1, 1)
        .at(12, 0, 0, 0)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp()
}
