//! The audit after a run: what callers were told, what the gateway's rows say, what the acquirer did, and what the books hold
//! must be four accounts of one story.
//!
//! It believes none of them more than another and reads nothing but committed rows and the acquirer's own record. It must never
//! write. Proof of the books by themselves is the job of `counterfoil ledger verify`, which [`verify_books`] runs.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// A payment that a caller was told about, and all that was told.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// `pi_..`
    pub id: String,
    /// minor units
    pub amount: i64,
    /// captured, in minor units
    pub received: i64,
    /// refunded, in minor units
    pub refunded: i64,
    /// the caller was told an end, not `processing`
    pub settled: bool,
}

/// What the audit saw. Sound when `findings` is empty.
#[derive(Debug, Default, Serialize)]
pub struct Audit {
    /// payments in the database
    pub payments: u64,
    /// payments that callers were told about
    pub acknowledged: u64,
    /// payments at the acquirer
    pub at_acquirer: u64,
    /// captured by the gateway's rows, the acquirer and the books, in minor units over all currencies
    pub captured: [i64; 3],
    /// refunds accepted, by the same three
    pub refunded: [i64; 3],
    /// payments and refunds whose outcome is still being found out
    pub unsettled: u64,
    /// what does not agree, the first [`SHOWN`] in words
    pub findings: Vec<String>,
    /// how many do not agree
    pub wrong: u64,
}

/// How many findings are told in words.
pub const SHOWN: usize = 50;

impl Audit {
    fn find(&mut self, finding: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.findings.len() < SHOWN {
            self.findings.push(finding());
        }
    }

    /// Whether all four accounts agree.
    pub fn is_sound(&self) -> bool {
        self.wrong == 0
    }
}

/// Compares what callers were told with the database, the acquirer's record and the books.
///
/// # Errors
/// When the database or the acquirer cannot be read. Disagreement is no error but a finding.
pub async fn audit(database_url: &str, simulator_admin_url: &str, told: &[Acknowledged]) -> Result<Audit> {
    let mut database = crate::dev::connect(database_url).await?;
    // One snapshot for all reads; the acquirer is read while it is open.
    let snapshot = database
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let mut audit = Audit::default();
    let payments = payments(&snapshot).await?;
    let refunds = refunds(&snapshot).await?;
    let mut books = books(&snapshot).await?;
    let mut truth = truth(simulator_admin_url, &mut audit).await?;
    snapshot.rollback().await?;

    let by_id: HashMap<&str, &Payment> = payments
        .values()
        .map(|payment| (payment.id.as_str(), payment))
        .collect();
    audit.payments = by_id.len() as u64;
    acknowledged(&mut audit, told, &by_id);
    audit.unsettled += payments.values().filter(|payment| payment.operation.is_some()).count() as u64;
    for (id, refund) in &refunds {
        audit.unsettled += u64::from(matches!(refund.status.as_str(), "pending" | "unknown"));
        refund_booked(&mut audit, id, refund, &mut books);
    }
    let mut refunded: HashMap<&str, i64> = HashMap::new();
    for refund in refunds.values().filter(|refund| refund.counts()) {
        *refunded.entry(&refund.charge_id).or_default() += refund.amount;
    }
    for (charge, payment) in &payments {
        let refunded = refunded.get(charge.as_str()).copied().unwrap_or(0);
        let at_acquirer = truth.remove(charge);
        booked(&mut audit, charge, payment, &mut books);
        compare(&mut audit, charge, payment, refunded, at_acquirer.as_ref());
    }
    for (reference, truth) in &truth {
        // The proof of a card that was set up: released, or waiting to be.
        if reference.starts_with("seti_") && truth.amount_captured == 0 {
            audit.unsettled += u64::from(truth.amount_authorized > 0);
            continue;
        }
        audit.find(|| format!("the acquirer has a payment for {reference}, which is in no row"));
    }
    for (reference, booked) in &books {
        audit.find(|| format!("the books have {booked:?} for {reference}, which is in no row"));
    }
    Ok(audit)
}

