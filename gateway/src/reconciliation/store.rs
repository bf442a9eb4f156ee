//! All SQL of reconciliation. Round trips are told where they grow with the file.

use jiff::Timestamp;
use reconcile::cluster::{Ours, Theirs};
use reconcile::{Kind, Line, Statement};
use serde_json::json;
use tokio_postgres::{Portal, Row, Transaction};
use uuid::Uuid;

use super::Request;
use super::intake::Read;

type Outcome<T> = Result<T, tokio_postgres::Error>;

/// Two files at once would claim the same entries.
pub(super) async fn one_at_a_time(tx: &Transaction<'_>) -> Outcome<()> {
    tx.execute("SELECT pg_advisory_xact_lock(7020263518)", &[])
        .await
        .map(drop)
}

/// The reconciliation of this content.
pub(super) async fn find(tx: &Transaction<'_>, digest: &[u8; 32]) -> Outcome<Option<String>> {
    let sql = "SELECT id FROM gateway.reconciliation WHERE digest = $1";
    let row = tx.query_opt(sql, &[&digest.as_slice()]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

pub(super) async fn temporary(tx: &Transaction<'_>) -> Outcome<()> {
    tx.batch_execute(
        "SET LOCAL work_mem = '64MB';
         CREATE TEMP TABLE theirs_key (line bigint, rank integer, key text, raw text) ON COMMIT DROP;
         CREATE TEMP TABLE ours (n bigint GENERATED ALWAYS AS IDENTITY, book_id bigint, journal_id uuid, account text, number text,
             acquirer text, currency text, kind text, amount bigint, at timestamptz, object text, cluster text, reference text,
             claimed boolean NOT NULL DEFAULT false) ON COMMIT DROP;
         CREATE TEMP TABLE ours_key (n bigint, rank integer, key text, weak boolean) ON COMMIT DROP;
         CREATE TEMP TABLE hit (line bigint PRIMARY KEY, cluster text) ON COMMIT DROP", // the key, because statistics of lines lag behind
    )
    .await
}

/// Lines on their way into the table, column by column.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<i64>,
    number: Vec<i64>,
    kind: Vec<&'static str>,
    reference: Vec<Option<String>>,
    named: Vec<bool>,
    identity: Vec<Option<String>>,
    batch: Vec<Option<String>>,
    amounts: [Vec<i64>; 3],
    currencies: [Vec<String>; 2],
    at: Vec<Timestamp>,
    text: Vec<String>,
    key_line: Vec<i64>,
    key_rank: Vec<i32>,
    key: Vec<String>,
    key_raw: Vec<String>,
}

impl Lines {
    pub(super) fn push(&mut self, place: i64, line: &Line, reference: Option<String>, keys: Vec<(String, String)>) {
        self.line.push(place);
        self.number.push(line.number as i64);
        self.kind.push(line.kind.as_str());
        self.named.push(reference.is_some());
        self.reference.push(reference);
        self.identity.push(line.identity.clone());
        self.batch.push(line.batch.clone());
        for (column, value) in self.amounts.iter_mut().zip([line.amount, line.fee, line.net]) {
            column.push(value);
        }
        for (column, value) in self.currencies.iter_mut().zip([line.currency, line.net_currency]) {
            column.push(value.to_string());
        }
        self.at.push(line.at);
        self.text.push(line.text.clone());
        for (rank, (key, raw)) in keys.into_iter().enumerate() {
            self.key_line.push(place);
            self.key_rank.push(rank as i32);
            self.key.push(key);
            self.key_raw.push(raw);
        }
    }

    pub(super) async fn insert(&self, tx: &Transaction<'_>, id: &str) -> Outcome<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        let [amount, fee, net] = &self.amounts;
        let [currency, net_currency] = &self.currencies;
        let lines = "
            INSERT INTO gateway.settlement_line (reconciliation_id, line, number, kind, reference, named, identity, batch, amount,
                 currency, fee, net, net_currency, at, text)
             SELECT $1, u.* FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[], $9::bigint[],
                 $10::text[], $11::bigint[], $12::bigint[], $13::text[], $14::timestamptz[], $15::text[]) u";
        tx.execute(
            lines,
            &[
                &id,
                &self.line,
                &self.number,
                &self.kind,
                &self.reference,
                &self.named,
                &self.identity,
                &self.batch,
                amount,
                currency,
                fee,
                net,
                net_currency,
                &self.at,
                &self.text,
            ],
        )
        .await?;
        tx.execute(
            "INSERT INTO theirs_key SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[])",
            &[&self.key_line, &self.key_rank, &self.key, &self.key_raw],
        )
        .await
        .map(drop)
    }
}

