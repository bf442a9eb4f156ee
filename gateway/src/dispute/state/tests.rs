//! The table of the module, row by row, and everything that it does not list.

use super::*;
use crate::dispute::rows::DisputeDetails;
use DisputeReport as Kind;
use jiff::Timestamp;
use std::collections::HashSet;

const KINDS: [Kind; 5] = [
    Kind::Created,
    Kind::Updated,
    Kind::FundsWithdrawn,
    Kind::FundsReinstated,
    Kind::Closed,
];
const WORDS: [Kind; 3] = [Kind::Created, Kind::Updated, Kind::Closed];
const AMOUNT: i64 = 1_000;
const FEE: i64 = 15;

fn fact(kind: Kind, status: Status) -> Fact {
    Fact {
        kind,
        status,
        amount: AMOUNT,
        fee: FEE,
        withdrawals: 1,
        inherited: 0,
    }
}

/// A line of the table: funds before, held before (`None`: either), kinds, statuses after the merge, journals, funds after.
type Line = (
    Funds,
    Option<bool>,
    &'static [Kind],
    &'static [Status],
    &'static [&'static str],
    Funds,
);

const OPEN_OR_LOST: &[Status] = &[Status::NeedsResponse, Status::UnderReview, Status::Lost];
const NOT_LOST: &[Status] = &[
    Status::WarningNeedsResponse,
    Status::WarningUnderReview,
    Status::WarningClosed,
    Status::NeedsResponse,
    Status::UnderReview,
    Status::Won,
    Status::Prevented,
];
const TABLE: &[Line] = &[
    (Funds::None, Some(false), &WORDS, OPEN_OR_LOST, &["J20"], Funds::None),
    (
        Funds::None,
        Some(true),
        &WORDS,
        &[Status::Won, Status::Prevented],
        &["J22"],
        Funds::None,
    ),
    (
        Funds::None,
        Some(false),
        &[Kind::FundsWithdrawn],
        NOT_LOST,
        &["J11", "J12", "J11b"],
        Funds::Withdrawn,
    ),
    (
        Funds::None,
        Some(true),
        &[Kind::FundsWithdrawn],
        NOT_LOST,
        &["J11", "J12"],
        Funds::Withdrawn,
    ),
    (
        Funds::None,
        Some(false),
        &[Kind::FundsWithdrawn],
        &[Status::Lost],
        &["J11", "J12", "J11b", "J15"],
        Funds::Lost,
    ),
    (
        Funds::None,
        Some(true),
        &[Kind::FundsWithdrawn],
        &[Status::Lost],
        &["J11", "J12", "J15"],
        Funds::Lost,
    ),
    (
        Funds::None,
        Some(false),
        &[Kind::FundsReinstated],
        &Status::ALL,
        &["J11", "J12", "J14a"],
        Funds::Reinstated,
    ),
    (
        Funds::None,
        Some(true),
        &[Kind::FundsReinstated],
        &Status::ALL,
        &["J11", "J12", "J14a", "J14c"],
        Funds::Reinstated,
    ),
    (
        Funds::Withdrawn,
        Some(true),
        &[Kind::FundsReinstated],
        &Status::ALL,
        &["J14a", "J14c"],
        Funds::Reinstated,
    ),
    (
        Funds::Withdrawn,
        Some(true),
        &WORDS,
        &[Status::Lost],
        &["J15"],
        Funds::Lost,
    ),
    (
        Funds::Withdrawn,
        Some(true),
        &[Kind::FundsWithdrawn],
        &[Status::Lost],
        &["J15"],
        Funds::Lost,
    ),
    (
        Funds::Lost,
        Some(false),
        &[Kind::FundsReinstated],
        &Status::ALL,
        &["J27"],
        Funds::Reinstated,
    ),
];

/// The ladder, written down a second time.
fn after(known: Status, reported: Status) -> Status {
    let closed = [Status::Won, Status::Lost, Status::Prevented];
    let place = |status: Status| match Status::ALL.iter().position(|s| *s == status) {
        Some(_) if closed.contains(&status) => 5,
        Some(place) => place,
        None => unreachable!(),
    };
    if place(reported) > place(known) {
        reported
    } else {
        known
    }
}