/// Runs `counterfoil ledger verify` of this program.
///
/// # Errors
/// When the books are wrong, with what it said.
pub fn verify_books(program: &Path, database_url: &str) -> Result<()> {
    let output = std::process::Command::new(program)
        .args(["ledger", "verify", "--json", "--database-url", database_url])
        .output()
        .with_context(|| program.display().to_string())?;
    ensure!(
        output.status.success(),
        "`ledger verify` failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A charge with its payment.
struct Payment {
    id: String,
    operation: Option<String>,
    /// it waits for its payer: nothing was authorized yet
    waits: bool,
    amount: i64,
    received: i64,
    payment_refunded: i64,
    charge_status: String,
    charge_amount: i64,
    charge_captured: i64,
    charge_refunded: i64,
    fee: i64,
    /// it is the payment's last charge
    last: bool,
}

struct Refund {
    charge_id: String,
    status: String,
    amount: i64,
}

impl Refund {
    fn counts(&self) -> bool {
        !matches!(self.status.as_str(), "failed" | "canceled")
    }
}

/// How many journals there are by code, and their debits.
type Booked = HashMap<String, (i64, i64)>;

/// One line of the acquirer's record.
#[derive(Deserialize)]
struct Truth {
    amount_authorized: i64,
    amount_captured: i64,
    amount_refunded: i64,
    reference: Option<String>,
    charges: Vec<TruthCharge>,
}

#[derive(Deserialize)]
struct TruthCharge {
    failure_code: Option<String>,
}

async fn payments(database: &impl tokio_postgres::GenericClient) -> Result<HashMap<String, Payment>> {
    let rows = database
        .query(
            "SELECT c.id, p.id, p.operation, p.amount, p.amount_received, p.amount_refunded,
                    c.status, c.amount, c.amount_captured, c.amount_refunded, c.fee, c.id IS NOT DISTINCT FROM p.charge_id,
                    p.status = 'requires_action'
             FROM gateway.charge c JOIN gateway.payment p ON p.book_id = c.book_id AND p.id = c.payment_id",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let payment = Payment {
                id: row.try_get(1)?,
                operation: row.try_get(2)?,
                amount: row.try_get(3)?,
                received: row.try_get(4)?,
                payment_refunded: row.try_get(5)?,
                charge_status: row.try_get(6)?,
                charge_amount: row.try_get(7)?,
                charge_captured: row.try_get(8)?,
                charge_refunded: row.try_get(9)?,
                fee: row.try_get(10)?,
                last: row.try_get(11)?,
                waits: row.try_get(12)?,
            };
            Ok((row.try_get(0)?, payment))
        })
        .collect()
}

async fn refunds(database: &impl tokio_postgres::GenericClient) -> Result<HashMap<String, Refund>> {
    let rows = database
        .query("SELECT id, charge_id, status, amount FROM gateway.refund", &[])
        .await?;
    rows.iter()
        .map(|row| {
            let refund = Refund {
                charge_id: row.try_get(1)?,
                status: row.try_get(2)?,
                amount: row.try_get(3)?,
            };
            Ok((row.try_get(0)?, refund))
        })
        .collect()
}

/// Journals about charges and refunds, by the object they are about. What J02 releases counts against what J01 held: an
/// authorization that was raised has been held twice and released once.
async fn books(database: &impl tokio_postgres::GenericClient) -> Result<HashMap<String, Booked>> {
    let rows = database
        .query(
            "SELECT reference, code, count(*), coalesce(sum((SELECT sum(CASE WHEN l.kind IN ('D', 'd') THEN l.amount
                                                                              WHEN l.kind = 'x' AND code = 'J02' THEN -l.amount END)
                                                             FROM unnest(kind, amount) AS l(kind, amount))), 0)::bigint
             FROM ledger.journal WHERE code IN ('J01', 'J02', 'J03', 'J04', 'J08a', 'J08b', 'J09') AND reference !~ '^fee_' GROUP BY 1, 2",
            &[],
        )
        .await?;
    let mut books: HashMap<String, Booked> = HashMap::new();
    for row in rows {
        let reference: Option<String> = row.try_get(0)?;
        let (count, sum) = (row.try_get(2)?, row.try_get(3)?);
        let booked = books.entry(reference.unwrap_or_default()).or_default();
        booked.insert(row.try_get(1)?, (count, sum));
    }
    Ok(books)
}

/// The acquirer's record by our reference. One payment with two approved charges, or two with one reference, is a double sale.
async fn truth(admin_url: &str, audit: &mut Audit) -> Result<HashMap<String, Truth>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client
        .get(format!("{admin_url}/admin/truth").parse()?)
        .await
        .context("the acquirer's record")?;
    ensure!(
        response.status().is_success(),
        "the acquirer's record: {}",
        response.status()
    );
    let (mut body, mut line) = (response.into_body(), Vec::new());
    let mut truth = HashMap::new();
    while let Some(frame) = body.frame().await {
        for part in frame?
            .into_data()
            .unwrap_or_default()
            .split_inclusive(|byte| *byte == b'\n')
        {
            line.extend_from_slice(part);
            if line.last() != Some(&b'\n') {
                continue;
            }
            let record: Truth = serde_json::from_slice(&line).context("a line of the acquirer's record")?;
            line.clear();
            audit.at_acquirer += 1;
            let approved = record
                .charges
                .iter()
                .filter(|charge| charge.failure_code.is_none())
                .count();
            let reference = record.reference.clone().unwrap_or_default();
            if approved > 1 {
                audit.find(|| format!("{reference}: the acquirer approved {approved} charges of one payment"));
            }
            if truth.insert(reference.clone(), record).is_some() {
                audit.find(|| format!("{reference}: the acquirer was sent two payments with one reference"));
            }
        }
    }
    ensure!(line.is_empty(), "the acquirer's record was cut short");
    Ok(truth)
}

