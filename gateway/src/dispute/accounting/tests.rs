//! The money of whole disputes: whatever the order of the facts, the same books.

use super::*;
use crate::connector::DisputePhase;
use crate::dispute::state::tests::moves;
use crate::dispute::state::{self, Fact, Policy, Standing, Status};
use jiff::Timestamp;
use ledger::journal::LineKind;
use ledger::{BookId, Currency};
use proptest::prelude::*;
use std::collections::BTreeMap;

const AMOUNT: i64 = 1_000;
const FEE: i64 = 15;

fn books() -> Books<'static> {
    Books {
        book: BookId(1),
        currency: Currency::USD,
        connector: "stripe",
        at: Timestamp::UNIX_EPOCH,
    }
}

/// A book in memory: debits less credits by account number, no account below its floor.
#[derive(Default)]
struct Ledger {
    debits: BTreeMap<&'static str, i64>,
    standing: Option<Standing>,
    held: Split,
}

impl Ledger {
    fn with(merchant: Split) -> Self {
        let mut ledger = Self::default();
        ledger
            .debits
            .insert("1110", merchant.pending + merchant.available - merchant.receivable);
        ledger.debits.insert("1210", merchant.receivable);
        ledger.debits.insert("2010", -merchant.pending);
        ledger.debits.insert("2020", -merchant.available);
        ledger
    }

    fn at(&self, number: &str) -> i64 {
        self.debits.get(number).copied().unwrap_or_default()
    }

    fn merchant(&self) -> Split {
        Split {
            pending: -self.at("2010"),
            available: -self.at("2020"),
            receivable: self.at("1210"),
        }
    }

    fn tell(&mut self, fact: &Fact) {
        let Ok(step) = state::apply(self.standing.as_ref(), fact, Policy::default()) else {
            return;
        };
        let entries = entries(&books(), "du_1", &step.movements, self.held, self.merchant()).unwrap();
        for journal in &entries.journals {
            for line in journal.lines() {
                let chart = line.account.chart();
                let slot = self.debits.entry(chart.number()).or_default();
                match line.kind {
                    LineKind::Debit => *slot += line.amount,
                    LineKind::Credit => *slot -= line.amount,
                    other => panic!("{other:?}"),
                }
                let balance = if chart.normal_side() == ledger::Side::Debit {
                    *slot
                } else {
                    -*slot
                };
                assert!(
                    chart.overdraft() || balance >= 0,
                    "{chart} below zero by {}",
                    journal.code()
                );
            }
        }
        self.held = entries.held;
        self.standing = Some(step.standing.clone());
        assert_eq!(
            self.held.total(),
            step.standing.held,
            "the row and the transition agree"
        );
        assert_eq!(-self.at("2110"), self.held.total(), "2110 is what is frozen");
        assert_eq!(self.debits.values().sum::<i64>(), 0, "zero-sum");
    }

    /// What must not depend on the order: the acquirer's accounts, the fee, and the merchant's money as a whole.
    fn summary(&self) -> BTreeMap<&'static str, i64> {
        let merchant = self.merchant();
        BTreeMap::from([
            ("1110", self.at("1110")),
            ("1130", self.at("1130")),
            ("1910", self.at("1910")),
            ("2110", self.at("2110")),
            ("4020", self.at("4020")),
            ("5020", self.at("5020")),
            ("merchant", merchant.pending + merchant.available - merchant.receivable),
        ])
    }
}

fn fact(status: Status, phase: DisputePhase, count: usize) -> Fact {
    Fact {
        status,
        phase,
        amount: AMOUNT,
        moves: moves(count),
        inherited: 0,
    }
}

/// What acquirers tell, in the order in which it happens; and what the merchant bears in the end.
fn stories() -> Vec<(Vec<Fact>, i64)> {
    use DisputePhase::{Arbitration, First, PreArbitration, Provisional};
    use Status::*;
    let story = |facts: &[(Status, usize)]| facts.iter().map(|(s, n)| fact(*s, First, *n)).collect::<Vec<_>>();
    vec![
        (
            story(&[(WarningNeedsResponse, 0), (WarningUnderReview, 0), (WarningClosed, 0)]),
            0,
        ),
        (
            story(&[(NeedsResponse, 0), (NeedsResponse, 1), (UnderReview, 1), (Lost, 1)]),
            AMOUNT + FEE,
        ),
        (story(&[(NeedsResponse, 1), (UnderReview, 1), (Won, 1), (Won, 2)]), FEE),
        (story(&[(NeedsResponse, 1), (UnderReview, 2), (Won, 2)]), FEE),
        (
            story(&[
                (WarningNeedsResponse, 0),
                (NeedsResponse, 0),
                (NeedsResponse, 1),
                (Lost, 1),
            ]),
            AMOUNT + FEE,
        ),
        (story(&[(NeedsResponse, 0), (UnderReview, 0), (Won, 0)]), 0),
        (story(&[(NeedsResponse, 0), (Prevented, 0)]), 0),
        (
            story(&[(WarningClosed, 0), (NeedsResponse, 1), (Won, 1), (Won, 2)]),
            FEE,
        ),
        // a second chargeback: lost, won, and lost in silence
        (
            story(&[
                (NeedsResponse, 1),
                (UnderReview, 1),
                (Won, 2),
                (NeedsResponse, 3),
                (UnderReview, 3),
                (Lost, 3),
            ]),
            AMOUNT + 2 * FEE,
        ),
        (
            story(&[
                (NeedsResponse, 1),
                (UnderReview, 1),
                (Won, 2),
                (NeedsResponse, 3),
                (UnderReview, 3),
                (Won, 4),
            ]),
            2 * FEE,
        ),
        (
            story(&[(NeedsResponse, 1), (Won, 2), (NeedsResponse, 3), (Lost, 3)]),
            AMOUNT + 2 * FEE,
        ),
        // a loss that is fought in vain, and one that is not
        (
            vec![
                fact(NeedsResponse, First, 1),
                fact(Lost, Provisional, 1),
                fact(UnderReview, PreArbitration, 1),
                fact(UnderReview, Arbitration, 1),
                fact(Lost, Arbitration, 1),
            ],
            AMOUNT + FEE,
        ),
        (
            vec![
                fact(NeedsResponse, First, 1),
                fact(Lost, Provisional, 1),
                fact(UnderReview, PreArbitration, 1),
                fact(Won, PreArbitration, 1),
                fact(Won, PreArbitration, 2),
            ],
            FEE,
        ),
    ]
}

