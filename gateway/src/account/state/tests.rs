//! The life of an account, pair by pair.

use super::*;
use crate::account::rows::{BusinessProfile, Company, Interval, MerchantDetails, ReturnPolicy};
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn account(status: Status) -> Merchant {
    Merchant {
        book_id: 1,
        id: "acct_1".into(),
        version: 1,
        name: "Shop".into(),
        status,
        status_reason: None,
        country: "US".into(),
        default_currency: "usd".into(),
        created_at: at(0),
        submitted_by: Some("maker".into()),
        decided_by: Some("limiter".into()),
        offboarding_by: Some("proposer".into()),
        reverify_at: Some(at(1000)),
        payouts_paused: false,
        delay_days: None,
        payout_interval: Interval::Manual,
        payout_weekday: None,
        reserve_bps: 0,
        reserve_days: 0,
        details: MerchantDetails {
            company: Company {
                name: Some("Shop Ltd".into()),
                registration_number: Some("91310000MA1FL0XX0X".into()),
                address: Some(json!({"line1": "1 Quay", "city": "Bristol"})),
                ..Company::default()
            },
            business_profile: BusinessProfile {
                support_email: Some("help@shop.example".into()),
                ..BusinessProfile::default()
            },
            return_policy: Some(ReturnPolicy {
                version: 1,
                window_days: Some(7),
                contact: "help@shop.example".into(),
                address: "1 Quay, Bristol".into(),
                ..ReturnPolicy::default()
            }),
            ..MerchantDetails::default()
        },
        terms: Vec::new(),
    }
}

fn facts(by: &str) -> Vec<Fact> {
    let (by, reason) = (by.to_owned(), "a reason".to_owned());
    vec![
        Fact::Submitted { by: by.clone() },
        Fact::ReviewStarted { by: by.clone() },
        Fact::SentBack {
            by: by.clone(),
            reason: reason.clone(),
        },
        Fact::Approved {
            by: by.clone(),
            at: at(10),
            reverify_at: at(2000),
        },
        Fact::Lapsed {
            by: by.clone(),
            at: at(1000),
        },
        Fact::Restricted {
            by: by.clone(),
            reason: reason.clone(),
        },
        Fact::Suspended {
            by: by.clone(),
            reason: reason.clone(),
        },
        Fact::Reinstated {
            by: by.clone(),
            at: at(10),
            reverify_at: None,
        },
        Fact::EndProposed { by: by.clone(), reason },
        Fact::Offboarded { by },
    ]
}

/// The pairs of statuses that some fact leads along; the migration has the same list, and a test of the service compares.
#[test]
fn the_table_is_the_one_in_the_head_of_this_file() {
    let mut pairs = Vec::new();
    for from in Status::ALL {
        for fact in facts("another") {
            if let Ok(next) = apply(&account(from), &fact)
                && next.status != from
                && !pairs.contains(&(from.as_str(), next.status.as_str()))
            {
                pairs.push((from.as_str(), next.status.as_str()));
            }
        }
    }
    let migration = include_str!("../../../migrations/V35__accounts.sql");
    let (_, list) = migration.split_once("NOT IN (\n").unwrap();
    let (list, _) = list.split_once(") THEN").unwrap();
    let mut known: Vec<(&str, &str)> = list
        .split("), (")
        .flat_map(|line| line.split("),\n"))
        .map(|pair| {
            let mut words = pair.split('\'').skip(1).step_by(2);
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect();
    known.sort_unstable();
    pairs.sort_unstable();
    assert_eq!(pairs, known);
}

#[test]
fn nothing_leads_out_of_the_end_and_a_refused_fact_says_the_status() {
    for fact in facts("another") {
        assert_eq!(
            apply(&account(Status::Offboarded), &fact),
            Err(Rejection::UnexpectedState {
                status: Status::Offboarded
            })
        );
    }
}

#[test]
fn whoever_made_a_step_does_not_decide_about_it() {
    let cases = [
        (
            Status::UnderReview,
            Fact::Approved {
                by: "maker".into(),
                at: at(10),
                reverify_at: at(2000),
            },
        ),
        (
            Status::Suspended,
            Fact::Reinstated {
                by: "limiter".into(),
                at: at(10),
                reverify_at: None,
            },
        ),
        (
            Status::Restricted,
            Fact::Reinstated {
                by: "limiter".into(),
                at: at(10),
                reverify_at: None,
            },
        ),
        (Status::Active, Fact::Offboarded { by: "proposer".into() }),
    ];
    for (status, fact) in cases {
        assert!(
            matches!(apply(&account(status), &fact), Err(Rejection::SamePerson { .. })),
            "{fact:?}"
        );
    }
}

#[test]
fn an_incomplete_account_is_neither_submitted_nor_activated() {
    let mut bare = account(Status::Draft);
    bare.details.return_policy = None;
    let missing = vec![
        "return_policy.address",
        "return_policy.contact",
        "return_policy.window_days",
    ];
    let submitted = Fact::Submitted { by: "another".into() };
    assert_eq!(
        apply(&bare, &submitted),
        Err(Rejection::Incomplete {
            missing: missing.clone()
        })
    );
    bare.status = Status::UnderReview;
    let approved = Fact::Approved {
        by: "another".into(),
        at: at(10),
        reverify_at: at(2000),
    };
    assert_eq!(apply(&bare, &approved), Err(Rejection::Incomplete { missing }));
    bare.details = MerchantDetails::default();
    bare.name.clear();
    assert_eq!(bare.missing().len(), 9);
}

#[test]
fn the_next_examination_lies_ahead_and_before_the_licence_ends() {
    let mut account = account(Status::UnderReview);
    account.details.company.registration_expires_at = Some(at(500));
    let approve = |now: i64, due: i64| Fact::Approved {
        by: "another".into(),
        at: at(now),
        reverify_at: at(due),
    };
    assert_eq!(apply(&account, &approve(10, 2000)).unwrap().reverify_at, Some(at(500)));
    assert_eq!(apply(&account, &approve(500, 2000)), Err(Rejection::ReverifyAt));
    let active = super::apply(&account, &approve(10, 400)).unwrap();
    let lapsed = |now: i64| Fact::Lapsed {
        by: "system".into(),
        at: at(now),
    };
    assert_eq!(apply(&active, &lapsed(399)), Err(Rejection::ReverifyAt));
    assert_eq!(apply(&active, &lapsed(400)).unwrap().status, Status::Restricted);
}
