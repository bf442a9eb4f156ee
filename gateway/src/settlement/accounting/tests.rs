//! Settlement journals: what they move, and that nothing is left over.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const EUR: Currency = Currency::EUR;
const USD: Currency = Currency::USD;

fn proof(line: &str) -> Proof<'_> {
    Proof {
        book: BookId(7),
        acquirer: "stripe",
        batch: "po_batch",
        line,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn sale(gross: i64, fee: i64, fees: Fees) -> Settled<'static> {
    Settled {
        proof: proof("file:1"),
        reference: "ch_1",
        currency: USD,
        gross,
        exchanged: None,
        fee,
        fees,
    }
}

/// Net of the journals by account, debits positive.
fn net<'a>(journals: impl IntoIterator<Item = &'a Journal>) -> HashMap<String, i64> {
    let mut sums = HashMap::new();
    for line in journals.into_iter().flat_map(Journal::lines) {
        let amount = match line.kind {
            ledger::journal::LineKind::Debit => line.amount,
            _ => -line.amount,
        };
        *sums.entry(line.account.to_string()).or_default() += amount;
    }
    sums.retain(|_, amount| *amount != 0);
    sums
}

fn sums(list: &[(&str, i64)]) -> HashMap<String, i64> {
    list.iter()
        .map(|(name, amount)| ((*name).to_owned(), *amount))
        .collect()
}

#[test]
fn each_way_of_taking_a_fee() {
    let netted = sale(10_000, 320, Fees::Netted).journals().unwrap();
    assert_eq!(netted[0].code(), JournalCode::J05);
    assert_eq!(
        net(&netted),
        sums(&[
            ("1120.stripe.usd", 9_680),
            ("5010.usd", 320),
            ("1110.stripe.usd", -10_000)
        ])
    );
    let invoiced = sale(10_000, 320, Fees::Invoiced).journals().unwrap();
    assert_eq!(invoiced[1].code(), JournalCode::J05b);
    assert_eq!(
        net(&invoiced),
        sums(&[
            ("1120.stripe.usd", 10_000),
            ("5010.usd", 320),
            ("1110.stripe.usd", -10_000),
            ("2220.stripe.usd", -320)
        ])
    );
    // A chargeback of 50.00 whose fee of 15.00 was booked with it: 1110 has been credited by both.
    let booked = sale(-5_000, 1_500, Fees::Booked).journals().unwrap();
    assert_eq!(
        net(&booked),
        sums(&[("1120.stripe.usd", -6_500), ("1110.stripe.usd", 6_500)])
    );
    assert_eq!(sale(0, 0, Fees::Netted).journals().unwrap(), []);
}

#[test]
fn an_exchange_balances_in_both_currencies_and_its_residue_is_gain_or_loss() {
    let exchanged = Settled {
        currency: EUR,
        exchanged: Some((USD, 10_800)),
        ..sale(10_000, 200, Fees::Netted)
    };
    let journals = exchanged.journals().unwrap();
    assert_eq!(journals[0].code(), JournalCode::J17);
    assert_eq!(
        net(&journals),
        sums(&[
            ("1110.stripe.eur", -10_000),
            ("1310.eur", 10_000),
            ("1310.usd", -10_800),
            ("1120.stripe.usd", 10_600),
            ("5010.usd", 200)
        ])
    );
    let loss = position_closed(proof("x"), "fx", USD, 200).unwrap().unwrap();
    assert_eq!(net([&loss]), sums(&[("5060.usd", 200), ("1310.usd", -200)]));
    let gain = position_closed(proof("x"), "fx", USD, -200).unwrap().unwrap();
    assert_eq!(net([&gain]), sums(&[("4040.usd", -200), ("1310.usd", 200)]));
}