fn reachable() -> HashSet<Option<Standing>> {
    let mut known = HashSet::from([None]);
    let mut open = vec![None];
    while let Some(standing) = open.pop() {
        for kind in KINDS {
            for status in Status::ALL {
                if let Ok(step) = apply(standing.as_ref(), &fact(kind, status))
                    && known.insert(Some(step.standing.clone()))
                {
                    open.push(Some(step.standing));
                }
            }
        }
    }
    known
}

#[test]
fn every_pair_is_a_line_of_the_table_or_moves_no_money() {
    let mut used = HashSet::new();
    for standing in reachable() {
        for kind in KINDS {
            for reported in Status::ALL {
                let outcome = apply(standing.as_ref(), &fact(kind, reported));
                let (funds, held) = standing
                    .as_ref()
                    .map_or((Funds::None, false), |s| (s.funds, s.held > 0));
                let status = standing.as_ref().map_or(reported, |s| after(s.status, reported));
                let line = TABLE.iter().position(|(from, wants_held, kinds, statuses, ..)| {
                    *from == funds
                        && wants_held.is_none_or(|w| w == held)
                        && kinds.contains(&kind)
                        && statuses.contains(&status)
                });
                let context = format!("{standing:?} + {kind:?} {reported:?} -> {outcome:?}");
                match (line, outcome) {
                    (Some(line), Ok(step)) => {
                        let (.., journals, to) = TABLE[line];
                        let codes: Vec<&str> = step.movements.iter().map(|m| m.code().as_str()).collect();
                        assert_eq!(codes, journals, "{context}");
                        assert_eq!((step.standing.funds, step.standing.status), (to, status), "{context}");
                        used.insert(line);
                    }
                    // Words that contradict how it was closed are refused, also where the table has a line for others.
                    (_, Err(Rejection::Contradicts { .. })) => {
                        let closed = standing.as_ref().map(|s| s.status);
                        assert!(
                            WORDS.contains(&kind) && reported.rung() == 5 && closed != Some(reported),
                            "{context}"
                        );
                        assert_eq!(closed.map(Status::rung), Some(5), "{context}");
                    }
                    (None, Ok(step)) => {
                        assert!(step.movements.is_empty(), "{context}");
                        assert_eq!(step.standing.funds, funds, "{context}");
                        assert!(standing.as_ref().is_none_or(|s| s.status != status), "{context}");
                    }
                    (None, Err(rejection)) => assert_eq!(rejection, Rejection::AlreadyApplied, "{context}"),
                    (Some(_), Err(_)) => panic!("{context}"),
                }
            }
        }
    }
    let unused: Vec<usize> = (0..TABLE.len()).filter(|line| !used.contains(line)).collect();
    assert!(unused.is_empty(), "lines of the table that nothing reaches: {unused:?}");
}

