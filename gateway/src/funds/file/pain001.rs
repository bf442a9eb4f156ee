//! pain.001.001.09: payouts as credit transfers that a bank executes. Pure.
//!
//! Texts are written in the characters that every bank takes (the SEPA set); names are found again by our ids, which lose their
//! underscore there ([`end_to_end`], [`payout_id`]). It must never make two files of one id differ.

use crate::id::prefix;
use crate::report::decimal;
use jiff::Timestamp;
use jiff::civil::Date;
use ledger::Currency;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Our own side of the transfers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debtor {
    /// the account's holder
    pub name: String,
    /// the account that is debited
    pub iban: String,
    /// its bank
    pub bic: String,
}

/// A file.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct File<'a> {
    pub id: &'a str,
    pub created_at: Timestamp,
    pub execution_date: Date,
    pub debtor: &'a Debtor,
    pub currency: Currency,
    /// minor units: the sum of the transfers
    pub amount: i64,
    pub transfers: &'a [Transfer],
}

/// A payout in it.
#[derive(Debug)]
pub struct Transfer {
    /// `po_..`
    pub payout_id: String,
    /// minor units
    pub amount: i64,
    /// the holder of the account, or who it is when that is not known
    pub name: String,
    /// IBAN or account number
    pub account: String,
    /// what routes a number that is no IBAN: ABA in the US, sort code elsewhere
    pub routing_number: Option<String>,
    /// ISO 3166
    pub country: String,
    /// what the receiver reads
    pub text: String,
}

/// The file's text.
pub fn write(file: &File<'_>) -> String {
    let (count, sum) = (file.transfers.len(), decimal(file.amount.into(), file.currency));
    let message = plain(file.id, 35);
    let (holder, iban, bic) = (
        plain(&file.debtor.name, 70),
        plain(&file.debtor.iban, 34),
        plain(&file.debtor.bic, 11),
    );
    // SEPA shares charges by its own rule, and its service has a name.
    let (service, charges) = if file.currency == Currency::EUR {
        ("SEPA", "SLEV")
    } else {
        ("NURG", "SHAR")
    };
    let created = file.created_at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut xml = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">
  <CstmrCdtTrfInitn>
    <GrpHdr>
      <MsgId>{message}</MsgId>
      <CreDtTm>{created}</CreDtTm>
      <NbOfTxs>{count}</NbOfTxs>
      <CtrlSum>{sum}</CtrlSum>
      <InitgPty><Nm>{holder}</Nm></InitgPty>
    </GrpHdr>
    <PmtInf>
      <PmtInfId>{message}</PmtInfId>
      <PmtMtd>TRF</PmtMtd>
      <BtchBookg>false</BtchBookg>
      <NbOfTxs>{count}</NbOfTxs>
      <CtrlSum>{sum}</CtrlSum>
      <PmtTpInf><SvcLvl><Cd>{service}</Cd></SvcLvl></PmtTpInf>
      <ReqdExctnDt><Dt>{date}</Dt></ReqdExctnDt>
      <Dbtr><Nm>{holder}</Nm></Dbtr>
      <DbtrAcct><Id><IBAN>{iban}</IBAN></Id></DbtrAcct>
      <DbtrAgt><FinInstnId><BICFI>{bic}</BICFI></FinInstnId></DbtrAgt>
      <ChrgBr>{charges}</ChrgBr>
"#,
        date = file.execution_date,
    );
    for transfer in file.transfers {
        push(&mut xml, transfer, file.currency);
    }
    xml.push_str("    </PmtInf>\n  </CstmrCdtTrfInitn>\n</Document>\n");
    xml
}

