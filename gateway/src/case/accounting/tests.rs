//! The journals of cases, line by line.

use super::super::state::tests::case;
use super::super::words::Status;
use super::*;
use ledger::journal::LineKind;
use ledger::{BookId, Currency};

fn books() -> Books<'static> {
    Books {
        book: BookId(1),
        currency: "usd".parse::<Currency>().expect("a currency"),
        connector: "stripe",
        at: "2026-11-23T10:00:00Z".parse().expect("a time"),
    }
}

fn merchant(pending: i64, available: i64, receivable: i64) -> Split {
    Split {
        pending,
        available,
        receivable,
    }
}

/// The journals as `code: debits / credits`.
fn booked(case: &mut Case, movements: &[Movement], merchant: Split) -> Vec<String> {
    let entries = book(&books(), case, "re_1", movements, merchant).expect("balanced");
    let side = |journal: &Journal, kind: LineKind| {
        let lines = journal.lines().iter().filter(|line| line.kind == kind);
        lines
            .map(|line| format!("{} {}", line.account, line.amount))
            .collect::<Vec<_>>()
            .join(" + ")
    };
    let shown = |journal: &Journal| {
        format!(
            "{} {}: {} / {}",
            journal.code(),
            journal.reference().unwrap_or_default(),
            side(journal, LineKind::Debit),
            side(journal, LineKind::Credit)
        )
    };
    entries.journals.iter().map(shown).collect()
}

#[test]
fn holds_take_what_there_is_and_claim_the_rest() {
    let mut held = case(Status::Submitted);
    assert_eq!(
        booked(&mut held, &[Movement::Hold(600)], merchant(100, 300, 0)),
        ["J20 case_1: 2010.usd 100 + 2020.usd 300 + 1210.usd 200 / 2110.usd 600"]
    );
    assert_eq!(held.split(), merchant(100, 300, 200));
    // The claim goes first; what was recovered meanwhile is the merchant's.
    assert_eq!(
        booked(&mut held, &[Movement::Release(250)], merchant(0, 0, 150)),
        ["J22 case_1: 2110.usd 250 / 2020.usd 100 + 1210.usd 150"]
    );
    assert_eq!(held.held(), 350);
}

#[test]
fn a_refund_comes_from_the_hold_under_its_own_reference() {
    let mut held = case(Status::Decided);
    held.hold(merchant(100, 300, 200));
    let journals = booked(
        &mut held,
        &[Movement::Refund(450), Movement::Release(150)],
        merchant(0, 0, 200),
    );
    assert_eq!(
        journals,
        [
            "J21 re_1: 2110.usd 450 / 2120.usd 450",
            "J22 case_1: 2110.usd 150 / 1210.usd 150"
        ]
    );
    assert_eq!(held.held(), 0);
}

#[test]
fn the_platform_pays_with_or_without_a_claim() {
    let mut bare = case(Status::Decided);
    let refund = |recourse| Movement::PlatformRefund { amount: 600, recourse };
    assert_eq!(
        booked(&mut bare, &[refund(true)], Split::default()),
        ["J24 re_1: 1220.usd 600 / 2120.usd 600"]
    );
    assert_eq!(
        booked(
            &mut bare,
            &[refund(false), Movement::PlatformCompensate(70)],
            Split::default()
        ),
        [
            "J24 re_1: 5040.usd 600 / 2120.usd 600",
            "J24 case_1: 5040.usd 70 / 2130.usd 70"
        ]
    );
    let journal = recourse(&books(), "case_1", 200, 100).expect("balanced");
    assert_eq!(journal.code(), JournalCode::J25);
}

#[test]
fn compensation_is_paid_by_bank_and_undone_by_its_mirror() {
    let mut owed = case(Status::Decided);
    let first = book(
        &books(),
        &mut owed,
        "re_1",
        &[Movement::Compensate(500)],
        merchant(0, 300, 0),
    )
    .expect("balanced");
    let undone = book(
        &books(),
        &mut owed,
        "re_1",
        &[Movement::TakeBack(500)],
        merchant(0, 0, 200),
    )
    .expect("balanced");
    let mirror = &undone.journals[0];
    assert_eq!(
        (mirror.code(), mirror.reverses()),
        (JournalCode::J26, Some(first.journals[0].id()))
    );
    let swapped = |journal: &Journal, of: LineKind| {
        let mut lines: Vec<_> = journal
            .lines()
            .iter()
            .filter(|l| l.kind == of)
            .map(|l| (l.account.to_string(), l.amount))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(
        swapped(mirror, LineKind::Debit),
        swapped(&first.journals[0], LineKind::Credit)
    );
    assert_eq!(
        swapped(mirror, LineKind::Credit),
        swapped(&first.journals[0], LineKind::Debit)
    );
    assert_eq!(
        booked(
            &mut owed,
            &[Movement::PaidRefund(40), Movement::PaidCompensation(60)],
            Split::default()
        ),
        [
            "J23b case_1: 2120.usd 40 / 1010.bank.usd 40",
            "J23b case_1: 2130.usd 60 / 1010.bank.usd 60"
        ]
    );
    // every line of the merchant's balance is what its journal did to it
    let line: i64 = first.lines.iter().chain(&undone.lines).map(|line| line.1).sum();
    assert_eq!(line, 0);
}
