//! Every reachable standing with every fact: the table is kept, nothing is booked twice, and no line of it is dead.

use super::*;
use crate::dispute::rows::DisputeDetails;
use crate::dispute::stage::TABLE;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

const AMOUNT: i64 = 1_000;
const FEE: i64 = 15;
const PHASES: [DisputePhase; 4] = [
    DisputePhase::First,
    DisputePhase::Provisional,
    DisputePhase::PreArbitration,
    DisputePhase::Arbitration,
];

/// Principal taken and returned by turns, so many times in all; takings have a fee.
pub(in crate::dispute) fn moves(count: usize) -> Vec<DisputeMove> {
    (0..count)
        .map(|n| {
            let taken = n % 2 == 0;
            DisputeMove {
                id: format!("txn_{n}"),
                amount: if taken { -AMOUNT } else { AMOUNT },
                fee: if taken { FEE } else { 0 },
                currency: "usd".into(),
            }
        })
        .collect()
}

pub(in crate::dispute) fn fact(status: Status, phase: DisputePhase, count: usize) -> Fact {
    Fact {
        status,
        phase,
        amount: AMOUNT,
        moves: moves(count),
        inherited: 0,
    }
}

/// A chargeback that waits for its answer until this moment.
pub(in crate::dispute) fn open_dispute(due_by: Timestamp) -> Dispute {
    Dispute {
        book_id: 1,
        id: "du_1".into(),
        version: 1,
        payment_id: "pi_1".into(),
        charge_id: "ch_1".into(),
        connector: "stripe".into(),
        acquirer_id: "dp_1".into(),
        status: Status::NeedsResponse,
        amount: AMOUNT,
        currency: "usd".into(),
        reason: "fraudulent".into(),
        network_reason_code: None,
        stage: Stage::NeedsResponse,
        rank: 103,
        contested: AMOUNT,
        lost: 0,
        takings: 1,
        returns: 0,
        charges: 0,
        borne_by: Bearer::Merchant,
        held_pending: AMOUNT,
        held_available: 0,
        held_receivable: 0,
        fee: FEE,
        evidence: Default::default(),
        submission_count: 0,
        answered: 0,
        due_by: Some(due_by),
        balance_transaction_ids: vec![],
        created_at: due_by,
        details: DisputeDetails {
            brand: "visa".into(),
            ..DisputeDetails::default()
        },
        operation: None,
        request_key: None,
        swept: 0,
        check_at: None,
        timer: None,
        timer_at: None,
    }
}

fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    for status in Status::ALL {
        for phase in PHASES {
            for count in 0..=4 {
                facts.push(fact(status, phase, count));
            }
        }
    }
    facts
}

/// A step from a standing, by a fact or by time.
type Stepped = (Option<Standing>, Option<Fact>, Result<Step, Rejection>);

fn everything(policy: Policy) -> Vec<Stepped> {
    let facts = facts();
    let mut known = HashSet::from([None]);
    let mut open = VecDeque::from([None]);
    let mut all = Vec::new();
    while let Some(standing) = open.pop_front() {
        let by_fact = facts
            .iter()
            .map(|fact| (Some(fact.clone()), apply(standing.as_ref(), fact, policy)));
        let by_time = standing.iter().map(|known| (None, window_over(known, policy)));
        for (fact, outcome) in by_fact.chain(by_time).collect::<Vec<_>>() {
            if let Ok(step) = &outcome
                && known.insert(Some(step.standing.clone()))
            {
                open.push_back(Some(step.standing.clone()));
            }
            all.push((standing.clone(), fact, outcome));
        }
    }
    all
}

