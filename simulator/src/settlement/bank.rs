//! Statements of a bank: camt.053 and camt.054, MT940, BAI2. One account per currency, opening balance + entries = closing balance.

use super::{Format, Record, Statement, major, time};
use crate::object::Currency;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The entries of each account, in order of booking.
fn accounts(records: &[Record]) -> BTreeMap<Currency, Vec<&Record>> {
    let mut accounts: BTreeMap<Currency, Vec<&Record>> = BTreeMap::new();
    for record in records {
        accounts.entry(record.currency).or_default().push(record);
    }
    for entries in accounts.values_mut() {
        entries.sort_by_key(|record| record.at);
    }
    accounts
}

/// ISO 20022, version 2 or 8.
pub(super) fn camt(format: Format, frame: &Statement, records: &[Record]) -> String {
    let (name, root, element) = match format {
        Format::Camt054 => ("camt.054", "BkToCstmrDbtCdtNtfctn", "Ntfctn"),
        _ => ("camt.053", "BkToCstmrStmt", "Stmt"),
    };
    let accounts = accounts(records);
    let first = records.iter().map(|record| record.at).min().unwrap_or(0);
    let last = records.iter().map(|record| record.at).max().unwrap_or(0);
    let created = time(last, "%Y-%m-%dT%H:%M:%SZ");
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:{name}.001.{:02}\">\n <{root}>\n  \
         <GrpHdr><MsgId>SIM{last}</MsgId><CreDtTm>{created}</CreDtTm></GrpHdr>\n",
        frame.version
    );
    for (currency, entries) in accounts {
        let code = currency.as_str().to_uppercase();
        let id = format!("{}{code}", frame.account);
        let sum: i64 = entries.iter().map(|record| record.amount).sum();
        let _ = write!(
            out,
            "  <{element}>\n   <Id>{id}-{}-{last}</Id><ElctrncSeqNb>{}</ElctrncSeqNb><CreDtTm>{created}</CreDtTm>\
             <FrToDt><FrDtTm>{}</FrDtTm><ToDtTm>{created}</ToDtTm></FrToDt>\n   \
             <Acct><Id><Othr><Id>{id}</Id></Othr></Id><Ccy>{code}</Ccy></Acct>\n",
            frame.sequence,
            frame.sequence,
            time(first, "%Y-%m-%dT%H:%M:%SZ"),
        );
        if format == Format::Camt053 {
            for (kind, amount, at) in [("OPBD", frame.opening, first), ("CLBD", frame.opening + sum, last)] {
                let _ = writeln!(
                    out,
                    "   <Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy=\"{code}\">{}</Amt><CdtDbtInd>{}</CdtDbtInd>\
                     <Dt><Dt>{}</Dt></Dt></Bal>",
                    major(amount.abs(), currency, '.'),
                    side(amount),
                    time(at, "%Y-%m-%d"),
                );
            }
        }
        summary(&mut out, frame.version, currency, &entries);
        for record in entries {
            entry(&mut out, frame.version, record);
        }
        let _ = writeln!(out, "  </{element}>");
    }
    let _ = writeln!(out, " </{root}>\n</Document>");
    out
}

fn summary(out: &mut String, version: u8, currency: Currency, entries: &[&Record]) {
    let total = |wanted: fn(i64) -> bool| {
        let some = entries
            .iter()
            .map(|record| record.amount)
            .filter(|amount| wanted(*amount));
        some.fold((0, 0), |(count, sum), amount| (count + 1, sum + amount.abs()))
    };
    let (all, credits, debits) = (total(|_| true), total(|a| a >= 0), total(|a| a < 0));
    let net = credits.1 - debits.1;
    let net_text = major(net.abs(), currency, '.');
    let net = match version {
        2 => format!(
            "<TtlNetNtryAmt>{net_text}</TtlNetNtryAmt><CdtDbtInd>{}</CdtDbtInd>",
            side(net)
        ),
        _ => format!(
            "<TtlNetNtry><Amt>{net_text}</Amt><CdtDbtInd>{}</CdtDbtInd></TtlNetNtry>",
            side(net)
        ),
    };
    let part = |(count, sum): (u64, i64)| {
        let sum = major(sum, currency, '.');
        format!("<NbOfNtries>{count}</NbOfNtries><Sum>{sum}</Sum>")
    };
    let _ = writeln!(
        out,
        "   <TxsSummry><TtlNtries>{}{net}</TtlNtries><TtlCdtNtries>{}</TtlCdtNtries><TtlDbtNtries>{}</TtlDbtNtries></TxsSummry>",
        part(all),
        part(credits),
        part(debits),
    );
}

