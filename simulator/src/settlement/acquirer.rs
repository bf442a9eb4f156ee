//! Reports of acquirers: CSV in the columns of Stripe, of Adyen, and of a small acquirer that has its own.

use super::{Record, major, time};
use crate::object::MovementKind;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Stripe's payout reconciliation report, itemized.
pub(super) fn stripe(records: &[Record]) -> String {
    let mut out = String::from(
        "automatic_payout_id,automatic_payout_effective_at_utc,balance_transaction_id,created_utc,available_on_utc,currency,gross,fee,net,\
         reporting_category,source_id,description,charge_id,payment_intent_id\n",
    );
    for record in records {
        let (_, category) = record.kind.names();
        let money = |minor| major(minor, record.currency, '.');
        let at = |days: i64| time(record.at + days * 86_400, "%Y-%m-%d %H:%M:%S");
        let _ = writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{category},{},\"sold, and paid\",{},{}",
            record.payout(),
            at(2),
            record.id,
            at(0),
            at(2),
            record.currency.as_str(),
            money(record.amount),
            money(record.fee),
            money(record.amount - record.fee),
            record.source,
            record.charge,
            record.intent,
        );
    }
    out
}

/// Adyen's settlement details report, with the payout that empties each batch.
pub(super) fn adyen(records: &[Record]) -> String {
    let mut out = String::from(
        "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,Modification Reference,\
         Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,Net Debit (NC),Net Credit (NC),Commission (NC),\
         Markup (NC),Scheme Fees (NC),Interchange (NC),Payment Method Variant,Modification Merchant Reference,Batch Number\n",
    );
    let mut nets: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    for record in records {
        let kind = match record.kind {
            MovementKind::Charge => "Settled",
            MovementKind::Refund => "Refunded",
            MovementKind::RefundFailure => "RefundedReversed",
            MovementKind::Dispute => "Chargeback",
            MovementKind::DisputeReversal => "ChargebackReversed",
        };
        let net = record.amount - record.fee;
        let sum = nets.entry(record.currency).or_default();
        *sum = (sum.0 + net, record.at);
        let modification = if record.source == record.charge {
            ""
        } else {
            &record.source
        };
        let [gross_debit, gross_credit] = sides(record.amount, record);
        let [net_debit, net_credit] = sides(net, record);
        let code = record.currency.as_str().to_uppercase();
        let _ = writeln!(
            out,
            "Sim,SimECOM,{},{},visa,{},UTC,{kind},{modification},{code},{gross_debit},{gross_credit},1,{code},{net_debit},{net_credit},{},,,,\
             visaclassic,,1",
            record.charge,
            record.intent,
            time(record.at, "%Y-%m-%d %H:%M:%S"),
            major(record.fee, record.currency, '.'),
        );
    }
    for (currency, (net, at)) in nets.into_iter().filter(|(_, (net, _))| *net != 0) {
        let code = currency.as_str().to_uppercase();
        let amount = major(net.abs(), currency, '.');
        let [debit, credit] = if net > 0 {
            [amount.as_str(), ""]
        } else {
            ["", amount.as_str()]
        };
        let at = time(at, "%Y-%m-%d %H:%M:%S");
        let _ = writeln!(
            out,
            "Sim,SimECOM,,,,{at},UTC,MerchantPayout,,,,,,{code},{debit},{credit},,,,,,,1"
        );
    }
    out
}

/// A CSV with names of its own: the usual ones.
pub(super) fn csv(records: &[Record]) -> String {
    let mut out = String::from("id,date,type,reference,payment,amount,fee,currency,batch\n");
    for record in records {
        let kind = match record.kind {
            MovementKind::Charge => "payment",
            MovementKind::Refund => "refund",
            MovementKind::RefundFailure => "refund_returned",
            MovementKind::Dispute => "dispute",
            MovementKind::DisputeReversal => "dispute_returned",
        };
        let money = |minor| major(minor, record.currency, '.');
        let _ = writeln!(
            out,
            "{},{},{kind},{},{},{},{},{},{}",
            record.id,
            time(record.at, "%Y-%m-%dT%H:%M:%SZ"),
            record.source,
            record.intent,
            money(record.amount),
            money(record.fee),
            record.currency.as_str(),
            record.payout(),
        );
    }
    out
}

/// Debit and credit column.
fn sides(amount: i64, record: &Record) -> [String; 2] {
    let text = major(amount.abs(), record.currency, '.');
    match amount < 0 {
        true => [text, String::new()],
        false => [String::new(), text],
    }
}
