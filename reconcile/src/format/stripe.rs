//! Stripe's payout reconciliation report, itemized: a row per balance transaction, amounts in major units.
//!
//! Source: docs.stripe.com/reports/report-types/payout-reconciliation. Proven: net = gross - fee in every row.

use std::io::Read;

use jiff::tz::TimeZone;

use super::proof::{Proof, checked, currency};
use super::table::Table;
use crate::scan::Source;
use crate::{Kind, Line, Refused, Statement, amount, when};

pub(super) fn read(source: Source<impl Read>, proof: &mut Proof<'_>) -> Result<(), Refused> {
    let mut table = Table::open(source, b',')?;
    let transaction = table.required(&["balance_transaction_id"])?;
    let created = table.required(&["created_utc", "created"])?;
    let code = table.required(&["currency"])?;
    let gross = table.required(&["gross"])?;
    let fee = table.required(&["fee"])?;
    let net = table.required(&["net"])?;
    let category = table.required(&["reporting_category"])?;
    let source_id = table.required(&["source_id"])?;
    let charge = table.column(&["charge_id"])?;
    let intent = table.column(&["payment_intent_id"])?;
    let payout = table.column(&["automatic_payout_id"])?;
    let description = table.column(&["description"])?;
    let mut end = 1;
    while let Some(row) = table.next()? {
        let line = row.line;
        end = line;
        let refused = |reason| Refused::new(line, reason);
        let currency = currency(line, row.required(code, "currency")?)?;
        let read = |text| amount::major(text, currency, '.').map_err(refused);
        let (gross, net) = (read(row.required(gross, "gross")?)?, read(row.required(net, "net")?)?);
        let fee = match row.get(fee) {
            "" => 0,
            text => read(text)?,
        };
        if checked(line, gross.checked_sub(fee))? != net {
            return Err(row.refused("net is not gross less fee"));
        }
        let category = row.required(category, "reporting_category")?;
        let identity = row.required(transaction, "balance_transaction_id")?.to_owned();
        // Of a refund or dispute, the charge says only which payment it belongs to: it comes last.
        let references = [row.get(source_id), row.get(charge), row.get(intent)];
        proof.line(Line {
            number: line,
            kind: kind(category),
            references: references.map(str::to_owned).into(),
            identity: Some(identity),
            batch: Some(row.get(payout).to_owned()),
            amount: gross,
            currency,
            fee,
            net,
            net_currency: currency,
            at: when::instant(row.required(created, "created")?, &TimeZone::UTC).map_err(refused)?,
            text: row.get(description).to_owned(),
        })?;
    }
    proof.statement(end, Statement::default())
}

/// docs.stripe.com/reports/reporting-categories
fn kind(category: &str) -> Kind {
    match category {
        "charge" | "partial_capture_reversal" => Kind::Payment,
        "refund" => Kind::Refund,
        "refund_failure" => Kind::RefundReturned,
        "dispute" => Kind::Dispute,
        "dispute_reversal" => Kind::DisputeReturned,
        "fee" | "network_cost" | "tax" => Kind::Fee,
        "payout" => Kind::Payout,
        _ => Kind::Movement,
    }
}
