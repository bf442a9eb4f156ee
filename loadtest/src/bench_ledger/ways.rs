//! The ways of writing a payment. All write the same rows.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use ledger::JournalCode;
use ledger::group::{Batch, Failure, Flight, GroupCommitter, Options, Pass};
use ledger::journal::{Draft, Journal};
use ledger::post::{Arguments, LedgerBatch, Lone, admit, post};
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Statement};
use uuid::Uuid;

use super::{Merchant, connect, peer};

/// How payments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One transaction per payment, several round trips.
    Naive,
    /// One stored call per payment.
    Call,
    /// Group commit with this many writers.
    Group(usize),
    /// The same with the seal beside it.
    Sealed(usize),
    /// The journal alone, through a committer with this many writers.
    Post(usize),
    /// The payment's row alone.
    Insert,
    /// Another ledger.
    Peer,
}

impl Way {
    pub fn all() -> Vec<Way> {
        vec![
            Way::Naive,
            Way::Call,
            Way::Group(1),
            Way::Group(2),
            Way::Group(3),
            Way::Group(4),
            Way::Sealed(2),
        ]
    }

    pub async fn start(self, config: &Config, pool: usize) -> anyhow::Result<Payer> {
        Ok(match self {
            Way::Naive => Payer::Naive(Pool::new(config, pool).await?),
            Way::Call => Payer::Call(Pool::new(config, pool).await?),
            Way::Insert => Payer::Insert(Pool::new(config, pool).await?),
            Way::Peer => Payer::Peer(Pool::new(config, pool).await?),
            Way::Group(writers) | Way::Sealed(writers) => {
                Payer::Group(GroupCommitter::start(Payments, config.clone(), writers_of(writers)))
            }
            Way::Post(writers) => Payer::Post(GroupCommitter::start(LedgerBatch, config.clone(), writers_of(writers))),
        })
    }
}

fn writers_of(writers: usize) -> Options {
    Options {
        writers,
        ..Options::default()
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Naive => f.write_str("naive"),
            Way::Call => f.write_str("call"),
            Way::Group(writers) => write!(f, "group-{writers}"),
            Way::Sealed(writers) => write!(f, "sealed-{writers}"),
            Way::Post(writers) => write!(f, "post-{writers}"),
            Way::Insert => f.write_str("insert"),
            Way::Peer => f.write_str("peer"),
        }
    }
}

impl FromStr for Way {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> anyhow::Result<Way> {
        Ok(match s {
            "naive" => Way::Naive,
            "call" => Way::Call,
            "insert" => Way::Insert,
            _ => match s.split_once('-').map(|(way, n)| (way, n.parse())) {
                Some(("group", Ok(writers))) => Way::Group(writers),
                Some(("sealed", Ok(writers))) => Way::Sealed(writers),
                Some(("post", Ok(writers))) => Way::Post(writers),
                _ => bail!("naive, call, insert, post-N, group-N or sealed-N"),
            },
        })
    }
}

/// A way, connected.
pub enum Payer {
    Naive(Pool<Connection>),
    Call(Pool<Connection>),
    Group(GroupCommitter<Payments>),
    Post(GroupCommitter<LedgerBatch>),
    Insert(Pool<Connection>),
    Peer(Pool<peer::Connection>),
}

/// What every way writes.
pub struct Payment {
    key: [u8; 16],
    amount: i64,
    journal: Journal,
}

impl Payment {
    fn new(to: &Merchant, amount: i64) -> anyhow::Result<Payment> {
        let fee = fee_of(amount);
        let journal = Draft::new(to.book, JournalCode::J03, Timestamp::now())
            .id(Uuid::now_v7())
            .debit(to.receivable.clone(), amount)
            .credit(to.pending.clone(), amount - fee)
            .credit(to.fee.clone(), fee)
            .balance()?;
        Ok(Payment {
            key: rand::random(),
            amount,
            journal,
        })
    }
}

fn fee_of(amount: i64) -> i64 {
    amount / 50 + 1
}