/// Who has what before the dispute; sometimes the merchant owes already.
fn merchants() -> impl Strategy<Value = Split> {
    prop_oneof![
        (0..3_000i64, 0..3_000i64).prop_map(|(pending, available)| Split {
            pending,
            available,
            receivable: 0
        }),
        (0..500i64, 0..2_000i64).prop_map(|(pending, receivable)| Split {
            pending,
            available: 0,
            receivable
        }),
    ]
}

proptest! {
    #[test]
    fn any_order_with_any_repeats_ends_in_the_same_money(
        story in 0..stories().len(),
        merchant in merchants(),
        mut repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        seed in any::<u64>(),
    ) {
        let (facts, borne) = stories().swap_remove(story);
        let mut straight = Ledger::with(merchant);
        facts.iter().for_each(|f| straight.tell(f));
        let before = merchant.pending + merchant.available - merchant.receivable;
        prop_assert_eq!(straight.summary()["merchant"], before - borne);
        prop_assert_eq!((straight.at("1130"), straight.at("2110"), straight.at("1910")), (0, 0, 0));

        let mut shuffled: Vec<Fact> = facts.clone();
        shuffled.extend(repeats.drain(..).map(|i| i.get(&facts).clone()));
        let mut random = seed;
        for i in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, (random >> 33) as usize % (i + 1));
        }
        let mut other = Ledger::with(merchant);
        shuffled.iter().for_each(|f| other.tell(f));
        prop_assert_eq!(other.summary(), straight.summary(), "{:?}", shuffled);
        let (a, b) = (other.standing.unwrap(), straight.standing.unwrap());
        prop_assert_eq!((a.status, a.contested, a.lost, a.fee), (b.status, b.contested, b.lost, b.fee));
    }
}

#[test]
fn a_hold_takes_pending_then_available_then_a_claim() {
    let merchant = Split {
        pending: 400,
        available: 500,
        receivable: 0,
    };
    let mut ledger = Ledger::with(merchant);
    ledger.tell(&fact(Status::NeedsResponse, DisputePhase::First, 0));
    let held = Split {
        pending: 400,
        available: 500,
        receivable: 100,
    };
    assert_eq!((ledger.held, ledger.merchant().receivable), (held, 100));
    // The debit reuses the hold; only the fee is charged on, as a claim now that nothing is left.
    ledger.tell(&fact(Status::NeedsResponse, DisputePhase::First, 1));
    assert_eq!((ledger.held, ledger.merchant().receivable), (held, 100 + FEE));
    ledger.tell(&fact(Status::Won, DisputePhase::First, 2));
    let after = Split {
        pending: 0,
        available: 900,
        receivable: FEE,
    };
    assert_eq!((ledger.held, ledger.merchant()), (Split::default(), after));
}

#[test]
fn a_claim_recovered_meanwhile_is_the_merchants_again() {
    let held = Split {
        pending: 0,
        available: 0,
        receivable: AMOUNT,
    };
    let owes = Split {
        receivable: 300,
        ..Split::default()
    };
    let released = entries(&books(), "du_1", &[Movement::ReleaseReturned(AMOUNT)], held, owes).unwrap();
    let lines: Vec<(&str, i64)> = released.journals[0]
        .lines()
        .iter()
        .map(|l| (l.account.chart().number(), l.amount))
        .collect();
    assert_eq!(lines, [("2110", AMOUNT), ("2020", 700), ("1210", 300)]);
}

#[test]
fn a_loss_booked_before_its_debit_is_whole_when_the_debit_comes() {
    let mut ledger = Ledger::with(Split {
        pending: 5_000,
        ..Split::default()
    });
    ledger.tell(&fact(Status::Lost, DisputePhase::First, 0));
    assert_eq!(
        (ledger.at("1110"), -ledger.at("2110")),
        (5_000, AMOUNT),
        "frozen, not taken"
    );
    ledger.tell(&fact(Status::NeedsResponse, DisputePhase::First, 1));
    assert_eq!(
        ledger.standing.as_ref().map(|s| (s.contested, s.lost)),
        Some((0, AMOUNT))
    );
    assert_eq!(
        (ledger.at("1110"), ledger.at("1130"), ledger.at("2110")),
        (5_000 - AMOUNT - FEE, 0, 0)
    );
}