fn entry(out: &mut String, version: u8, record: &Record) {
    let (code, family) = match record.amount < 0 {
        true => ("ICDT", "ESCT"),
        false => ("RCDT", "ESCT"),
    };
    let status = match version {
        2 => "BOOK".to_owned(),
        _ => "<Cd>BOOK</Cd>".to_owned(),
    };
    let date = time(record.at, "%Y-%m-%d");
    let currency = record.currency.as_str().to_uppercase();
    let amount = major(record.amount.abs(), record.currency, '.');
    let _ = writeln!(
        out,
        "   <Ntry><Amt Ccy=\"{currency}\">{amount}</Amt><CdtDbtInd>{}</CdtDbtInd><Sts>{status}</Sts><BookgDt><Dt>{date}</Dt></BookgDt>\
         <ValDt><Dt>{date}</Dt></ValDt><AcctSvcrRef>{}</AcctSvcrRef>\
         <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{code}</Cd><SubFmlyCd>{family}</SubFmlyCd></Fmly></Domn></BkTxCd>\
         <NtryDtls><TxDtls><Refs><EndToEndId>{}</EndToEndId></Refs><RmtInf><Ustrd>Acquirer &amp; Sons {}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>",
        side(record.amount),
        record.id,
        record.source,
        record.payout(),
    );
}

fn side(amount: i64) -> &'static str {
    if amount < 0 { "DBIT" } else { "CRDT" }
}

/// SWIFT MT940, a message per account. Its characters have no underscore.
pub(super) fn mt940(frame: &Statement, records: &[Record]) -> String {
    let mut out = String::new();
    for (currency, entries) in accounts(records) {
        let code = currency.as_str().to_uppercase();
        let balance = |amount: i64, at: i64| {
            let mark = if amount < 0 { "D" } else { "C" };
            format!("{mark}{}{code}{}", time(at, "%y%m%d"), comma(amount.abs(), currency))
        };
        let first = entries.first().map_or(0, |record| record.at);
        let last = entries.last().map_or(0, |record| record.at);
        let sum: i64 = entries.iter().map(|record| record.amount).sum();
        let _ = write!(
            out,
            ":20:SIM{last}\r\n:25:{}{code}\r\n:28C:{}/1\r\n:60F:{}\r\n",
            frame.account,
            frame.sequence,
            balance(frame.opening, first),
        );
        for (n, record) in entries.iter().enumerate() {
            let mark = if record.amount < 0 { "D" } else { "C" };
            let text = format!(
                "/EREF/{}/REMI/ACQUIRER {}",
                swift(&record.source),
                swift(&record.payout())
            );
            let lines: Vec<&str> = pieces(&text, 65).collect();
            let _ = write!(
                out,
                ":61:{}{}{mark}{}NTRFNONREF//S{n}\r\n:86:{}\r\n",
                time(record.at, "%y%m%d"),
                time(record.at, "%m%d"),
                comma(record.amount.abs(), currency),
                lines.join("\r\n"),
            );
        }
        let _ = write!(out, ":62F:{}\r\n-\r\n", balance(frame.opening + sum, last));
    }
    out
}

fn swift(reference: &str) -> String {
    reference.replace('_', "-")
}

fn comma(amount: i64, currency: Currency) -> String {
    let text = major(amount, currency, ',');
    if text.contains(',') { text } else { text + "," }
}

fn pieces(text: &str, width: usize) -> impl Iterator<Item = &str> {
    let ends = (0..text.len()).step_by(width); // ASCII by construction
    ends.map(move |at| &text[at..text.len().min(at + width)])
}

/// BAI2: a group per day of the report, an account per currency.
pub(super) fn bai2(frame: &Statement, records: &[Record]) -> String {
    let last = records.iter().map(|record| record.at).max().unwrap_or(0);
    let date = time(last, "%y%m%d");
    let mut out = format!("01,SIMBANK,COUNTERFOIL,{date},0600,{},80,,2/\n", frame.sequence);
    let mut file = (0i64, 0u64, 1u64);
    // Details have no date of their own: entries of a day are in a group of that day.
    let mut days: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in records {
        days.entry(time(record.at, "%y%m%d")).or_default().push(record.clone());
    }
    let mut balances: BTreeMap<Currency, i64> = BTreeMap::new();
    for (day, records) in &days {
        let mut group = (0i64, 0u64, 2u64);
        let _ = writeln!(out, "02,COUNTERFOIL,SIMBANK,1,{day},2359,,2/");
        for (currency, entries) in accounts(records) {
            let code = currency.as_str().to_uppercase();
            let sum: i64 = entries.iter().map(|record| record.amount).sum();
            let opening = *balances.entry(currency).or_insert(frame.opening);
            let closing = opening + sum;
            balances.insert(currency, closing);
            let _ = writeln!(
                out,
                "03,{}{code},{code},010,{opening},,,015,{closing},,/",
                frame.account
            );
            let mut total = opening + closing;
            let mut count = 2;
            for record in entries {
                let kind = if record.amount < 0 { 495 } else { 195 };
                let _ = writeln!(
                    out,
                    "16,{kind},{},Z,{},{},ACQUIRER, {}/\n88,END OF ENTRY/",
                    record.amount.abs(),
                    record.id,
                    record.source,
                    record.payout(),
                );
                total += record.amount.abs();
                count += 2;
            }
            let _ = writeln!(out, "49,{total},{count}/");
            group = (group.0 + total, group.1 + 1, group.2 + count);
        }
        let _ = writeln!(out, "98,{},{},{}/", group.0, group.1, group.2);
        file = (file.0 + group.0, file.1 + 1, file.2 + group.2);
    }
    let _ = writeln!(out, "99,{},{},{}/", file.0, file.1, file.2 + 1);
    out
}
