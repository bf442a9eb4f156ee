//! pain.002: what a bank says of the instructions it was given. Pure.
//!
//! Read by a streaming parser that knows no DTD; size and depth are bounded. Any version of the message: the elements read here are
//! the same in all. It must never take what it does not know for an acceptance.

use super::pain001::payout_id;
use quick_xml::Reader;
use quick_xml::events::Event;

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// the `MsgId` of our file
    pub original: String,
    /// of the whole file, when the bank says one
    pub group: Option<Word>,
    /// of single payouts, in order
    pub payouts: Vec<(String, Word)>,
    /// references that are none of ours
    pub foreign: Vec<String>,
}

/// What is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// `ACSC`, `RJCT`, ..
    pub status: String,
    /// `AC04`, ..
    pub reason: Option<String>,
    /// in the bank's words
    pub text: Option<String>,
}

/// What it means for a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// the bank has it and will see
    Accepted,
    /// it will not be debited, for this reason of ours
    Rejected(&'static str),
    /// nothing yet, or nothing that we know
    Nothing,
}

/// Why a file is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Pain002Error {
    /// not XML, or not of this kind
    #[error("at byte {at}: {what}")]
    Wrong {
        /// where
        at: u64,
        /// what is wrong
        what: String,
    },
    /// beyond what is read
    #[error("the file is larger than {SIZE_MAX} bytes")]
    TooLarge,
}

impl Word {
    /// Settlement (`ACSC`) is the bank's plan; that money has left our account is said by a statement alone.
    pub fn meaning(&self) -> Meaning {
        match self.status.as_str() {
            "ACTC" | "ACCP" | "ACSP" | "ACSC" | "ACWC" | "ACCC" | "ACFC" => Meaning::Accepted,
            "RJCT" | "CANC" => Meaning::Rejected(failure_code(self.reason.as_deref().unwrap_or_default())),
            _ => Meaning::Nothing,
        }
    }
}

/// ISO 20022's reason in Stripe's words.
pub fn failure_code(reason: &str) -> &'static str {
    match reason {
        "AC01" | "AC02" | "AC03" | "BE23" => "invalid_account_number",
        "AC04" | "AC05" | "AC07" => "account_closed",
        "AC06" => "account_frozen",
        "AG01" | "AG03" | "AC13" | "AC14" => "bank_account_restricted",
        "AM03" | "AC09" | "CURR" => "invalid_currency",
        "BE01" | "BE04" | "BE16" | "MD07" => "incorrect_account_holder_name",
        "RC01" | "RC03" | "RC04" | "AGNT" => "no_account",
        "MS02" | "MS03" | "RR04" | "CUST" => "declined",
        _ => "could_not_process",
    }
}

/// Reads one.
pub fn read(bytes: &[u8]) -> Result<Report, Pain002Error> {
    if bytes.len() > SIZE_MAX {
        return Err(Pain002Error::TooLarge);
    }
    let mut reader = Reader::from_reader(bytes);
    let mut path: Vec<String> = Vec::new();
    let mut report = Report::default();
    let mut seen = false;
    let mut word = Word::default();
    let mut reference = String::new();
    loop {
        let at = reader.buffer_position();
        let wrong = |what: &str| Pain002Error::Wrong {
            at,
            what: what.chars().take(200).collect(),
        };
        match reader.read_event().map_err(|error| wrong(&error.to_string()))? {
            Event::DocType(_) => return Err(wrong("a document type has no place here")),
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                if path.len() > DEPTH_MAX {
                    return Err(wrong("elements are nested too deep"));
                }
                match path.last().map(String::as_str) {
                    Some("CstmrPmtStsRpt") => seen = true,
                    Some("OrgnlGrpInfAndSts" | "TxInfAndSts") => (word, reference) = Default::default(),
                    _ => {}
                }
            }
            Event::Text(text) => {
                take(&path, text.trim(), &mut report, &mut word, &mut reference);
            }
            Event::End(_) => match path.pop().as_deref() {
                Some("OrgnlGrpInfAndSts") if !word.status.is_empty() => report.group = Some(std::mem::take(&mut word)),
                Some("TxInfAndSts") => {
                    let (word, reference) = (std::mem::take(&mut word), std::mem::take(&mut reference));
                    match payout_id(&reference) {
                        Some(payout) => report.payouts.push((payout, word)),
                        None => report.foreign.push(reference),
                    }
                }
                _ => {}
            },
            Event::Eof if !path.is_empty() => return Err(wrong("the file is cut off")),
            Event::Eof if !seen => return Err(wrong("there is no CstmrPmtStsRpt: this is no pain.002")),
            Event::Eof => return Ok(report),
            _ => {}
        }
    }
}