fn push(xml: &mut String, transfer: &Transfer, currency: Currency) {
    let reference = end_to_end(&transfer.payout_id);
    let amount = decimal(transfer.amount.into(), currency);
    let code = currency.as_str().to_ascii_uppercase();
    let (name, number) = (plain(&transfer.name, 70), plain(&transfer.account, 34));
    let account = match is_iban(&transfer.account) {
        true => format!("<IBAN>{number}</IBAN>"),
        false => format!("<Othr><Id>{number}</Id></Othr>"),
    };
    // The receiver's bank, where its number is not in the account's.
    let system = match transfer.country.as_str() {
        "US" => Some("USABA"),
        "GB" => Some("GBDSC"),
        "CA" => Some("CACPA"),
        "AU" => Some("AUBSB"),
        "IN" => Some("INFSC"),
        _ => None,
    };
    let agent = match (&transfer.routing_number, system) {
        (Some(routing), Some(system)) => format!(
            "<CdtrAgt><FinInstnId><ClrSysMmbId><ClrSysId><Cd>{system}</Cd></ClrSysId><MmbId>{}</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>",
            plain(routing, 35)
        ),
        _ => String::new(),
    };
    let text = plain(&transfer.text, 140);
    // Writing to a string cannot fail.
    let _ = write!(
        xml,
        "      <CdtTrfTxInf>
        <PmtId><InstrId>{reference}</InstrId><EndToEndId>{reference}</EndToEndId></PmtId>
        <Amt><InstdAmt Ccy=\"{code}\">{amount}</InstdAmt></Amt>
        {agent}<Cdtr><Nm>{name}</Nm></Cdtr>
        <CdtrAcct><Id>{account}</Id></CdtrAcct>
        <RmtInf><Ustrd>{text}</Ustrd></RmtInf>
      </CdtTrfTxInf>
"
    );
}

/// A payout's id as banks carry it: `po01h..`.
pub fn end_to_end(payout_id: &str) -> String {
    plain(payout_id, 35)
}

/// The payout that a bank's reference names, if it can be one of ours.
pub fn payout_id(end_to_end: &str) -> Option<String> {
    let suffix = end_to_end.trim().strip_prefix(prefix::PAYOUT)?;
    let id = format!("{}_{}", prefix::PAYOUT, suffix.trim_start_matches('_'));
    crate::id::is_valid(prefix::PAYOUT, &id).then_some(id)
}

fn is_iban(number: &str) -> bool {
    number.len() >= 15 && number.bytes().take(2).all(|b| b.is_ascii_uppercase())
}

/// Of these characters alone, and so many at most; never empty, nor with blanks or strokes where banks refuse them.
fn plain(text: &str, most: usize) -> String {
    let kept: String = text
        .chars()
        .filter(|c| *c != '_')
        .map(|c| {
            if c.is_ascii_alphanumeric() || "/-?:().,'+".contains(c) {
                c
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<&str> = kept.split(' ').filter(|word| !word.is_empty()).collect();
    let short: String = words.join(" ").chars().take(most).collect();
    let short = short.trim_matches(|c| c == '/' || c == ' ').replace("//", "/");
    // The apostrophe is the one of these characters that XML may want escaped, and only in attributes.
    if short.is_empty() { "-".to_owned() } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_are_what_every_bank_takes(text in "\\PC{0,200}", most in 1usize..140) {
            let plain = plain(&text, most);
            prop_assert!(!plain.is_empty() && plain.chars().count() <= most.max(1));
            prop_assert!(plain.chars().all(|c| c.is_ascii_alphanumeric() || "/-?:().,'+ ".contains(c)), "{plain:?}");
        }
    }

    #[test]
    fn a_payout_is_found_again_by_the_bank_s_reference() {
        let id = crate::id::new(prefix::PAYOUT);
        assert_eq!(payout_id(&end_to_end(&id)), Some(id.clone()));
        assert_eq!(payout_id(&format!(" {id} ")), Some(id));
        for foreign in ["", "NOTPROVIDED", "po", "po_", "po/1", "invoice 7"] {
            assert_eq!(payout_id(foreign), None, "{foreign}");
        }
    }
}