/// When a statement with this id was read.
pub(super) async fn statement_known(tx: &Transaction<'_>, account: &str, id: &str) -> Outcome<Option<String>> {
    let sql = "SELECT reconciliation_id FROM gateway.settlement_statement WHERE account = $1 AND statement_id = $2";
    let row = tx.query_opt(sql, &[&account, &id]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// The end of a series.
pub(super) struct Last {
    pub(super) reconciliation: String,
    pub(super) sequence: Option<u64>,
    pub(super) closing: Option<i64>,
}

/// The last one of an account in a currency; the file being read is the latest.
pub(super) async fn last_statement(
    tx: &Transaction<'_>,
    account: &str,
    currency: Option<ledger::Currency>,
) -> Outcome<Option<Last>> {
    let currency = currency.map(|currency| currency.to_string());
    let sql = "SELECT s.reconciliation_id, s.sequence, s.closing FROM gateway.settlement_statement s
               LEFT JOIN gateway.reconciliation r ON r.id = s.reconciliation_id
               WHERE s.account = $1 AND s.currency IS NOT DISTINCT FROM $2 ORDER BY r.created_at DESC NULLS FIRST, s.number DESC LIMIT 1";
    let Some(row) = tx.query_opt(sql, &[&account, &currency]).await? else {
        return Ok(None);
    };
    Ok(Some(Last {
        reconciliation: row.try_get(0)?,
        sequence: row.try_get::<_, Option<i64>>(1)?.and_then(|n| u64::try_from(n).ok()),
        closing: row.try_get(2)?,
    }))
}

pub(super) async fn keep_statement(tx: &Transaction<'_>, id: &str, number: i32, statement: &Statement) -> Outcome<()> {
    let sequence = statement.sequence.and_then(|n| i64::try_from(n).ok());
    let currency = statement.currency.map(|currency| currency.to_string());
    tx.execute(
        "INSERT INTO gateway.settlement_statement VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            &id,
            &number,
            &statement.account,
            &statement.id,
            &sequence,
            &currency,
            &statement.opening,
            &statement.closing,
            &(statement.lines as i64),
        ],
    )
    .await
    .map(drop)
}

/// Fills `ours` with the entries of some days, and `hit` with the cluster of each line that names one of them.
pub(super) async fn meet(
    tx: &Transaction<'_>,
    id: &str,
    series: &str,
    (from, to): (Timestamp, Timestamp),
    book: Option<i64>,
) -> Outcome<()> {
    // An id begins with the time at which it was made, which is not before the fact: it says which months to look in.
    let first = first_id(from);
    let sql = format!(
        "{OURS} WHERE j.journal_id >= $1 AND j.effective_at >= $2 AND j.effective_at < $3 AND j.code = ANY($4)
                       AND ($5::bigint IS NULL OR j.book_id = $5) AND p.amount <> 0"
    );
    tx.execute(&sql, &[&first, &from, &to, &CODES, &book]).await?;
    tx.batch_execute("ANALYZE theirs_key").await?;
    name_and_hit(tx, id, series).await?;
    // Lines about what is older: few, so they are looked up by the very text of their references.
    let sql = format!(
        "{OURS} WHERE j.code = ANY($1) AND ($2::bigint IS NULL OR j.book_id = $2) AND p.amount <> 0
                       AND (j.book_id, j.journal_id) IN ({OLDER})
                       AND NOT EXISTS (SELECT FROM ours o WHERE o.journal_id = j.journal_id AND o.book_id = j.book_id)"
    );
    let added = tx.execute(&sql, &[&CODES, &book]).await?;
    if added > 0 {
        tx.batch_execute("TRUNCATE ours_key; TRUNCATE hit").await?;
        name_and_hit(tx, id, series).await?;
    }
    Ok(())
}

async fn name_and_hit(tx: &Transaction<'_>, id: &str, series: &str) -> Outcome<()> {
    tx.batch_execute("ANALYZE ours").await?;
    tx.batch_execute(NAMES).await?;
    let claimed = "UPDATE ours o SET claimed = true FROM gateway.settlement_claim c
                   WHERE (c.book_id, c.journal_id, c.account) = (o.book_id, o.journal_id, o.account) AND c.series = $1
                     AND c.journal_id IS NOT NULL AND NOT c.undone";
    tx.execute(claimed, &[&series]).await?;
    tx.batch_execute("CREATE INDEX IF NOT EXISTS ours_key_key ON ours_key (key); ANALYZE ours_key")
        .await?;
    tx.execute(HITS, &[&id]).await?;
    tx.batch_execute("ANALYZE hit").await
}

/// A line or an entry of a cluster, as the portal gives them.
pub(super) enum Side {
    Theirs(Theirs),
    Ours(Ours),
}

/// Clusters in order, both sides of each together.
pub(super) async fn clusters(tx: &Transaction<'_>, id: &str) -> Outcome<Portal> {
    tx.bind(CLUSTERS, &[&id]).await
}

/// The next rows, with their cluster; none at the end.
pub(super) async fn next(tx: &Transaction<'_>, portal: &Portal) -> Outcome<Vec<(String, Side)>> {
    let rows = tx.query_portal(portal, PAGE).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("cluster")?, side(row)?)))
        .collect()
}