/// A text by where it stands. Entities are not resolved: none of these texts needs one.
fn take(path: &[String], text: &str, report: &mut Report, word: &mut Word, reference: &mut String) {
    let text = || text.chars().filter(|c| !c.is_control()).take(255).collect::<String>();
    let mut names = path.iter().rev().map(String::as_str);
    match (names.next(), names.next()) {
        (Some("OrgnlMsgId"), Some("OrgnlGrpInfAndSts")) => report.original = text(),
        (Some("GrpSts"), Some("OrgnlGrpInfAndSts")) | (Some("TxSts"), Some("TxInfAndSts")) => word.status = text(),
        (Some("OrgnlEndToEndId"), Some("TxInfAndSts")) => *reference = text(),
        (Some("Cd" | "Prtry"), Some("Rsn")) => word.reason = Some(text()),
        (Some("AddtlInf"), Some("StsRsnInf")) => {
            let known = word.text.take().unwrap_or_default();
            let all = format!("{known} {}", text());
            word.text = Some(all.trim().chars().take(255).collect());
        }
        _ => {}
    }
}

/// Much more than a bank sends.
const SIZE_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt>\
             <GrpHdr><MsgId>B1</MsgId><CreDtTm>2026-11-24T09:00:00</CreDtTm></GrpHdr>{inner}</CstmrPmtStsRpt></Document>"
        )
    }

    #[test]
    fn what_banks_say_of_single_payouts_and_of_the_whole() {
        let text = file(
            "<OrgnlGrpInfAndSts><OrgnlMsgId>pof01</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId><GrpSts>PART</GrpSts></OrgnlGrpInfAndSts>\
             <OrgnlPmtInfAndSts><OrgnlPmtInfId>pof01</OrgnlPmtInfId>\
             <TxInfAndSts><OrgnlEndToEndId>po01a</OrgnlEndToEndId><TxSts>ACSP</TxSts></TxInfAndSts>\
             <TxInfAndSts><OrgnlEndToEndId>po01b</OrgnlEndToEndId><TxSts>RJCT</TxSts><StsRsnInf><Rsn><Cd>AC04</Cd></Rsn>\
             <AddtlInf>closed</AddtlInf><AddtlInf>in May</AddtlInf></StsRsnInf></TxInfAndSts>\
             <TxInfAndSts><OrgnlEndToEndId>OTHER</OrgnlEndToEndId><TxSts>RJCT</TxSts></TxInfAndSts></OrgnlPmtInfAndSts>",
        );
        let report = read(text.as_bytes()).unwrap();
        assert_eq!(
            (report.original.as_str(), report.group.as_ref().unwrap().status.as_str()),
            ("pof01", "PART")
        );
        assert_eq!(report.group.unwrap().meaning(), Meaning::Nothing);
        let said: Vec<_> = report
            .payouts
            .iter()
            .map(|(id, word)| (id.as_str(), word.meaning()))
            .collect();
        assert_eq!(
            said,
            [
                ("po_01a", Meaning::Accepted),
                ("po_01b", Meaning::Rejected("account_closed"))
            ]
        );
        assert_eq!(report.payouts[1].1.text.as_deref(), Some("closed in May"));
        assert_eq!(report.foreign, ["OTHER"]);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let doctype = "<!DOCTYPE a [<!ENTITY b \"c\">]><Document><CstmrPmtStsRpt/></Document>";
        let deep = format!("<Document>{}", "<a>".repeat(100));
        let cut = file("<OrgnlGrpInfAndSts>").replace("</OrgnlGrpInfAndSts>", "");
        for (text, what) in [
            (doctype, "document type"),
            (
                "<Document><CstmrCdtTrfInitn></CstmrCdtTrfInitn></Document>",
                "no pain.002",
            ),
            (deep.as_str(), "too deep"),
            (cut.as_str(), ""),
            ("", "no pain.002"),
            ("<Document><CstmrPmtStsRpt>", "cut off"),
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("at byte"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), inner in "\\PC{0,200}") {
            let _ = read(&bytes);
            let _ = read(file(&inner).as_bytes());
        }
    }
}
