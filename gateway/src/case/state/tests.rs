//! Every line of the table with its journals, notices and timers; every other pair refused; limits; the sums that a CHECK demands.

use super::super::rows::*;
use super::super::rules::Rules;
use super::super::table::EDGES;
use super::*;
use jiff::SignedDuration;
use proptest::prelude::*;

const PAID: i64 = 1_000;

fn at() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().expect("a time")
}

pub(crate) fn case(status: Status) -> Case {
    Case {
        book_id: 1,
        id: "case_1".into(),
        version: 1,
        status,
        r#type: CaseType::Service,
        channel: Channel::Phone,
        payment_id: "pi_1".into(),
        charge_id: "ch_1".into(),
        customer_id: None,
        amount: 600,
        currency: "usd".into(),
        reason: "It is broken.".into(),
        held_pending: 0,
        held_available: 0,
        held_receivable: 0,
        owner: None,
        duplicate_of: None,
        verify_due: None,
        verified_at: None,
        decided_at: None,
        closed_at: None,
        outcome: None,
        appealed: false,
        refund_id: None,
        refund_progress: None,
        refund_due: 0,
        compensation_due: 0,
        recourse_due: 0,
        external_ref: None,
        frozen: false,
        seal: None,
        created_at: at() - SignedDuration::from_hours(5),
        details: CaseDetails {
            paid: PAID,
            rules: Rules::default(),
            heard: true,
            ..CaseDetails::default()
        },
    }
}

fn held(mut case: Case, amount: i64) -> Case {
    case.held_available = amount;
    case
}

pub(crate) fn decision(remedy: Remedy, refund: i64, compensation: i64) -> Decision {
    Decision {
        remedy,
        refund,
        compensation,
        borne_by: Bearer::Merchant,
        reasons: "It is as the consumer says.".into(),
        evidence: vec!["cae_1".into()],
        basis: (compensation > 0).then(|| "Art. 55: three times the price".into()),
        officer: "ann".into(),
        approver: (compensation > 0).then(|| "bob".into()),
        at: at(),
        goods_received: false,
        shipment: None,
    }
}

fn decided(remedy: Remedy, refund: i64, compensation: i64) -> Case {
    let mut case = held(case(Status::Decided), 600);
    case.outcome = Some(Outcome::Upheld);
    case.details.decision = Some(decision(remedy, refund, compensation));
    case
}

fn executing() -> Case {
    let mut case = decided(Remedy::RefundPartial, 400, 0);
    case.status = Status::Executing;
    case.held_available = 0;
    case.refund_id = Some("re_1".into());
    case.refund_progress = Some(RefundProgress::Open);
    case
}

fn closed(outcome: Outcome) -> Case {
    let mut case = case(Status::Closed);
    case.outcome = Some(outcome);
    case.closed_at = Some(at());
    case.details.decision = Some(decision(Remedy::Rejected, 0, 0));
    case
}

fn in_appeal() -> Case {
    let mut case = held(closed(Outcome::Rejected), 600);
    case.status = Status::AppealReview;
    case.closed_at = None;
    case.appealed = true;
    case.details.appeal = Some(Appeal {
        by: Party::Consumer,
        reason: "Look again.".into(),
        at: at(),
        from: Status::Closed,
    });
    case
}

fn offered() -> Case {
    let mut case = held(case(Status::MerchantResponse), 600);
    case.details.offers.push(Offer {
        id: "cae_7".into(),
        remedy: Remedy::RefundPartial,
        amount: 250,
        note: None,
        by: "key_1".into(),
        at: at(),
        accepted: false,
    });
    case
}

fn verification() -> Verification {
    Verification {
        finding: Finding::Confirmed,
        facts: "The photograph shows it.".into(),
        by: "ann".into(),
        at: at(),
    }
}

fn by(officer: &str) -> Upheld {
    Upheld {
        officer: officer.into(),
        reasons: "Nothing new.".into(),
    }
}