#[test]
fn a_repeat_is_already_applied_wherever_it_comes() {
    for standing in reachable() {
        for kind in KINDS {
            for status in Status::ALL {
                let fact = fact(kind, status);
                if let Ok(step) = apply(standing.as_ref(), &fact) {
                    assert_eq!(
                        apply(Some(&step.standing), &fact),
                        Err(Rejection::AlreadyApplied),
                        "{standing:?} {fact:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_frozen_is_what_is_at_stake() {
    for standing in reachable().into_iter().flatten() {
        let held = match standing.funds {
            Funds::None if OPEN_OR_LOST.contains(&standing.status) => AMOUNT,
            Funds::Withdrawn => AMOUNT,
            _ => 0,
        };
        assert_eq!(standing.held, held, "{standing:?}");
        assert!(
            standing.funds != Funds::Withdrawn || standing.status != Status::Lost,
            "{standing:?}"
        );
        assert!(standing.exposure() >= standing.held);
    }
}

#[test]
fn events_tell_each_thing_once() {
    let run = |facts: &[(Kind, Status)]| {
        let mut standing = None;
        let mut events = Vec::new();
        for (kind, status) in facts {
            if let Ok(step) = apply(standing.as_ref(), &fact(*kind, *status)) {
                events.extend(step.events.iter().map(|e| e.trim_start_matches("charge.dispute.")));
                standing = Some(step.standing);
            }
        }
        events
    };
    let lost = [
        (Kind::Created, Status::NeedsResponse),
        (Kind::FundsWithdrawn, Status::NeedsResponse),
        (Kind::FundsWithdrawn, Status::NeedsResponse),
        (Kind::Updated, Status::UnderReview),
        (Kind::Closed, Status::Lost),
        (Kind::Closed, Status::Lost),
    ];
    assert_eq!(run(&lost), ["created", "funds_withdrawn", "updated", "closed"]);
    let reversed: Vec<_> = lost.iter().rev().copied().collect();
    assert_eq!(run(&reversed), ["created", "closed", "funds_withdrawn"]);
    let inquiry = [
        (Kind::Created, Status::WarningNeedsResponse),
        (Kind::Closed, Status::WarningClosed),
        (Kind::Updated, Status::WarningUnderReview),
    ];
    assert_eq!(run(&inquiry), ["created", "closed"]);
    let won_in_one = [
        (Kind::FundsReinstated, Status::Won),
        (Kind::FundsWithdrawn, Status::NeedsResponse),
    ];
    assert_eq!(
        run(&won_in_one),
        ["created", "funds_withdrawn", "funds_reinstated", "closed"]
    );
}

#[test]
fn amounts_that_moved_are_never_adjusted() {
    let taken = apply(None, &fact(Kind::FundsWithdrawn, Status::NeedsResponse))
        .unwrap()
        .standing;
    for kind in [Kind::FundsWithdrawn, Kind::FundsReinstated] {
        let other = Fact {
            amount: AMOUNT - 1,
            ..fact(kind, Status::NeedsResponse)
        };
        let refused = Rejection::AmountDiffers {
            booked: AMOUNT,
            reported: AMOUNT - 1,
        };
        assert_eq!(apply(Some(&taken), &other), Err(refused));
    }
    let again = Fact {
        withdrawals: 2,
        inherited: 0,
        ..fact(Kind::FundsWithdrawn, Status::NeedsResponse)
    };
    let back = apply(Some(&taken), &fact(Kind::FundsReinstated, Status::Won))
        .unwrap()
        .standing;
    for known in [None, Some(&taken), Some(&back)] {
        assert_eq!(
            apply(known, &again),
            Err(Rejection::TakenAgain),
            "a second chargeback is not a repeat"
        );
    }
    for (amount, fee) in [(0, 0), (-5, 0), (5, -1)] {
        let wrong = Fact {
            amount,
            fee,
            ..fact(Kind::Created, Status::NeedsResponse)
        };
        assert_eq!(apply(None, &wrong), Err(Rejection::NotPositive));
    }
}

#[test]
fn a_debit_of_another_amount_than_announced_moves_the_hold_by_the_difference() {
    let noticed = apply(None, &fact(Kind::Created, Status::NeedsResponse))
        .unwrap()
        .standing;
    let withdrawn = |amount| {
        let fact = Fact {
            amount,
            ..fact(Kind::FundsWithdrawn, Status::NeedsResponse)
        };
        apply(Some(&noticed), &fact).unwrap()
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
    assert_eq!((more.standing.held, less.standing.held), (AMOUNT + 70, AMOUNT - 70));
}

#[test]
fn money_that_comes_back_after_a_loss_waits_for_a_person() {
    let lost = apply(None, &fact(Kind::FundsWithdrawn, Status::Lost)).unwrap().standing;
    assert!(!lost.is_contrary());
    let back = apply(Some(&lost), &fact(Kind::FundsReinstated, Status::Won)).unwrap();
    assert_eq!(back.movements, [Movement::Unmatched(AMOUNT)]);
    assert!(back.standing.is_contrary());
    assert_eq!(
        back.standing.exposure(),
        AMOUNT,
        "it must not become refundable by itself"
    );
}

#[test]
fn responses_are_given_in_time_once_and_alone() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let second = jiff::SignedDuration::from_secs(1);
    let open = Dispute {
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
        funds: Funds::Withdrawn,
        held_pending: AMOUNT,
        held_available: 0,
        held_receivable: 0,
        fee: FEE,
        evidence: Default::default(),
        submission_count: 0,
        due_by: Some(now),
        balance_transaction_ids: vec![],
        created_at: now,
        details: DisputeDetails::default(),
        operation: None,
        request_key: None,
        swept: 0,
        check_at: None,
    };
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
        submission_count: 1,
        ..open.clone()
    };
    assert_eq!(may(&answered, submit, now), Err(Denied::AlreadySubmitted));

    for status in Status::ALL {
        let turn = matches!(status, Status::NeedsResponse | Status::WarningNeedsResponse);
        let dispute = Dispute { status, ..open.clone() };
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