#[test]
fn every_step_is_lines_of_the_table_and_no_line_is_dead() {
    let mut used: HashMap<(Option<Stage>, Event), usize> = HashMap::new();
    let mut missing = BTreeSet::new();
    for release in [true, false] {
        let policy = Policy {
            release_provisional_wins: release,
        };
        for (standing, fact, outcome) in everything(policy) {
            let Ok(step) = outcome else { continue };
            let context = format!("{standing:?} + {fact:?} -> {step:?}");
            let mut stage = standing.as_ref().map(|s| s.stage);
            let (mut journals, mut notices) = (Vec::new(), Vec::new());
            for (from, event) in &step.path {
                assert_eq!(*from, stage, "{context}");
                let row = TABLE.iter().find(|row| row.event == *event && row.from.contains(from));
                let row = row.unwrap_or_else(|| panic!("no line for {from:?} {event:?}: {context}"));
                stage = row.to.or(*from);
                journals.extend(row.journals);
                notices.extend(row.notices.iter().map(|n| format!("charge.dispute.{n}")));
                *used.entry((*from, *event)).or_default() += 1;
            }
            assert_eq!(stage, Some(step.standing.stage), "{context}");
            for code in step.movements.iter().map(|m| m.code().as_str()) {
                if !journals.contains(&code) {
                    missing.insert(format!("{code} of {:?}", step.path));
                }
            }
            for event in &step.events {
                let restated = step.path.is_empty() && event.ends_with(".updated");
                if !notices.iter().any(|n| n == event) && !restated {
                    missing.insert(format!("{event} of {:?}", step.path));
                }
            }
        }
    }
    assert!(missing.is_empty(), "the table does not say: {missing:#?}");
    let dead: Vec<String> = TABLE
        .iter()
        .flat_map(|row| row.from.iter().map(move |from| (*from, row.event)))
        .filter(|(from, event)| {
            let alert = matches!(from, Some(Stage::Alert)) || *event == Event::FraudAlert;
            !alert && !used.contains_key(&(*from, *event))
        })
        .map(|line| format!("{line:?}"))
        .collect();
    assert!(dead.is_empty(), "lines that nothing reaches: {dead:#?}");
}

#[test]
fn what_is_refused_or_known_changes_nothing_and_what_is_over_stays_over() {
    let policy = Policy::default();
    for (standing, fact, outcome) in everything(policy) {
        let context = format!("{standing:?} + {fact:?} -> {outcome:?}");
        let Ok(step) = outcome else { continue };
        let next = &step.standing;
        if let Some(fact) = &fact {
            let again = apply(Some(next), fact, policy);
            let contradiction = matches!(again, Err(Rejection::Contradicts { .. }));
            assert!(
                again == Err(Rejection::AlreadyApplied) || contradiction,
                "{again:?} after {context}"
            );
        }
        assert!(next.contested == 0 || next.contested == next.held, "{context}");
        assert!(next.held >= 0 && next.contested >= 0 && next.lost >= 0, "{context}");
        let Some(before) = &standing else { continue };
        assert!(
            next.takings >= before.takings && next.returns >= before.returns,
            "{context}"
        );
        assert!(next.lost >= before.lost, "{context}");
        if matches!(before.stage, Stage::WonFinal | Stage::LostFinal) {
            assert_eq!(next.stage, before.stage, "{context}");
        }
    }
}

/// What an acquirer tells one after the other; what each causes: stage, journals, events.
type Story = &'static [(
    Status,
    DisputePhase,
    usize,
    Stage,
    &'static [&'static str],
    &'static [&'static str],
)];

use DisputePhase::{Arbitration as Arb, First, PreArbitration as Prearb, Provisional as Prov};
use Status::*;