impl Payer {
    /// One payment; returns after its commit.
    pub async fn pay(&self, to: &Merchant, amount: i64) -> anyhow::Result<()> {
        let payment = || Payment::new(to, amount);
        match self {
            Payer::Naive(pool) => pool.with(async |c| c.naive(&payment()?).await).await,
            Payer::Call(pool) => pool.with(async |c| c.call(&payment()?).await).await,
            Payer::Insert(pool) => pool.with(async |c| c.insert(&payment()?).await).await,
            Payer::Peer(pool) => {
                let accounts = to.peer.as_ref().context("the peer has accounts for every merchant")?;
                pool.with(async |c| c.pay(accounts, amount, fee_of(amount)).await).await
            }
            Payer::Post(committer) => Ok(committer.submit(vec![payment()?.journal]).await??),
            Payer::Group(committer) => {
                ensure!(
                    committer.submit(payment()?).await?,
                    "a fresh key was taken for a used one"
                );
                Ok(())
            }
        }
    }

    pub async fn stop(&self) {
        match self {
            Payer::Group(committer) => committer.shutdown().await,
            Payer::Post(committer) => committer.shutdown().await,
            Payer::Naive(_) | Payer::Call(_) | Payer::Insert(_) | Payer::Peer(_) => {}
        }
    }
}

/// The bench's unit of group commit.
pub struct Payments;

impl Batch for Payments {
    type Unit = Payment;
    /// Whether the payment is new; `false` is a replay of its key.
    type Answer = bool;
    type Statements = Pay;

    async fn prepare(&self, client: &Client) -> Result<Pay, tokio_postgres::Error> {
        Pay::prepare(client).await
    }

    async fn commit(
        &self,
        tx: &Client,
        statements: &Pay,
        units: &mut [Payment],
        pass: Pass,
    ) -> Result<Vec<bool>, Failure> {
        if pass == Pass::Optimistic {
            return match statements.pay(tx, units).await {
                Ok(()) => Ok(vec![true; units.len()]),
                Err(e)
                    if e.code()
                        .is_some_and(|c| c.code().starts_with("23") || c.code().starts_with("LG")) =>
                {
                    Err(Failure::NeedsCare)
                }
                Err(e) => Err(e.into()),
            };
        }
        let Columns {
            ids,
            books,
            keys,
            amounts,
        } = columns(units);
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
            (&ids, Type::UUID_ARRAY),
            (&books, Type::INT8_ARRAY),
            (&keys, Type::BYTEA_ARRAY),
            (&amounts, Type::INT8_ARRAY),
        ];
        let fresh: Vec<Uuid> = tx
            .query_typed(INSERT_FRESH, &params)
            .await?
            .iter()
            .map(|r| r.try_get(0))
            .collect::<Result<_, _>>()?;
        let groups: Vec<Vec<&Journal>> = units
            .iter()
            .filter(|u| fresh.contains(&u.journal.id()))
            .map(|u| vec![&u.journal])
            .collect();
        if admit(tx, &groups).await?.iter().any(Result::is_err) {
            return Err(Failure::NeedsCare); // this load never takes money from an account
        }
        post(tx, &groups.concat()).await?;
        Ok(units.iter().map(|u| fresh.contains(&u.journal.id())).collect())
    }

    fn flight(&self, _: &[Payment], pass: Pass) -> Flight {
        match pass {
            Pass::Optimistic => Flight::Alone,
            Pass::Careful => Flight::InSteps,
        }
    }
}

/// One call for any number of payments, prepared: `bench.pay`, which posts through `ledger.post`, or for one payment
/// `bench.pay_one`, through `ledger.post_one`.
pub struct Pay {
    many: Statement,
    one: Statement,
}

impl Pay {
    async fn prepare(client: &Client) -> Result<Pay, tokio_postgres::Error> {
        let many: Vec<Type> = Arguments::TYPES
            .into_iter()
            .chain([Type::BYTEA_ARRAY, Type::INT8_ARRAY])
            .collect();
        let one: Vec<Type> = Lone::TYPES.into_iter().chain([Type::BYTEA, Type::INT8]).collect();
        Ok(Pay {
            many: client.prepare_typed(PAY, &many).await?,
            one: client.prepare_typed(PAY_ONE, &one).await?,
        })
    }

    async fn pay(&self, client: &Client, payments: &[Payment]) -> Result<(), tokio_postgres::Error> {
        if let [payment] = payments
            && let Some(lone) = Lone::of(&payment.journal)
        {
            let key = &payment.key[..];
            let mut values = lone.values().to_vec();
            values.extend([&key as &(dyn ToSql + Sync), &payment.amount]);
            return client.execute(&self.one, &values).await.map(drop);
        }
        let Columns { keys, amounts, .. } = columns(payments);
        let arguments = Arguments::new(payments.iter().map(|p| &p.journal));
        let mut values = arguments.values().to_vec();
        values.extend([&keys as &(dyn ToSql + Sync), &amounts]);
        client.execute(&self.many, &values).await.map(drop)
    }
}