#[test]
fn what_nobody_can_name_waits_in_suspense_and_leaves_it_for_another_book() {
    for place in [Place::Bank("bank"), Place::Report] {
        let item = Unmatched {
            proof: proof("stmt:9"),
            place,
            currency: USD,
            amount: -40,
        };
        let seen = item.journal().unwrap().unwrap();
        assert_eq!(seen.reference(), Some("stmt:9"));
        let target = AccountName::new(Chart::AcquirerReceivable, Some("stripe"), USD).unwrap();
        let moved = item.resolved(BookId(8), target.clone(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            moved.iter().map(Journal::book).collect::<Vec<_>>(),
            [BookId(7), BookId(8)]
        );
        let all = net(moved.iter().chain([&seen]));
        assert!(
            !all.keys()
                .any(|name| name.starts_with("1910") || name.starts_with("1920")),
            "{all:?}"
        );
        assert_eq!(all["1110.stripe.usd"], 40, "{all:?}");
        let here = item.resolved(BookId(7), target, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(here.len(), 1);
    }
}

proptest! {
    /// The whole way: whatever the lines of a batch are, and whatever the bank pays for it, nothing stays in 1110 or 1120.
    #[test]
    fn a_batch_leaves_nothing_behind(
        lines in prop::collection::vec((1i64..3, -100_000i64..100_000, -500i64..500), 1..20), arrived in -50i64..50, bank_fee in any::<bool>(),
    ) {
        let names: Vec<(String, String)> = (0..lines.len()).map(|n| (format!("f:{n}"), format!("ch_{n}"))).collect();
        let settled: Vec<Settled<'_>> = lines.iter().zip(&names).map(|((book, gross, fee), (line, reference))| Settled {
            proof: Proof { book: BookId(*book), ..proof(line) },
            reference,
            ..sale(*gross, *fee, Fees::Netted)
        }).collect();
        let mut journals: Vec<Journal> = settled.iter().flat_map(|line| line.journals().unwrap()).collect();
        let shares = shares(&settled).unwrap();
        for ((book, currency), share) in &shares {
            let proof = Proof { book: *book, ..proof("stmt:1") };
            // What the bank shows may differ by a little; the difference is closed as somebody's cost.
            let amount = share + arrived;
            journals.extend(Banked { proof, bank: "bank", currency: *currency, amount, pays: Pays::Batch }.journal().unwrap());
            let because = if bank_fee { Because::BankFee } else { Because::Exchange };
            journals.extend(Adjusted { proof, currency: *currency, difference: arrived, because }.journal().unwrap());
        }
        let left = net(&journals);
        let gross: i64 = lines.iter().map(|(_, gross, _)| gross).sum();
        prop_assert_eq!(left.get("1110.stripe.usd").copied().unwrap_or(0), -gross);
        prop_assert_eq!(left.get("1120.stripe.usd"), None);
        let promised: i64 = shares.values().sum();
        let expected = promised + arrived * shares.len() as i64;
        prop_assert_eq!(left.get("1010.bank.usd").copied().unwrap_or(0), expected);
        for (book, names) in accounts(&journals) {
            let touched = journals.iter().filter(|j| j.book() == book).flat_map(Journal::lines);
            prop_assert!(touched.into_iter().all(|line| names.contains(&line.account)));
        }
    }
}

#[test]
fn the_same_line_has_the_same_key_and_another_line_another() {
    let key = |line: &'static str| {
        let settled = Settled {
            proof: proof(line),
            ..sale(1, 0, Fees::Netted)
        };
        *settled.journals().unwrap()[0].key().unwrap()
    };
    assert_eq!(key("a:1"), key("a:1"));
    assert_ne!(key("a:1"), key("a:2"));
    // A bank's line and what a bank on the way kept of it.
    let (proof, currency) = (proof("camt:1"), USD);
    let banked = Banked {
        proof,
        bank: "bank",
        currency,
        amount: 95,
        pays: Pays::Batch,
    };
    let kept = Adjusted {
        proof,
        currency,
        difference: -5,
        because: Because::BankFee,
    };
    let (banked, kept) = (banked.journal().unwrap().unwrap(), kept.journal().unwrap().unwrap());
    assert_eq!(banked.code(), kept.code());
    assert_ne!(banked.key(), kept.key());
    let both = sale(10, 1, Fees::Invoiced).journals().unwrap();
    assert_ne!(both[0].key(), both[1].key());
    let huge = sale(i64::MIN, 1, Fees::Netted).journals();
    assert_eq!(huge, Err(Refusal::AmountOutOfRange));
}