#[rustfmt::skip]
const STORIES: &[(&str, Story)] = &[
    ("an inquiry that is answered", &[
        (WarningNeedsResponse, First, 0, Stage::InquiryOpen, &[], &["created"]),
        (WarningUnderReview, First, 0, Stage::InquiryReview, &[], &["updated"]),
        (WarningClosed, First, 0, Stage::InquiryClosed, &[], &["closed"]),
    ]),
    ("an inquiry that becomes a chargeback", &[
        (WarningNeedsResponse, First, 0, Stage::InquiryOpen, &[], &["created"]),
        (NeedsResponse, First, 0, Stage::Notified, &["J20"], &["updated"]),
        (NeedsResponse, First, 1, Stage::NeedsResponse, &["J11", "J12"], &["funds_withdrawn"]),
        (Lost, First, 1, Stage::LostFinal, &["J15"], &["closed"]),
    ]),
    ("a win, final when its window is over", &[
        (NeedsResponse, First, 1, Stage::NeedsResponse, &["J11", "J12", "J11b"], &["created", "funds_withdrawn"]),
        (UnderReview, First, 1, Stage::UnderReview, &[], &["updated"]),
        (Won, First, 1, Stage::WonProvisional, &[], &["closed"]),
        (Won, First, 2, Stage::WonProvisional, &["J14a", "J14c"], &["funds_reinstated"]),
    ]),
    ("a second chargeback, lost", &[
        (Won, First, 2, Stage::WonProvisional, &["J11", "J12", "J14a"], &["created", "funds_withdrawn", "funds_reinstated", "closed"]),
        (NeedsResponse, First, 3, Stage::PrearbOpen, &["J14b", "J13", "J11b"], &["updated", "funds_withdrawn"]),
        (Lost, First, 3, Stage::LostFinal, &["J15"], &["closed"]),
    ]),
    ("a second chargeback, announced before its debit, contested and won in arbitration", &[
        (Won, First, 2, Stage::WonProvisional, &["J11", "J12", "J14a"], &["created", "funds_withdrawn", "funds_reinstated", "closed"]),
        (NeedsResponse, Prearb, 2, Stage::PrearbOpen, &["J20"], &["updated"]),
        (NeedsResponse, Prearb, 3, Stage::PrearbOpen, &["J14b", "J13"], &["funds_withdrawn"]),
        (UnderReview, Arb, 3, Stage::Arbitration, &[], &["updated"]),
        (Won, Arb, 4, Stage::WonFinal, &["J14a", "J14c"], &["funds_reinstated", "closed"]),
    ]),
    ("a loss that is fought: pre-arbitration declined, arbitration lost", &[
        (NeedsResponse, First, 1, Stage::NeedsResponse, &["J11", "J12", "J11b"], &["created", "funds_withdrawn"]),
        (Lost, Prov, 1, Stage::LostProvisional, &[], &["closed"]),
        (UnderReview, Prearb, 1, Stage::PrearbFiled, &[], &["updated"]),
        (UnderReview, Arb, 1, Stage::Arbitration, &[], &["updated"]),
        (Lost, Arb, 1, Stage::LostFinal, &["J15"], &["closed"]),
    ]),
    ("a loss that is fought, and the issuer yields", &[
        (Lost, Prov, 1, Stage::LostProvisional, &["J11", "J12", "J11b"], &["created", "funds_withdrawn", "closed"]),
        (UnderReview, Prearb, 1, Stage::PrearbFiled, &[], &["updated"]),
        (Won, Prearb, 2, Stage::WonFinal, &["J14a", "J14c"], &["funds_reinstated", "closed"]),
    ]),
    ("a loss before its debit", &[
        (NeedsResponse, First, 0, Stage::Notified, &["J20"], &["created"]),
        (Lost, First, 0, Stage::LostFinal, &[], &["closed"]),
        (Lost, First, 1, Stage::LostFinal, &["J11", "J12", "J15"], &["funds_withdrawn"]),
    ]),
    ("withdrawn by the cardholder before its debit", &[
        (NeedsResponse, First, 0, Stage::Notified, &["J20"], &["created"]),
        (Prevented, First, 0, Stage::Prevented, &["J22"], &["closed"]),
    ]),
    ("a late reversal of a loss waits for a person", &[
        (Lost, First, 1, Stage::LostFinal, &["J11", "J12", "J11b", "J15"], &["created", "funds_withdrawn", "closed"]),
        (Won, First, 2, Stage::LostFinal, &["J27"], &["funds_reinstated"]),
    ]),
];

#[test]
fn stories_go_as_the_procedure_says() {
    for (name, story) in STORIES {
        let mut standing = None;
        for (status, phase, count, stage, journals, events) in *story {
            let step = apply(standing.as_ref(), &fact(*status, *phase, *count), Policy::default());
            let step = step.unwrap_or_else(|e| panic!("{name}: {status:?} {count}: {e}"));
            let booked: Vec<&str> = step.movements.iter().map(|m| m.code().as_str()).collect();
            let told: Vec<&str> = step
                .events
                .iter()
                .map(|e| e.trim_start_matches("charge.dispute."))
                .collect();
            assert_eq!(
                (step.standing.stage, booked.as_slice(), told.as_slice()),
                (*stage, *journals, *events),
                "{name}: {status:?} {phase:?} {count}"
            );
            standing = Some(step.standing);
        }
    }
}

fn after(steps: &[(Status, DisputePhase, usize)]) -> Standing {
    let mut standing = None;
    for (status, phase, count) in steps {
        standing = Some(
            apply(standing.as_ref(), &fact(*status, *phase, *count), Policy::default())
                .unwrap()
                .standing,
        );
    }
    standing.unwrap()
}