/// Payments as parallel arrays.
struct Columns<'a> {
    ids: Vec<Uuid>,
    books: Vec<i64>,
    keys: Vec<&'a [u8]>,
    amounts: Vec<i64>,
}

fn columns(payments: &[Payment]) -> Columns<'_> {
    Columns {
        ids: payments.iter().map(|p| p.journal.id()).collect(),
        books: payments.iter().map(|p| p.journal.book().0).collect(),
        keys: payments.iter().map(|p| &p.key[..]).collect(),
        amounts: payments.iter().map(|p| p.amount).collect(),
    }
}

/// Connections lent out one at a time.
pub struct Pool<C> {
    idle: Mutex<mpsc::Receiver<C>>,
    back: mpsc::Sender<C>,
}

impl<C: Connect> Pool<C> {
    async fn new(config: &Config, size: usize) -> anyhow::Result<Pool<C>> {
        let (back, idle) = mpsc::channel(size.max(1));
        for _ in 0..size.max(1) {
            back.try_send(C::connect(config).await?)
                .ok()
                .context("the pool has room for all")?;
        }
        Ok(Pool {
            idle: Mutex::new(idle),
            back,
        })
    }

    async fn with(&self, work: impl AsyncFnOnce(&mut C) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut connection = self
            .idle
            .lock()
            .await
            .recv()
            .await
            .context("the pool owns its sender")?;
        let outcome = work(&mut connection).await;
        self.back
            .try_send(connection)
            .ok()
            .context("the pool has room for all")?;
        outcome
    }
}

/// What a pool lends.
pub trait Connect: Sized {
    fn connect(config: &Config) -> impl Future<Output = Result<Self, tokio_postgres::Error>> + Send;
}

impl Connect for Connection {
    async fn connect(config: &Config) -> Result<Self, tokio_postgres::Error> {
        Connection::new(config).await
    }
}

impl Connect for peer::Connection {
    async fn connect(config: &Config) -> Result<Self, tokio_postgres::Error> {
        peer::Connection::new(config).await
    }
}

/// A connection with the naive way's prepared statements.
pub struct Connection {
    client: Client,
    pay: Pay,
    payment: Statement,
    lock: Statement,
    journal: Statement,
    update: Statement,
}

impl Connection {
    async fn new(config: &Config) -> Result<Connection, tokio_postgres::Error> {
        let client = connect(config).await?;
        Ok(Connection {
            pay: Pay::prepare(&client).await?,
            payment: client.prepare(NAIVE_PAYMENT).await?,
            lock: client.prepare(NAIVE_LOCK).await?,
            journal: client.prepare(NAIVE_JOURNAL).await?,
            update: client.prepare(NAIVE_UPDATE).await?,
            client,
        })
    }

    async fn call(&mut self, payment: &Payment) -> anyhow::Result<()> {
        Ok(self.pay.pay(&self.client, std::slice::from_ref(payment)).await?)
    }

    /// One row, one commit.
    async fn insert(&mut self, payment: &Payment) -> anyhow::Result<()> {
        let j = &payment.journal;
        let values: [&(dyn ToSql + Sync); 4] = [&j.book().0, &j.id(), &&payment.key[..], &payment.amount];
        let inserted = self.client.execute(&self.payment, &values).await?;
        ensure!(inserted == 1, "a fresh key was taken for a used one");
        Ok(())
    }