fn side(row: &Row) -> Outcome<Side> {
    let (kind, code): (&str, &str) = (row.try_get("kind")?, row.try_get("currency")?);
    let kind = Kind::from_name(kind).unwrap_or(Kind::Movement);
    // Both columns have CHECKs, and the ledger's currencies are this list.
    let currency = code.parse().unwrap_or(ledger::Currency::USD);
    let reference: Option<String> = row.try_get("reference")?;
    let reference = reference.unwrap_or_default();
    Ok(match row.try_get::<_, Option<Uuid>>("journal_id")? {
        None => Side::Theirs(Theirs {
            line: row.try_get("n")?,
            kind,
            reference,
            amount: row.try_get("amount")?,
            currency,
            fee: row.try_get("fee")?,
            at: row.try_get("at")?,
            named: row.try_get("named")?,
        }),
        Some(journal) => Side::Ours(Ours {
            book: row.try_get("book_id")?,
            journal,
            account: row.try_get("account")?,
            object: row.try_get("object")?,
            reference,
            kind,
            amount: row.try_get("amount")?,
            currency,
            at: row.try_get("at")?,
            claimed: row.try_get("claimed")?,
        }),
    })
}

/// Lines that met no entry; those that are the source of their own journal are not among them.
pub(super) async fn lines_left(tx: &Transaction<'_>, id: &str) -> Outcome<Vec<Theirs>> {
    let sql =
        "SELECT l.line AS n, l.kind, l.reference, l.amount, l.currency, l.fee, l.at, l.named, NULL::uuid AS journal_id
               FROM gateway.settlement_line l LEFT JOIN hit h ON h.line = l.line
               WHERE l.reconciliation_id = $1 AND h.line IS NULL AND l.kind NOT IN ('fee', 'payout') ORDER BY l.line";
    let rows = tx.query(sql, &[&id]).await?;
    let sides = rows.iter().map(side).collect::<Outcome<Vec<_>>>()?;
    Ok(sides
        .into_iter()
        .filter_map(|side| match side {
            Side::Theirs(line) => Some(line),
            Side::Ours(_) => None,
        })
        .collect())
}

