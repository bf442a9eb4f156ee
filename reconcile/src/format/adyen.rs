//! Adyen's settlement details report: a row per movement of a batch, direction by column, fees in columns of their own.
//!
//! Source: docs.adyen.com/reporting/settlement-reconciliation/transaction-level/settlement-details-report. Proven: where both sides
//! are in one currency, gross less commission, markup, scheme fees and interchange = net; and a batch that was paid out nets to zero.

use std::collections::BTreeMap;
use std::io::Read;

use ledger::{Currency, Money};

use super::proof::{Proof, checked, currency};
use super::table::{Column, Row, Table};
use crate::scan::Source;
use crate::{Kind, Line, Refused, Statement, amount, when};

pub(super) fn read(source: Source<impl Read>, proof: &mut Proof<'_>) -> Result<(), Refused> {
    let mut table = Table::open(source, b',')?;
    let columns = Columns {
        psp: table.required(&["Psp Reference"])?,
        merchant: table.column(&["Merchant Reference"])?,
        modification: table.column(&["Modification Reference"])?,
        modification_merchant: table.column(&["Modification Merchant Reference"])?,
        kind: table.required(&["Type"])?,
        created: table.required(&["Creation Date"])?,
        zone: table.column(&["TimeZone"])?,
        gross: [
            table.required(&["Gross Currency"])?,
            table.required(&["Gross Debit (GC)"])?,
            table.required(&["Gross Credit (GC)"])?,
        ],
        net: [
            table.required(&["Net Currency"])?,
            table.required(&["Net Debit (NC)"])?,
            table.required(&["Net Credit (NC)"])?,
        ],
        fees: [
            table.column(&["Commission (NC)"])?,
            table.column(&["Markup (NC)"])?,
            table.column(&["Scheme Fees (NC)"])?,
            table.column(&["Interchange (NC)"])?,
        ],
        batch: table.column(&["Batch Number"])?,
    };
    let mut batches = Batches::default();
    let mut end = 1;
    while let Some(row) = table.next()? {
        end = row.line;
        let line = columns.line(&row)?;
        batches.add(&line)?;
        proof.line(line)?;
    }
    batches.prove(end)?;
    proof.statement(end, Statement::default())
}

struct Columns {
    psp: Column,
    merchant: Column,
    modification: Column,
    modification_merchant: Column,
    kind: Column,
    created: Column,
    zone: Column,
    gross: [Column; 3],
    net: [Column; 3],
    fees: [Column; 4],
    batch: Column,
}

impl Columns {
    fn line(&self, row: &Row<'_>) -> Result<Line, Refused> {
        let number = row.line;
        let refused = |reason| Refused::new(number, reason);
        let net_currency = currency(number, row.required(self.net[0], "Net Currency")?)?;
        let net = signed(row, self.net, net_currency)?;
        let mut fee = 0i64;
        for column in self.fees {
            if !row.get(column).is_empty() {
                let part = amount::major(row.get(column), net_currency, '.').map_err(refused)?;
                fee = checked(number, fee.checked_add(part))?;
            }
        }
        // Fee rows have no gross side: what they take is the net.
        let (gross, gross_currency) = match row.get(self.gross[0]) {
            "" => (checked(number, net.checked_add(fee))?, net_currency),
            code => {
                let gross_currency = currency(number, code)?;
                (signed(row, self.gross, gross_currency)?, gross_currency)
            }
        };
        if gross_currency == net_currency && checked(number, gross.checked_sub(fee))? != net {
            return Err(row.refused("the net amount is not the gross amount less the fees"));
        }
        let zone = when::zone(row.get(self.zone)).map_err(refused)?;
        let references = [self.modification, self.psp, self.modification_merchant, self.merchant];
        Ok(Line {
            number,
            kind: kind(row.required(self.kind, "Type")?),
            references: references.map(|column| row.get(column).to_owned()).into(),
            identity: None,
            batch: Some(row.get(self.batch).to_owned()),
            amount: gross,
            currency: gross_currency,
            fee,
            net,
            net_currency,
            at: when::instant(row.required(self.created, "Creation Date")?, &zone).map_err(refused)?,
            text: row.get(self.kind).to_owned(),
        })
    }
}

/// Credit less debit; one of the two is there.
fn signed(row: &Row<'_>, [_, debit, credit]: [Column; 3], currency: Currency) -> Result<i64, Refused> {
    let read = |column| match row.get(column) {
        "" => Ok(0),
        text => amount::major(text, currency, '.').map_err(|reason| row.refused(reason)),
    };
    let (debit, credit) = (read(debit)?, read(credit)?);
    if debit < 0 || credit < 0 {
        return Err(row.refused("an amount is negative: the column says the direction"));
    }
    if debit != 0 && credit != 0 {
        return Err(row.refused("it is both a debit and a credit"));
    }
    Ok(credit - debit)
}

fn kind(name: &str) -> Kind {
    match name {
        "Settled" | "SettledBulk" | "SettledInInstallments" => Kind::Payment,
        "Refunded" | "RefundedBulk" => Kind::Refund,
        "RefundedReversed" => Kind::RefundReturned,
        "Chargeback" | "SecondChargeback" => Kind::Dispute,
        "ChargebackReversed" => Kind::DisputeReturned,
        "Fee" | "MiscCosts" | "InvoiceDeduction" => Kind::Fee,
        "MerchantPayout" | "PaidOut" => Kind::Payout,
        _ => Kind::Movement,
    }
}

/// Net sums per batch: a report holds a few batches, and a forged one no more than this.
#[derive(Default)]
struct Batches(BTreeMap<(String, Currency), (i64, bool)>);

impl Batches {
    fn add(&mut self, line: &Line) -> Result<(), Refused> {
        let batch = line.batch.clone().unwrap_or_default();
        let (sum, paid) = self.0.entry((batch, line.net_currency)).or_default();
        *sum = checked(line.number, sum.checked_add(line.net))?;
        *paid |= line.kind == Kind::Payout;
        if self.0.len() > BATCHES {
            return Err(Refused::new(
                line.number,
                format!("more than {BATCHES} batches in one file"),
            ));
        }
        Ok(())
    }

    fn prove(&self, end: u64) -> Result<(), Refused> {
        for ((batch, currency), (sum, paid)) in &self.0 {
            if *paid && *sum != 0 {
                let rest = Money::new(*sum, *currency);
                return Err(Refused::new(
                    end,
                    format!("batch `{batch}` was paid out, and {rest} of it is not accounted for"),
                ));
            }
        }
        Ok(())
    }
}

const BATCHES: usize = 10_000;