    /// Eight round trips: begin, payment, lock, journal, three counters, commit.
    async fn naive(&mut self, payment: &Payment) -> anyhow::Result<()> {
        let j = &payment.journal;
        let tx = self.client.transaction().await?;
        let inserted = tx
            .execute(
                &self.payment,
                &[&j.book().0, &j.id(), &&payment.key[..], &payment.amount],
            )
            .await?;
        ensure!(inserted == 1, "a fresh key was taken for a used one");
        let names: Vec<&str> = j.lines().iter().map(|l| l.account.as_str()).collect();
        let accounts = tx.query(&self.lock, &[&j.book().0, &names]).await?;
        ensure!(accounts.len() == names.len() && accounts.iter().all(|a| a.get::<_, &str>("status") == "open"));
        let kinds: Vec<i8> = j.lines().iter().map(|l| l.kind.letter() as i8).collect();
        let amounts: Vec<i64> = j.lines().iter().map(|l| l.amount).collect();
        tx.execute(
            &self.journal,
            &[
                &j.book().0,
                &j.id(),
                &j.code().as_str(),
                &j.effective_at(),
                &names,
                &kinds,
                &amounts,
            ],
        )
        .await?;
        for line in j.lines() {
            let (debit, credit) = if line.kind.letter() == 'D' {
                (line.amount, 0)
            } else {
                (0, line.amount)
            };
            tx.execute(&self.update, &[&j.book().0, &line.account.as_str(), &debit, &credit])
                .await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The bench's own table and its one call.
pub const SCHEMA: &str = r#"
CREATE SCHEMA bench;
CREATE TABLE bench.payment (
    book_id    bigint NOT NULL,
    payment_id uuid NOT NULL,
    idem_key   bytea NOT NULL,
    amount     bigint NOT NULL,
    version    integer NOT NULL DEFAULT 1,
    status     text COLLATE "C" NOT NULL DEFAULT 'captured',
    currency   text COLLATE "C" NOT NULL DEFAULT 'usd',
    PRIMARY KEY (book_id, payment_id)
);
CREATE UNIQUE INDEX payment_idem_key ON bench.payment (idem_key);
CREATE FUNCTION bench.pay(
    p_book bigint[], p_journal uuid[], p_code text[], p_effective timestamptz[], p_reference text[],
    p_link uuid[], p_reverses uuid[], p_key bytea[], p_memo jsonb[],
    p_account text[], p_kind text[], p_amount text[], p_hold uuid[], p_expires timestamptz[], p_closes boolean[],
    p_value_date boolean[], p_digest bytea[], p_idem_key bytea[], p_total bigint[])
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    INSERT INTO bench.payment (book_id, payment_id, idem_key, amount)
    SELECT * FROM unnest(p_book, p_journal, p_idem_key, p_total);
    PERFORM ledger.post(p_book, p_journal, p_code, p_effective, p_reference, p_link, p_reverses, p_key, p_memo,
                        p_account, p_kind, p_amount, p_hold, p_expires, p_closes, p_value_date, p_digest);
END
$$;
CREATE FUNCTION bench.pay_one(
    p_book bigint, p_journal uuid, p_code text, p_effective timestamptz, p_reference text, p_link uuid, p_reverses uuid,
    p_key bytea, p_digest bytea, p_memo jsonb, p_account text[], p_kind "char"[], p_amount bigint[],
    p_idem_key bytea, p_total bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench.payment (book_id, payment_id, idem_key, amount) VALUES (p_book, p_journal, p_idem_key, p_total);
    PERFORM ledger.post_one(p_book, p_journal, p_code, p_effective, p_reference, p_link, p_reverses, p_key, p_digest, p_memo,
                            p_account, p_kind, p_amount);
END
$$;
"#;

const PAY: &str =
    "SELECT bench.pay($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

const PAY_ONE: &str = "SELECT bench.pay_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

const INSERT_FRESH: &str = "
    INSERT INTO bench.payment (payment_id, book_id, idem_key, amount) SELECT * FROM unnest($1, $2, $3, $4)
    ON CONFLICT (idem_key) DO NOTHING RETURNING payment_id";

const NAIVE_PAYMENT: &str = "
    INSERT INTO bench.payment (book_id, payment_id, idem_key, amount) VALUES ($1, $2, $3, $4)
    ON CONFLICT (idem_key) DO NOTHING";

const NAIVE_LOCK: &str = "
    SELECT account, status, debits_posted, credits_posted FROM ledger.account
    WHERE book_id = $1 AND account = ANY($2) ORDER BY account FOR NO KEY UPDATE";

const NAIVE_JOURNAL: &str = "
    INSERT INTO ledger.journal (book_id, journal_id, code, effective_at, account, kind, amount)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const NAIVE_UPDATE: &str = "
    UPDATE ledger.account SET debits_posted = debits_posted + $3, credits_posted = credits_posted + $4
    WHERE book_id = $1 AND account = $2";