/// A line: the case before, the fact, the status after, journals, who is told, timers.
type Line = (Case, Fact, Status, &'static str, &'static str, &'static str);

#[rustfmt::skip]
fn lines() -> Vec<Line> {
    use Status::*;
    let appeal = |by| Fact::Appeal { by, reason: "Look again.".into() };
    let quality = |status| Case { r#type: CaseType::Quality, ..case(status) };
    vec![
        (case(Submitted), Fact::Accept, Verifying, "J20", "consumer merchant", "verify_warning verify"),
        (quality(Submitted), Fact::Accept, Verifying, "J20", "consumer merchant", ""),
        (case(Submitted), Fact::NotAccept { reason: "Too late.".into(), by: None }, NotAccepted, "", "consumer", "appeal_window"),
        (Case { outcome: Some(Outcome::NotAccepted), ..case(NotAccepted) }, appeal(Party::Consumer), AppealReview, "J20", "consumer merchant", "appeal_review"),
        (closed(Outcome::Rejected), appeal(Party::Consumer), AppealReview, "J20", "consumer merchant", "appeal_review"),
        (closed(Outcome::Upheld), appeal(Party::Merchant), AppealReview, "", "consumer merchant", "appeal_review"),
        (case(NotAccepted), Fact::WindowOver, Archived, "", "", ""),
        (closed(Outcome::Upheld), Fact::WindowOver, Archived, "", "", ""),
        (Case { status: ClosedFinal, ..closed(Outcome::Upheld) }, Fact::WindowOver, Archived, "", "", ""),
        (held(case(Verifying), 600), Fact::Verified(verification()), MerchantResponse, "", "merchant consumer", "response"),
        (offered(), Fact::OfferAccepted { offer_id: "cae_7".into(), by: "consumer".into() }, Decided, "", "consumer merchant", "execution"),
        (held(case(MerchantResponse), 600), Fact::Contest, Mediation, "", "consumer merchant", "mediation"),
        (held(case(MerchantResponse), 600), Fact::ResponseOverdue, Mediation, "", "consumer merchant", "mediation"),
        (held(case(Mediation), 600), Fact::Decide(decision(Remedy::RefundFull, 0, 0)), Decided, "", "consumer merchant", "execution"),
        (held(case(Mediation), 600), Fact::Decide(decision(Remedy::ReturnAndRefund, 500, 0)), Decided, "", "consumer merchant", "goods_return"),
        (held(case(Mediation), 600), Fact::Decide(decision(Remedy::Exchange, 0, 0)), Decided, "", "consumer merchant", "exchange"),
        (held(case(Mediation), 600), Fact::Decide(decision(Remedy::Rejected, 0, 0)), Closed, "J22", "consumer merchant", "appeal_window"),
        (held(case(Mediation), 600), Fact::MediationOverdue, Mediation, "", "supervisor consumer merchant", "supervision"),
        (decided(Remedy::RefundPartial, 400, 0), Fact::Execute { goods_received: false }, Executing, "J21 J22", "consumer", "confirmation"),
        (decided(Remedy::RefundFull, 600, 0), Fact::Execute { goods_received: false }, Executing, "J21", "consumer", "confirmation"),
        (decided(Remedy::RefundFull, 900, 0), Fact::Execute { goods_received: false }, Executing, "J20 J21", "consumer", "confirmation"),
        (decided(Remedy::ReturnAndRefund, 600, 0), Fact::Execute { goods_received: true }, Executing, "J21", "consumer", "confirmation"),
        (decided(Remedy::RefundFull, 600, 2_000), Fact::Execute { goods_received: false }, Executing, "J21 J23a", "consumer", "confirmation payout"),
        (decided(Remedy::Compensation, 0, 2_000), Fact::Execute { goods_received: false }, Executing, "J22 J23a", "consumer merchant", "confirmation payout"),
        (advanced(), Fact::Execute { goods_received: false }, Executing, "J22 J24", "consumer merchant", "confirmation"),
        (decided(Remedy::Repair, 0, 0), Fact::ExchangeLapsed, Decided, "", "consumer merchant", "execution"),
        (decided(Remedy::ReturnAndRefund, 600, 0), Fact::ReturnLapsed, Closed, "J22", "consumer merchant", "appeal_window"),
        (decided(Remedy::Replace, 0, 0), Fact::Shipped { shipment: "1Z".into() }, Closed, "J22", "consumer merchant", "appeal_window"),
        (executing(), Fact::RefundSucceeded, Closed, "", "consumer merchant", "appeal_window"), // J08b is the refund's own
        (executing(), Fact::RefundFailed, Executing, "", "consumer officer", "bank_payout"),    // J09 as well
        (owed_by_bank(), Fact::Paid, Closed, "J23b", "consumer merchant", "appeal_window"),
        (held(case(Submitted), 0), Fact::Withdraw, Closed, "", "merchant", "appeal_window"),
        (held(case(Verifying), 600), Fact::Withdraw, Closed, "J22", "merchant", "appeal_window"),
        (held(case(MerchantResponse), 600), Fact::Withdraw, Closed, "J22", "merchant", "appeal_window"),
        (held(case(Mediation), 600), Fact::Withdraw, Closed, "J22", "merchant", "appeal_window"),
        (decided(Remedy::RefundFull, 600, 0), Fact::Withdraw, Closed, "J22", "merchant", "appeal_window"),
        (case(Verifying), Fact::ChargebackOpened { dispute_id: "du_1".into() }, LinkedSuspended, "", "consumer merchant officer", ""),
        (executing(), Fact::ChargebackOpened { dispute_id: "du_1".into() }, LinkedSuspended, "", "consumer merchant officer", ""),
        (case(LinkedSuspended), Fact::ChargebackFinal { won: true }, Closed, "", "consumer merchant", "appeal_window"),
        (case(LinkedSuspended), Fact::ChargebackFinal { won: false }, Closed, "", "consumer merchant", "appeal_window"),
        (in_appeal(), Fact::AppealDecided(None, by("bob")), ClosedFinal, "J22", "consumer merchant", "appeal_window"),
        (in_appeal(), Fact::AppealDecided(Some(decision(Remedy::RefundFull, 0, 0)), by("bob")), ClosedFinal, "J20 J21", "consumer merchant", "appeal_window"),
        (in_appeal(), Fact::AppealDecided(Some(decision(Remedy::RefundPartial, 100, 0)), by("bob")), ClosedFinal, "J21 J22", "consumer merchant", "appeal_window"),
        (case(Mediation), Fact::RegulatorRequest { external_ref: "12315-7".into() }, Mediation, "", "compliance", "regulator_accept regulator_end"),
        (Case { frozen: true, ..case(Mediation) }, Fact::RegulatorClosed, Mediation, "", "compliance", ""),
        (Case { frozen: true, ..closed(Outcome::Upheld) }, Fact::RegulatorClosed, Closed, "", "compliance", "appeal_window"),
    ]
}

fn advanced() -> Case {
    let mut case = decided(Remedy::PlatformAdvance, 600, 0);
    let decision = case.details.decision.as_mut().expect("decided");
    decision.borne_by = Bearer::Advance;
    decision.approver = Some("bob".into());
    case
}

fn owed_by_bank() -> Case {
    let mut case = executing();
    case.refund_progress = Some(RefundProgress::Failed);
    case.refund_due = 400;
    case
}

#[test]
fn every_line_of_the_table() {
    for (before, fact, status, journals, told, timers) in lines() {
        let what = format!("{:?} {fact:?}", before.status);
        let step = apply(&before, &fact, 400, at()).unwrap_or_else(|rejection| panic!("{what}: {rejection}"));
        assert_eq!(step.case.status, status, "{what}");
        let booked: Vec<_> = step.movements.iter().map(|movement| movement.code().as_str()).collect();
        assert_eq!(booked.join(" "), journals, "{what}");
        let line = step.edge.unwrap_or_else(|| panic!("{what}: a line"));
        assert!(
            step.movements.iter().all(|m| line.journals.contains(&m.code())),
            "{what}: the table does not know {journals}"
        );
        let notices: Vec<_> = line.notices.iter().map(|audience| audience.as_str()).collect();
        assert_eq!(notices.join(" "), told, "{what}");
        let begun: Vec<_> = step.timers.iter().map(|timer| timer.as_str()).collect();
        assert_eq!(begun.join(" "), timers, "{what}");
        let over = matches!(status, Status::Closed | Status::ClosedFinal | Status::NotAccepted);
        let ended = step.case.outcome.is_some() && step.case.closed_at.is_some();
        assert!(ended || !over, "{what}");
    }
}

/// No line of the table is without its test, and no pair beside it is accepted.
#[test]
fn any_other_pair_is_refused() {
    let facts: Vec<Fact> = lines().into_iter().map(|line| line.1).collect();
    for edge in EDGES.iter().filter(|edge| edge.act != Act::Submit) {
        let followed = lines().into_iter().any(|(before, fact, ..)| {
            let step = apply(&before, &fact, 400, at()).expect("a line");
            step.edge.is_some_and(|line| line.act == edge.act) || edge.act == Act::Reject
        });
        assert!(followed, "{:?} has no line in the test", edge.act);
    }
    for status in Status::ALL {
        for fact in &facts {
            let mut standing = lines()
                .into_iter()
                .map(|line| line.0)
                .find(|case| case.status == *status)
                .unwrap_or_else(|| case(*status));
            standing.frozen = matches!(fact, Fact::RegulatorClosed);
            let Ok(step) = apply(&standing, fact, 400, at()) else {
                continue;
            };
            let Some(edge) = step.edge else {
                assert_eq!(step.case.status, *status, "{fact:?} changes no status without a line");
                continue;
            };
            let known = edge.from.contains(status) || edge.act == Act::Reject && *status == Status::Mediation;
            assert!(known, "{status:?} {fact:?}");
        }
    }
    for fact in &facts {
        let sealed = apply(&case(Status::Archived), fact, 400, at());
        let silent = matches!(fact, Fact::RefundSucceeded | Fact::RefundFailed);
        assert!(silent || sealed.is_err(), "archived: {fact:?}");
    }
}

#[test]
fn one_appeal_by_another_officer() {
    let mut again = closed(Outcome::Rejected);
    again.appealed = true;
    let appeal = Fact::Appeal {
        by: Party::Consumer,
        reason: "Again.".into(),
    };
    assert_eq!(apply(&again, &appeal, 400, at()).err(), Some(Rejection::AppealedBefore));
    let own = apply(&in_appeal(), &Fact::AppealDecided(None, by("ann")), 400, at());
    assert!(matches!(own, Err(Rejection::SamePerson { .. })), "{own:?}");
    let mut refused = in_appeal();
    refused.details.decision = None;
    refused.details.refused_by = Some("cleo".into());
    let own = apply(&refused, &Fact::AppealDecided(None, by("cleo")), 400, at());
    assert!(matches!(own, Err(Rejection::SamePerson { .. })), "{own:?}");
}

#[test]
fn limits_of_remedies() {
    let mediated = held(case(Status::Mediation), 600);
    let decide = |decision: Decision| apply(&mediated, &Fact::Decide(decision), 400, at()).map(|step| step.case);
    assert_eq!(
        decide(decision(Remedy::RefundPartial, 1_001, 0)).err(),
        Some(Rejection::TooMuch { available: 1_000 })
    );
    assert_eq!(
        decide(decision(Remedy::RefundPartial, 0, 0)).err(),
        Some(Rejection::NotPositive)
    );
    let full = decide(decision(Remedy::RefundFull, 0, 0)).expect("decided");
    assert_eq!(full.details.decision.expect("a decision").refund, 1_000);
    // three times the price is 3,000; the floor of the rules is more
    let most = Rules::default().compensation_max(PAID);
    assert_eq!(
        decide(decision(Remedy::Compensation, 0, most + 1)).err(),
        Some(Rejection::BeyondRules { allowed: most })
    );
    let mut alone = decision(Remedy::Compensation, 0, 100);
    alone.approver = None;
    assert_eq!(decide(alone.clone()).err(), Some(Rejection::ApproverMissing));
    alone.approver = Some("ann".into());
    assert!(matches!(decide(alone.clone()), Err(Rejection::SamePerson { .. })));
    alone.basis = None;
    assert_eq!(decide(alone).err(), Some(Rejection::BasisMissing));
    assert!(matches!(
        decide(decision(Remedy::Exchange, 100, 0)),
        Err(Rejection::NoSuchAmount { .. })
    ));
    // A refund without a return is at the merchant's cost only after it had a chance to answer.
    let mut unheard = mediated.clone();
    unheard.details.heard = false;
    let mut only = decision(Remedy::RefundOnly, 300, 0);
    assert_eq!(
        apply(&unheard, &Fact::Decide(only.clone()), 400, at()).err(),
        Some(Rejection::ApproverMissing)
    );
    only.approver = Some("bob".into());
    let step = apply(&unheard, &Fact::Decide(only), 400, at()).expect("decided");
    assert_eq!(
        step.case.details.decision.expect("a decision").borne_by,
        Bearer::Platform
    );
}

#[test]
fn goods_come_back_before_the_money_and_goods_go_out_instead_of_it() {
    let waits = apply(
        &decided(Remedy::ReturnAndRefund, 600, 0),
        &Fact::Execute { goods_received: false },
        0,
        at(),
    );
    assert!(matches!(waits, Err(Rejection::NotExecutable(_))));
    let ships = apply(
        &decided(Remedy::Repair, 0, 0),
        &Fact::Execute { goods_received: true },
        0,
        at(),
    );
    assert!(matches!(ships, Err(Rejection::NotExecutable(_))));
    let money = Fact::Shipped { shipment: "1Z".into() };
    assert!(matches!(
        apply(&decided(Remedy::RefundFull, 600, 0), &money, 0, at()),
        Err(Rejection::NotExecutable(_))
    ));
}

#[test]
fn compensation_that_an_appeal_undoes_is_taken_back_whole_and_given_anew() {
    let mut appealed = in_appeal();
    appealed.held_available = 0;
    appealed.compensation_due = 900;
    appealed.details.decision = Some(decision(Remedy::Compensation, 0, 900));
    let less = Fact::AppealDecided(Some(decision(Remedy::Compensation, 0, 300)), by("bob"));
    let step = apply(&appealed, &less, 0, at()).expect("decided");
    assert_eq!(step.movements, [Movement::TakeBack(900), Movement::Compensate(300)]);
    assert_eq!(step.case.compensation_due, 300);
    let more = Fact::AppealDecided(Some(decision(Remedy::Compensation, 0, 1_000)), by("bob"));
    let step = apply(&appealed, &more, 0, at()).expect("decided");
    assert_eq!(
        (step.movements, step.case.compensation_due),
        (vec![Movement::Compensate(100)], 1_000)
    );
}

#[test]
fn a_merchant_that_appeals_rightly_gets_its_money_from_the_platform() {
    let mut appealed = in_appeal();
    appealed.held_available = 0;
    appealed.refund_id = Some("re_1".into());
    appealed.refund_progress = Some(RefundProgress::Done);
    appealed.details.decision = Some(decision(Remedy::RefundPartial, 400, 0));
    appealed.details.appeal.as_mut().expect("an appeal").by = Party::Merchant;
    let step = apply(
        &appealed,
        &Fact::AppealDecided(Some(decision(Remedy::Rejected, 0, 0)), by("bob")),
        0,
        at(),
    )
    .expect("decided");
    assert_eq!(step.movements, [Movement::Reimburse(400)]);
    assert_eq!(step.case.outcome, Some(Outcome::Rejected));
}

#[test]
fn nothing_is_archived_that_a_regulator_has_or_that_is_not_paid() {
    let mut frozen = closed(Outcome::Upheld);
    frozen.frozen = true;
    assert_eq!(
        apply(&frozen, &Fact::WindowOver, 0, at()).err(),
        Some(Rejection::Frozen)
    );
    let mut owed = closed(Outcome::Upheld);
    owed.status = Status::ClosedFinal;
    owed.compensation_due = 1;
    assert_eq!(
        apply(&owed, &Fact::WindowOver, 0, at()).err(),
        Some(Rejection::StillOwed)
    );
    let paid = apply(&owed, &Fact::Paid, 0, at()).expect("paid");
    assert_eq!(paid.timers, [Timer::AppealWindow], "its time begins anew");
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let facts: Vec<Fact> = lines().into_iter().map(|line| line.1).collect();
    proptest::sample::select(facts)
}

proptest! {
    /// Whatever happens in whatever order: what is refunded and frozen never exceeds what was paid, and what the CHECKs of the
    /// table demand holds.
    #[test]
    fn sums_hold_after_any_facts(facts in proptest::collection::vec(any_fact(), 0..40)) {
        let mut standing = case(Status::Submitted);
        let (mut refunded, mut held) = (0i64, 0i64);
        for fact in &facts {
            let room = PAID - refunded - held;
            let Ok(step) = apply(&standing, fact, room, at()) else { continue };
            standing = step.case;
            for movement in step.movements {
                match movement {
                    Movement::Hold(amount) => held += amount,
                    Movement::Release(amount) => held -= amount,
                    Movement::Refund(amount) => { held -= amount; refunded += amount; standing.refund_id = Some("re_1".into()); }
                    Movement::PlatformRefund { amount, .. } => { refunded += amount; standing.refund_id = Some("re_1".into()); }
                    _ => {}
                }
            }
            if standing.status == Status::LinkedSuspended { held = 0; } // the chargeback's now
            standing.held_available = held;
            prop_assert!(held >= 0 && refunded >= 0 && held + refunded <= PAID, "{held} {refunded}");
            if matches!(standing.status, Status::NotAccepted | Status::Closed | Status::ClosedFinal | Status::Archived) {
                prop_assert!(standing.closed_at.is_some() && standing.outcome.is_some() && held == 0);
            }
            prop_assert!(standing.refund_due >= 0 && standing.compensation_due >= 0 && standing.recourse_due >= 0);
            if standing.status == Status::Archived {
                prop_assert!(!standing.frozen && standing.is_paid());
                break;
            }
        }
    }
}