/// Which clearing accounts the file has spoken about so far: number and acquirer.
pub(super) async fn spoken_of(tx: &Transaction<'_>, id: &str) -> Outcome<Vec<(String, String)>> {
    let sql = "SELECT DISTINCT left(account, 4), coalesce(substring(account FROM '^....[.](.+)[.]...$'), '')
               FROM gateway.settlement_claim WHERE reconciliation_id = $1 AND account IS NOT NULL ORDER BY 1, 2";
    let rows = tx.query(sql, &[&id]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Entries of these accounts and days that nothing has claimed.
pub(super) async fn entries_left(
    tx: &Transaction<'_>,
    series: &str,
    accounts: &[(String, String)],
    (from, to): (Timestamp, Timestamp),
) -> Outcome<Vec<Ours>> {
    let (numbers, acquirers): (Vec<&str>, Vec<&str>) = accounts.iter().map(|(n, a)| (n.as_str(), a.as_str())).unzip();
    let sql = "SELECT o.n, o.book_id, o.journal_id, o.account, o.object, o.reference, o.kind, o.amount, o.currency, o.at, o.claimed
               FROM ours o JOIN unnest($1::text[], $2::text[]) AS wanted(number, acquirer)
                    ON wanted.number = o.number AND wanted.acquirer = o.acquirer
               LEFT JOIN gateway.settlement_claim c
                    ON (c.book_id, c.journal_id, c.account, c.series) = (o.book_id, o.journal_id, o.account, $5)
                       AND c.journal_id IS NOT NULL AND NOT c.undone
               LEFT JOIN gateway.settlement_break b
                    ON (b.book_id, b.journal_id, b.account, b.series) = (o.book_id, o.journal_id, o.account, $5)
                       AND b.journal_id IS NOT NULL AND b.status = 'open' -- an earlier file has told it
               WHERE o.kind <> 'fee' AND o.at >= $3 AND o.at < $4 AND c.journal_id IS NULL AND b.journal_id IS NULL
               ORDER BY o.at, o.object, o.journal_id";
    let rows = tx.query(sql, &[&numbers, &acquirers, &from, &to, &series]).await?;
    let sides = rows.iter().map(side).collect::<Outcome<Vec<_>>>()?;
    Ok(sides
        .into_iter()
        .filter_map(|side| match side {
            Side::Ours(entry) => Some(entry),
            Side::Theirs(_) => None,
        })
        .collect())
}

/// Acquirers that have entries in these days.
pub(super) async fn acquirers(tx: &Transaction<'_>) -> Outcome<Vec<String>> {
    let rows = tx
        .query(
            "SELECT DISTINCT acquirer FROM ours WHERE number = '1110' ORDER BY 1",
            &[],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Claims on their way into the table.
#[derive(Default)]
pub(super) struct Claims {
    number: Vec<i64>,
    part: Vec<i32>,
    line: Vec<Option<i64>>,
    book: Vec<Option<i64>>,
    journal: Vec<Option<Uuid>>,
    account: Vec<Option<String>>,
    rule: Vec<&'static str>,
}

impl Claims {
    pub(super) fn len(&self) -> usize {
        self.number.len()
    }

    /// Both sides of one match; pairs share a row.
    pub(super) fn push(&mut self, number: i64, lines: &[&Theirs], entries: &[&Ours], rule: &'static str) {
        for part in 0..lines.len().max(entries.len()) {
            let entry = entries.get(part);
            self.number.push(number);
            self.part.push(part as i32);
            self.line.push(lines.get(part).map(|line| line.line));
            self.book.push(entry.map(|entry| entry.book));
            self.journal.push(entry.map(|entry| entry.journal));
            self.account.push(entry.map(|entry| entry.account.clone()));
            self.rule.push(rule);
        }
    }

    pub(super) async fn insert(&mut self, tx: &Transaction<'_>, id: &str, series: &str) -> Outcome<()> {
        if self.number.is_empty() {
            return Ok(());
        }
        tx.execute(
            "INSERT INTO gateway.settlement_claim (reconciliation_id, series, number, part, line, book_id, journal_id, account, rule)
             SELECT $1, $9, u.* FROM unnest($2::bigint[], $3::integer[], $4::bigint[], $5::bigint[], $6::uuid[], $7::text[], $8::text[]) u",
            &[&id, &self.number, &self.part, &self.line, &self.book, &self.journal, &self.account, &self.rule, &series],
        )
        .await?;
        // What an earlier file missed has come with this one.
        let sql = "UPDATE gateway.settlement_break b SET status = 'resolved', version = version + 1
                   FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS u(book_id, journal_id, account)
                   WHERE (b.book_id, b.journal_id, b.account) = (u.book_id, u.journal_id, u.account) AND b.status = 'open'
                     AND b.kind = 'ours_only' AND b.reconciliation_id <> $4 AND b.series = $5
                   RETURNING b.id, b.version - 1";
        let resolved = tx
            .query(sql, &[&self.book, &self.journal, &self.account, &id, &series])
            .await?;
        for row in resolved {
            let (break_id, version): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
            let reason = format!("came with {id}");
            tx.execute(DECIDED, &[&break_id, &version, &"later", &"reconciliation", &reason])
                .await?;
        }
        *self = Self::default();
        Ok(())
    }
}

/// Lines that are the source of their own journal need no entry, and are spoken for.
pub(super) async fn claim_own_sources(tx: &Transaction<'_>, id: &str, series: &str, number: i64) -> Outcome<()> {
    tx.execute(
        "INSERT INTO gateway.settlement_claim (reconciliation_id, series, number, part, line, rule)
         SELECT $1, $3, $2 + row_number() OVER (ORDER BY line), 0, line, 'source' FROM gateway.settlement_line
         WHERE reconciliation_id = $1 AND kind IN ('fee', 'payout')",
        &[&id, &number, &series],
    )
    .await
    .map(drop)
}

pub(super) async fn remember(
    tx: &Transaction<'_>,
    id: &str,
    digest: &[u8; 32],
    read: &Read,
    matched: i64,
    request: &Request,
) -> Outcome<()> {
    let name: String = request.name.chars().filter(|c| !c.is_control()).take(200).collect();
    let terms = json!({
        "days": request.terms.days, "tolerance": request.terms.tolerance, "acquirer": request.acquirer, "book": request.book,
    });
    let (since, until) = read.days.unzip();
    tx.execute(
        "INSERT INTO gateway.reconciliation (id, digest, format, name, terms, lines, matched, since, until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            &id,
            &digest.as_slice(),
            &request.format.as_str(),
            &name,
            &terms,
            &read.lines,
            &matched,
            &since,
            &until,
        ],
    )
    .await
    .map(drop)
}

/// The smallest id that a journal of this moment or later can have.
fn first_id(at: Timestamp) -> Uuid {
    let ms = u128::try_from(at.as_millisecond().max(0)).unwrap_or(0);
    Uuid::from_u128(ms << 80)
}

/// Rows per round trip.
const PAGE: i32 = 2000;

/// Journals that move a clearing account by what the outside world did.
const CODES: &[&str] = &[
    "J03", "J05", "J08b", "J09", "J11", "J12", "J13", "J14a", "J14b", "J17", "J27", "J29a",
];

/// What such journals did to their clearing account, as an entry: positive in our favour. Everything else about it comes with [`NAMES`].
const OURS: &str = "
    INSERT INTO ours (book_id, journal_id, account, number, acquirer, currency, kind, amount, at, object, cluster)
    SELECT j.book_id, j.journal_id, p.account, left(p.account, 4), coalesce(substring(p.account FROM '^....[.](.+)[.]...$'), ''), right(p.account, 3),
           k.kind, p.amount, j.effective_at, coalesce(j.reference, ''),
           CASE WHEN p.account LIKE '1120.%' THEN 'batch ' || coalesce(j.memo->>'batch', j.reference, '') -- of all books: the bank pays it at once
                ELSE j.book_id || ' ' || coalesce(j.reference, '') || ' ' || CASE k.kind WHEN 'fee' THEN 'dispute' ELSE k.kind END END
    FROM ledger.journal j
    CROSS JOIN LATERAL (
        SELECT u.account, sum(CASE u.kind WHEN 'D' THEN u.amount ELSE -u.amount END)::bigint AS amount
        FROM unnest(j.account, j.kind, j.amount) AS u(account, kind, amount)
        WHERE u.kind IN ('D', 'C') AND (u.account LIKE '1110.%' AND j.code NOT IN ('J05', 'J17', 'J29a')
                                     OR u.account LIKE '1120.%' AND j.code IN ('J05', 'J17', 'J27') OR u.account LIKE '2140.%' AND j.code = 'J29a')
        GROUP BY u.account) p
    CROSS JOIN LATERAL (SELECT CASE
        WHEN j.code = 'J03' THEN 'payment' WHEN j.code = 'J08b' THEN 'refund' WHEN j.code = 'J09' THEN 'refund_returned'
        WHEN j.code IN ('J11', 'J14b') THEN 'dispute' WHEN j.code = 'J14a' OR j.code = 'J27' AND p.account LIKE '1110.%' THEN 'dispute_returned'
        WHEN j.code IN ('J12', 'J13') THEN 'fee' ELSE 'movement' END AS kind) k";

/// The journals of objects that lines name and that are older than the days looked at.
const OLDER: &str = "
    WITH rest AS (SELECT DISTINCT k.raw FROM theirs_key k LEFT JOIN hit h ON h.line = k.line WHERE h.line IS NULL),
    object AS (
        SELECT c.book_id, c.id FROM gateway.charge c JOIN rest ON c.acquirer_id = rest.raw
        UNION SELECT c.book_id, c.id FROM gateway.charge c JOIN rest ON c.acquirer_reference = rest.raw
        UNION SELECT r.book_id, r.id FROM gateway.refund r JOIN rest ON r.acquirer_id = rest.raw
        UNION SELECT d.book_id, d.id FROM gateway.dispute d JOIN rest ON d.acquirer_id = rest.raw
        UNION SELECT c.book_id, c.id FROM gateway.charge c JOIN rest ON c.id = rest.raw
        UNION SELECT p.book_id, p.id FROM gateway.payout p JOIN rest ON p.id = rest.raw)
    SELECT t.book_id, t.journal_id FROM object o
    JOIN gateway.balance_transaction t ON t.book_id = o.book_id AND t.source_id = o.id";

/// What files may call each entry, the most exact first; weak names are those of the payment that a refund or dispute belongs to.
const NAMES: &str = "
    INSERT INTO ours_key (n, rank, key, weak)
    SELECT named.n, named.rank, regexp_replace(named.name, '[^A-Za-z0-9]', '', 'g'), named.weak
    FROM (
        SELECT o.n, v.rank, v.name, false AS weak FROM ours o
        JOIN gateway.charge c ON c.book_id = o.book_id AND c.id = o.object
        CROSS JOIN LATERAL (VALUES (0, c.acquirer_reference), (1, c.acquirer_id), (2, c.id), (3, c.payment_id)) AS v(rank, name)
        WHERE o.kind = 'payment'
        UNION ALL
        SELECT o.n, v.rank, v.name, v.rank > 1 FROM ours o
        JOIN gateway.refund r ON r.book_id = o.book_id AND r.id = o.object
        JOIN gateway.charge c ON c.book_id = r.book_id AND c.id = r.charge_id
        CROSS JOIN LATERAL (VALUES (0, r.acquirer_id), (1, r.id), (2, c.acquirer_reference), (3, c.acquirer_id), (4, c.id)) AS v(rank, name)
        WHERE o.kind IN ('refund', 'refund_returned')
        UNION ALL
        SELECT o.n, v.rank, v.name, v.rank > 1 FROM ours o
        JOIN gateway.dispute d ON d.book_id = o.book_id AND d.id = o.object
        JOIN gateway.charge c ON c.book_id = d.book_id AND c.id = d.charge_id
        CROSS JOIN LATERAL (VALUES (0, d.acquirer_id), (1, d.id), (2, c.acquirer_reference), (3, c.acquirer_id), (4, c.id)) AS v(rank, name)
        WHERE o.kind IN ('dispute', 'dispute_returned')
        UNION ALL
        SELECT o.n, v.rank, v.name, false FROM ours o
        JOIN gateway.payout p ON p.book_id = o.book_id AND p.id = o.object
        CROSS JOIN LATERAL (VALUES (0, p.id), (1, p.bank_reference)) AS v(rank, name)
        WHERE o.number = '2140'
        UNION ALL
        SELECT o.n, 0, substr(o.cluster, 7), false FROM ours o WHERE o.number = '1120'
    ) named WHERE named.name IS NOT NULL;
    UPDATE ours o SET reference = coalesce(
        (SELECT c.acquirer_reference FROM gateway.charge c WHERE o.kind = 'payment' AND c.book_id = o.book_id AND c.id = o.object),
        (SELECT r.acquirer_id FROM gateway.refund r WHERE o.kind IN ('refund', 'refund_returned') AND r.book_id = o.book_id AND r.id = o.object),
        (SELECT d.acquirer_id FROM gateway.dispute d WHERE o.kind IN ('dispute', 'dispute_returned', 'fee') AND d.book_id = o.book_id AND d.id = o.object),
        CASE o.number WHEN '1120' THEN substr(o.cluster, 7) ELSE o.object END)
    WHERE o.reference IS NULL";

/// Each line to the cluster of the best name that it and an entry share. A direction without a kind fits every kind of that
/// direction; a weak name only what is still free and of the same amount.
const HITS: &str = "
    INSERT INTO hit
    SELECT DISTINCT ON (k.line) k.line, o.cluster
    FROM theirs_key k
    JOIN ours_key n ON n.key = k.key
    JOIN ours o ON o.n = n.n
    JOIN gateway.settlement_line l ON l.reconciliation_id = $1 AND l.line = k.line
    WHERE CASE l.kind WHEN 'movement' THEN sign(l.amount) = sign(o.amount) ELSE l.kind = o.kind OR o.kind = 'movement' AND sign(l.amount) = sign(o.amount) END
      AND (NOT n.weak OR o.amount = l.amount AND o.currency = l.currency AND NOT o.claimed)
    ORDER BY k.line, n.weak, k.rank, n.rank, o.amount <> l.amount OR o.currency <> l.currency, o.claimed, o.cluster";

const CLUSTERS: &str = "
    SELECT h.cluster, l.line AS n, l.kind, coalesce(l.reference, '') AS reference, l.amount, l.currency, l.fee, l.at, l.named,
           NULL::bigint AS book_id, NULL::uuid AS journal_id, NULL::text AS account, NULL::text AS object, false AS claimed
    FROM hit h JOIN gateway.settlement_line l ON l.reconciliation_id = $1 AND l.line = h.line
    UNION ALL
    SELECT o.cluster, o.n, o.kind, o.reference, o.amount, o.currency, 0, o.at, true,
           o.book_id, o.journal_id, o.account, o.object, o.claimed
    FROM ours o WHERE o.cluster IN (SELECT cluster FROM hit)
    ORDER BY 1, 11 NULLS FIRST, 2";

/// A decision on a break.
pub(super) const DECIDED: &str = "
    INSERT INTO gateway.settlement_decision (break_id, version, action, person, reason) VALUES ($1, $2, $3, $4, $5)";