#[test]
fn windows_end_what_is_provisional_and_money_after_that_is_for_a_person() {
    let won = after(&[(Won, First, 2)]);
    let over = window_over(&won, Policy::default()).unwrap();
    assert_eq!((over.standing.stage, over.movements.len()), (Stage::WonFinal, 0));
    assert_eq!(
        window_over(&over.standing, Policy::default()),
        Err(Rejection::AlreadyApplied)
    );
    let late = apply(Some(&over.standing), &fact(NeedsResponse, First, 3), Policy::default()).unwrap();
    assert_eq!(late.exceptions, [Exception::TakenAfterWin(AMOUNT)]);
    assert_eq!(
        late.movements,
        [Movement::Unmatched(-AMOUNT), Movement::CounterFee(FEE)]
    );
    assert_eq!(late.standing.stage, Stage::WonFinal);

    let lost = after(&[(Lost, Prov, 1)]);
    let over = window_over(&lost, Policy::default()).unwrap();
    assert_eq!(
        (over.standing.stage, over.movements),
        (Stage::LostFinal, vec![Movement::Lost(AMOUNT)])
    );

    let promised = after(&[(NeedsResponse, First, 1), (Won, First, 1)]);
    let over = window_over(&promised, Policy::default()).unwrap();
    assert_eq!(
        over.exceptions,
        [Exception::NotReturned(AMOUNT)],
        "won, and the money never came"
    );
    assert_eq!((over.standing.contested, over.standing.held), (AMOUNT, AMOUNT));
}

#[test]
fn a_win_may_stay_frozen_until_it_is_final() {
    let policy = Policy {
        release_provisional_wins: false,
    };
    let won = apply(None, &fact(Won, First, 2), policy).unwrap();
    assert_eq!((won.standing.held, won.standing.exposure()), (AMOUNT, AMOUNT));
    let over = window_over(&won.standing, policy).unwrap();
    assert_eq!(over.movements, [Movement::ReleaseReturned(AMOUNT)]);
    assert_eq!(over.standing.exposure(), 0);
    let again = apply(Some(&won.standing), &fact(NeedsResponse, First, 3), policy).unwrap();
    assert_eq!(
        again.movements,
        [Movement::TakenAgain(AMOUNT), Movement::CounterFee(FEE)],
        "the hold is used again, never doubled"
    );
}

#[test]
fn money_is_booked_as_it_moved_whatever_was_announced() {
    let noticed = after(&[(NeedsResponse, First, 0)]);
    let withdrawn = |amount: i64| {
        let mut fact = fact(NeedsResponse, First, 1);
        fact.moves[0].amount = -amount;
        apply(Some(&noticed), &fact, Policy::default()).unwrap()
    };
    let more = withdrawn(AMOUNT + 70);
    assert_eq!(
        more.movements,
        [Movement::Taken(AMOUNT + 70), Movement::Fee(FEE), Movement::Hold(70)]
    );
    let less = withdrawn(AMOUNT - 70);
    assert_eq!(
        less.movements,
        [
            Movement::Taken(AMOUNT - 70),
            Movement::Fee(FEE),
            Movement::ReleaseUndebited(70)
        ]
    );
    // Less comes back than was taken: the rest stays contested. More: the rest waits for a person.
    let returned = |amount: i64| {
        let mut fact = fact(Won, First, 2);
        fact.moves[1].amount = amount;
        apply(None, &fact, Policy::default()).unwrap()
    };
    assert_eq!(
        (
            returned(AMOUNT - 30).standing.contested,
            returned(AMOUNT - 30).standing.held
        ),
        (30, 30)
    );
    assert_eq!(returned(AMOUNT + 30).exceptions, [Exception::ReturnedTooMuch(30)]);
}

#[test]
fn fees_follow_the_acquirer_both_ways() {
    let mut won = fact(Won, First, 2);
    won.moves[1].fee = -FEE;
    let step = apply(None, &won, Policy::default()).unwrap();
    assert!(step.movements.contains(&Movement::FeeReturned(FEE)));
    assert_eq!(step.standing.fee, 0);
    // A fee alone, for answering.
    let mut answered = fact(UnderReview, First, 1);
    answered.moves.push(DisputeMove {
        id: "txn_fee".into(),
        amount: 0,
        fee: 20,
        currency: "usd".into(),
    });
    let before = after(&[(NeedsResponse, First, 1)]);
    let step = apply(Some(&before), &answered, Policy::default()).unwrap();
    assert_eq!(step.movements, [Movement::CounterFee(20)]);
    assert_eq!((step.standing.fee, step.standing.charges), (FEE + 20, 1));
}