fn acknowledged(audit: &mut Audit, told: &[Acknowledged], by_id: &HashMap<&str, &Payment>) {
    let mut seen = HashSet::new();
    for told in told {
        let id = &told.id;
        if !seen.insert(id.as_str()) {
            audit.find(|| format!("{id}: two keys were answered with one payment"));
        }
        let Some(payment) = by_id.get(id.as_str()) else {
            audit.find(|| format!("{id}: acknowledged, and not in the database"));
            continue;
        };
        let same = payment.amount == told.amount && payment.payment_refunded >= told.refunded;
        if !same || told.settled && payment.received != told.received {
            audit.find(|| {
                format!(
                    "{id}: told {} captured {} refunded {}, the row says {} {} {}",
                    told.amount,
                    told.received,
                    told.refunded,
                    payment.amount,
                    payment.received,
                    payment.payment_refunded
                )
            });
        }
    }
    audit.acknowledged = seen.len() as u64;
}

/// The journals that the charge's state demands, and no others.
fn booked(audit: &mut Audit, charge: &str, payment: &Payment, books: &mut HashMap<String, Booked>) {
    let booked = books.remove(charge).unwrap_or_default();
    let of = |code: &str| booked.get(code).copied().unwrap_or((0, 0));
    audit.captured[2] += of("J03").1;
    let captured = payment.charge_captured > 0;
    let held = of("J01").1 + of("J02").1;
    let nothing = ["J01", "J02", "J03", "J04"].iter().all(|code| of(code).0 == 0);
    let right = match payment.charge_status.as_str() {
        // In parts or at once: what was taken is booked, and its fee.
        "succeeded" if captured => {
            of("J03").1 == payment.charge_captured
                && of("J04").1 == payment.fee
                && of("J04").0 <= of("J03").0
                && of("J02").0 <= of("J01").0
        }
        "succeeded" => held == payment.charge_amount && of("J03").0 == 0,
        "voided" => of("J01").0 > 0 && held == 0 && of("J03").0 == 0,
        _ => nothing,
    };
    if !right {
        audit.find(|| {
            format!(
                "{charge}: {} captured {} fee {}, the books have {booked:?}",
                payment.charge_status, payment.charge_captured, payment.fee
            )
        });
    }
}

fn refund_booked(audit: &mut Audit, id: &str, refund: &Refund, books: &mut HashMap<String, Booked>) {
    let booked = books.remove(id).unwrap_or_default();
    let of = |code: &str| booked.get(code).copied().unwrap_or((0, 0));
    if refund.counts() {
        audit.refunded[2] += of("J08a").1;
    }
    let confirmed = (1, refund.amount);
    let right = of("J08a") == confirmed
        && match refund.status.as_str() {
            "succeeded" => of("J08b") == confirmed && of("J09").0 == 0,
            "failed" | "canceled" => of("J09") == confirmed,
            _ => of("J08b").0 == 0 && of("J09").0 == 0,
        };
    if !right {
        audit.find(|| {
            format!(
                "{id}: {} of {}, the books have {booked:?}",
                refund.status, refund.amount
            )
        });
    }
}

/// Gateway against acquirer, for one charge.
fn compare(audit: &mut Audit, charge: &str, payment: &Payment, refunded: i64, truth: Option<&Truth>) {
    let (authorized, captured, returned) = truth.map_or((0, 0, 0), |truth| {
        (truth.amount_authorized, truth.amount_captured, truth.amount_refunded)
    });
    audit.captured[0] += payment.charge_captured;
    audit.captured[1] += captured;
    audit.refunded[0] += refunded;
    audit.refunded[1] += returned;
    let agree = match payment.charge_status.as_str() {
        _ if payment.operation.is_some() && payment.last => return, // counted as unsettled
        "succeeded" if payment.charge_captured > 0 => captured == payment.charge_captured && returned == refunded,
        "succeeded" => authorized == payment.charge_amount && captured == 0,
        // An approval that came to light after we had ended the attempt was reversed there: released, or given back in full.
        "failed" => captured == returned && (authorized == 0 || captured > 0),
        "voided" => authorized == 0 && captured == 0,
        "pending" if payment.waits => authorized == 0 && captured == 0,
        _ => false, // pending or unknown, and nothing is under way: nobody would ever find out
    };
    let own = !payment.last
        || payment.received == payment.charge_captured
            && payment.payment_refunded == refunded
            && payment.charge_refunded == refunded;
    if !agree || !own {
        audit.find(|| {
            format!(
                "{charge} of {}: {} captured {} refunded {refunded} (payment {} and {}), the acquirer has authorized \
                 {authorized} captured {captured} refunded {returned}",
                payment.id, payment.charge_status, payment.charge_captured, payment.received, payment.payment_refunded
            )
        });
    }
}
