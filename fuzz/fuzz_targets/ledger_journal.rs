//! Journals from any lines: refused, or balanced per currency and layer, with a mirror that takes it back.
#![no_main]

use std::collections::BTreeMap;

use jiff::Timestamp;
use ledger::journal::{Draft, Journal};
use ledger::{AccountName, BookId, Chart, Currency, JournalCode, receipt};
use libfuzzer_sys::{arbitrary, fuzz_target};
use uuid::Uuid;

#[derive(arbitrary::Arbitrary, Debug)]
struct Input {
    lines: Vec<(u8, u8, bool, i64)>,
    hold: Option<(u8, u8, u8, i64, bool)>,
    reference: Option<String>,
    key: Option<[u8; 16]>,
}

fn account(chart: u8, currency: u8) -> AccountName {
    let currencies = [Currency::USD, Currency::EUR];
    let currency = currencies[usize::from(currency) % currencies.len()];
    AccountName::of(Chart::ALL[usize::from(chart) % Chart::ALL.len()], currency)
}

/// Debits less credits by currency and by whether pending.
fn net(journal: &Journal) -> BTreeMap<(String, bool), i128> {
    let mut net = BTreeMap::new();
    for line in journal.lines() {
        let (pending, sign) = match line.kind.letter() {
            'D' => (false, 1),
            'C' => (false, -1),
            'd' | 'y' => (true, 1),
            _ => (true, -1),
        };
        assert!(line.amount > 0);
        let currency = line.account.currency().as_str().to_owned();
        *net.entry((currency, pending)).or_default() += sign * i128::from(line.amount);
    }
    net
}

fuzz_target!(|input: Input| {
    let at = Timestamp::UNIX_EPOCH;
    let mut draft = Draft::new(BookId(1), JournalCode::J03, at);
    if let Some(reference) = &input.reference {
        draft = draft.reference(reference.as_str());
    }
    if let Some(key) = input.key {
        draft = draft.key(key);
    }
    if let Some((debit, credit, currency, amount, opens)) = input.hold {
        let (debit, credit) = (account(debit, currency), account(credit, currency));
        draft = match opens {
            true => draft.hold(debit, credit, amount, at),
            false => draft.consume(Uuid::nil(), debit, credit, amount, None),
        };
    }
    for (chart, currency, debit, amount) in &input.lines {
        let account = account(*chart, *currency);
        draft = match debit {
            true => draft.debit(account, *amount),
            false => draft.credit(account, *amount),
        };
    }
    let Ok(journal) = draft.balance() else {
        return;
    };
    assert!(journal.lines().len() >= 2);
    assert!(net(&journal).values().all(|net| *net == 0), "{journal:?}");
    assert_eq!(receipt::digest(&journal), receipt::digest(&journal));
    if let Ok(mirror) = journal.reversal(at).and_then(Draft::balance) {
        assert_eq!(mirror.reverses(), Some(journal.id()));
        assert_eq!(mirror.lines().len(), journal.lines().len());
    }
});