#[test]
fn the_platform_may_bear_a_loss() {
    let mut open = after(&[(NeedsResponse, First, 1)]);
    open.borne_by = Bearer::Platform;
    let lost = apply(Some(&open), &fact(Lost, First, 1), Policy::default()).unwrap();
    assert_eq!(lost.movements, [Movement::LostByPlatform(AMOUNT)]);
    assert_eq!(
        (lost.standing.held, lost.standing.lost, lost.standing.exposure()),
        (0, AMOUNT, AMOUNT)
    );
}

#[test]
fn words_against_an_outcome_are_refused_and_impossible_amounts_too() {
    let lost = after(&[(Lost, First, 1)]);
    assert_eq!(
        apply(Some(&lost), &fact(Won, First, 1), Policy::default()),
        Err(Rejection::Contradicts {
            stage: Stage::LostFinal,
            reported: Won
        })
    );
    let mut wrong = vec![
        fact(NeedsResponse, First, 0),
        fact(NeedsResponse, First, 1),
        fact(NeedsResponse, First, 1),
    ];
    wrong[0].amount = 0;
    wrong[1].moves[0].amount = i64::MIN;
    wrong[2].moves[0].fee = i64::MAX;
    for fact in wrong {
        assert_eq!(apply(None, &fact, Policy::default()), Err(Rejection::Impossible));
    }
}

#[test]
fn what_is_frozen_for_cases_is_taken_over_and_never_frozen_twice() {
    for (count, code) in [(0, Movement::HoldOnNotice(600)), (1, Movement::Hold(600))] {
        let mut fact = fact(NeedsResponse, First, count);
        fact.inherited = 400;
        let step = apply(None, &fact, Policy::default()).unwrap();
        assert!(step.inherits && step.movements.contains(&code), "{step:?}");
        assert_eq!(step.standing.held, AMOUNT);
    }
    let mut asked = fact(WarningNeedsResponse, First, 0);
    asked.inherited = 400;
    let step = apply(None, &asked, Policy::default()).unwrap();
    assert!(
        !step.inherits && step.standing.held == 0,
        "an inquiry leaves the case alone"
    );
}

#[test]
fn responses_are_given_in_time_once_and_alone() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let second = jiff::SignedDuration::from_secs(1);
    let open = open_dispute(now);
    let (submit, close) = (Operation::Submit, Operation::Close);
    assert_eq!(may(&open, submit, now), Ok(()), "the last moment counts");
    assert_eq!(may(&open, submit, now + second), Err(Denied::PastDue));
    assert_eq!(may(&open, close, now + second), Ok(()));

    let unanswerable = Dispute {
        due_by: None,
        ..open.clone()
    };
    assert_eq!(may(&unanswerable, submit, now), Err(Denied::NoResponse));
    assert_eq!(may(&unanswerable, close, now), Ok(()));

    let busy = Dispute {
        operation: Some(close),
        ..open.clone()
    };
    assert_eq!(may(&busy, submit, now), Err(Denied::InProgress));
    assert_eq!(may(&busy, close, now), Err(Denied::InProgress));

    let answered = Dispute {
        answered: 2,
        ..open.clone()
    };
    assert_eq!(may(&answered, submit, now), Err(Denied::AlreadySubmitted));
    assert_eq!(may(&answered, close, now), Ok(()));
    let reviewed = Dispute {
        stage: Stage::UnderReview,
        ..answered.clone()
    };
    assert_eq!(may(&reviewed, submit, now), Err(Denied::AlreadySubmitted));
    for next in [Stage::PrearbOpen, Stage::LostProvisional] {
        let again = Dispute {
            stage: next,
            ..answered.clone()
        };
        assert_eq!(may(&again, submit, now), Ok(()), "{next:?} is a round of its own");
    }

    for stage in Stage::ALL.iter().copied().filter(|s| s.word().is_some()) {
        let turn = stage.round().is_some();
        let status = stage.word().unwrap();
        let dispute = Dispute {
            stage,
            status,
            ..open.clone()
        };
        for operation in [submit, close] {
            let expected = if turn { Ok(()) } else { Err(Denied::Status(status)) };
            assert_eq!(may(&dispute, operation, now), expected);
        }
    }
}

#[test]
fn words_read_back() {
    for status in Status::ALL {
        assert_eq!(Status::parse(status.as_str()), Some(status));
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    assert_eq!(Status::parse("charge_refunded"), None);
}
