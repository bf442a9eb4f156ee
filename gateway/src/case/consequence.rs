//! What upheld cases mean for a merchant: its grade, and a ladder of measures, each with its calculation, each undone when an
//! appeal takes its ground away.
//!
//! [`grade`] and [`due`] are pure: figures in, verdict with reasons out. A step of the ladder is taken once per case, in one unit
//! with the account that it limits, and keeps the figures it rests on. The end of an account is only proposed: a second person
//! decides. It must never move money.

use super::flow::RETRIES;
use super::rows::Case;
use super::words::Outcome;
use crate::account::state::{self, Fact, Status};
use crate::account::{self, Merchant};
use crate::api::error::ApiError;
use crate::call::Call;
use crate::commit::{Refused, Row, Table, Unit, Versioned};
use crate::deadline::Deadline;
use crate::{id, payment, wire};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use tokio_postgres::{Error, GenericClient};

/// The deadline's kind that has a merchant looked at, in the commit that upheld a case.
pub const LOOK: &str = "consequence";
/// Who limits when a rule does.
const RULES: &str = "case_rules";

/// A measure against a merchant, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Step {
    Warn,
    Reserve,
    PayoutsPaused,
    Restricted,
    Offboard,
}

/// When a step is due: this many cases upheld within so many days, and this share of the payments of that time.
struct Rung {
    step: Step,
    cases: i64,
    days: i64,
    /// hundredths of a per cent
    share_bps: i64,
}

/// The ladder. Both figures must be reached: a large merchant is not punished for its size, nor a small one for a single case.
const LADDER: [Rung; 5] = [
    Rung {
        step: Step::Warn,
        cases: 3,
        days: 30,
        share_bps: 50,
    },
    Rung {
        step: Step::Reserve,
        cases: 5,
        days: 30,
        share_bps: 75,
    },
    Rung {
        step: Step::PayoutsPaused,
        cases: 8,
        days: 30,
        share_bps: 100,
    },
    Rung {
        step: Step::Restricted,
        cases: 15,
        days: 90,
        share_bps: 150,
    },
    Rung {
        step: Step::Offboard,
        cases: 25,
        days: 90,
        share_bps: 200,
    },
];
const RESERVE_BPS: i32 = 1_000;
const RESERVE_DAYS: i16 = 90;

/// What is counted of a merchant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// cases upheld in 30 days
    pub upheld_30: i64,
    /// in 90 days
    pub upheld_90: i64,
    /// payments captured in 30 days
    pub payments_30: i64,
    /// in 90 days
    pub payments_90: i64,
    /// chargebacks in 30 days
    pub chargebacks_30: i64,
    /// early fraud warnings in 30 days
    pub warnings_30: i64,
    /// refunds that wait for more than three days
    pub refunds_late: i64,
}

impl Figures {
    /// Visa's ratio (VAMP): fraud warnings and chargebacks by settled payments, hundredths of a per cent.
    pub fn vamp_bps(&self) -> i64 {
        share(self.chargebacks_30 + self.warnings_30, self.payments_30)
    }
}

fn share(part: i64, whole: i64) -> i64 {
    part.saturating_mul(10_000) / whole.max(1)
}

/// A to E, and every reason why it is not A.
pub fn grade(figures: &Figures) -> (char, Vec<String>) {
    let upheld = share(figures.upheld_90, figures.payments_90);
    let vamp = figures.vamp_bps();
    let mut worst = 0;
    let mut reasons = Vec::new();
    // From how much on each figure costs how many grades; Visa calls a merchant excessive from 1.5 % on.
    let scales: [(&str, i64, i64, [i64; 4]); 3] = [
        (
            "cases upheld in 90 days, of its payments (0.01 %)",
            upheld,
            figures.upheld_90,
            [25, 75, 150, 300],
        ),
        (
            "chargebacks and fraud warnings in 30 days, of its payments (0.01 %)",
            vamp,
            figures.chargebacks_30 + figures.warnings_30,
            [50, 90, 150, 220],
        ),
        (
            "refunds that wait for more than three days",
            figures.refunds_late,
            figures.refunds_late,
            [1, 5, 20, 50],
        ),
    ];
    for (what, value, count, steps) in scales {
        // one or two are chance, whatever share they are
        let grades = if count < 3 && steps[0] > 1 {
            0
        } else {
            steps.iter().filter(|step| value >= **step).count()
        };
        if grades > 0 {
            reasons.push(format!("{what}: {value}"));
        }
        worst = worst.max(grades);
    }
    (['A', 'B', 'C', 'D', 'E'][worst], reasons)
}

/// The steps that these figures call for, mildest first.
pub fn due(figures: &Figures) -> Vec<Step> {
    let reached = |rung: &&Rung| {
        let (cases, payments) = match rung.days {
            30 => (figures.upheld_30, figures.payments_30),
            _ => (figures.upheld_90, figures.payments_90),
        };
        cases >= rung.cases && share(cases, payments) >= rung.share_bps
    };
    LADDER.iter().filter(reached).map(|rung| rung.step).collect()
}

/// `gateway.sanction`: a step that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sanction {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub step: Step,
    /// the case that was one too many
    pub case_id: String,
    /// the figures and the rung
    pub basis: Value,
    /// what it changed, as it was before
    pub before: Value,
    pub created_at: Timestamp,
    pub reversed_at: Option<Timestamp>,
}

/// Looks at a merchant after one of its cases was upheld, or is not any more.
pub async fn look(call: &Call, deadline: &Deadline, case: &Case) -> Result<(), ApiError> {
    for _ in 0..RETRIES {
        let now = call.app.clock.now();
        let (figures, taken, merchant) = {
            let client = call.app.reads.get().await?;
            let figures = figures(&**client, call.book_id(), now).await?;
            let taken = sanctions(&**client, call.book_id()).await?;
            let merchant = account::store::by_id(&**client, &call.merchant.id).await?;
            (
                figures,
                taken,
                merchant.ok_or_else(|| ApiError::internal("a case without its merchant"))?,
            )
        };
        let mut next = merchant.clone();
        let mut unit = Unit::new(call.book_id());
        let mut ended = deadline.clone();
        ended.fire(now);
        unit = unit.update(&mut ended);
        let wanted = due(&figures);
        let in_force = |step: &Step| taken.iter().any(|s| s.step == *step && s.reversed_at.is_none());
        if case.outcome == Some(Outcome::Upheld) {
            for step in wanted.iter().filter(|step| !in_force(step)) {
                let sanction = take(&mut next, *step, case, &figures, now);
                unit = unit
                    .insert(&sanction)
                    .insert(&call.event("account.sanctioned", &shown(&sanction)));
            }
        } else {
            // Only what no figure calls for any more, severest first.
            for sanction in taken
                .iter()
                .rev()
                .filter(|s| s.reversed_at.is_none() && !wanted.contains(&s.step))
            {
                let mut sanction = sanction.clone();
                give_back(&mut next, &sanction, now);
                sanction.reversed_at = Some(now);
                unit = unit.update(&mut sanction);
                unit = unit.insert(&call.event("account.sanction_reversed", &shown(&sanction)));
            }
        }
        if next != merchant {
            unit = unit.update(&mut next);
            unit = unit.insert(&call.event("account.updated", &wire::account(&next)));
        }
        match call.app.commit(unit).await {
            Ok(()) => {
                call.app.forget_merchant(&next);
                return Ok(());
            }
            Err(Refused::Conflict { .. }) => {
                let client = call.app.reads.get().await?;
                let still: Option<Deadline> = payment::store::get(&**client, deadline.book_id, &deadline.id).await?;
                if still.is_none_or(|deadline| deadline.check_at.is_none()) {
                    return Ok(()); // another process was first
                }
            }
            Err(refused) => return Err(refused.into()),
        }
    }
    Err(Refused::conflict().into())
}

fn take(next: &mut Merchant, step: Step, case: &Case, figures: &Figures, now: Timestamp) -> Sanction {
    let before = json!({
        "payouts_paused": next.payouts_paused, "reserve_bps": next.reserve_bps, "reserve_days": next.reserve_days, "status": next.status,
    });
    let reason = format!(
        "{} cases were upheld in 30 days, {} in 90.",
        figures.upheld_30, figures.upheld_90
    );
    let fact = match step {
        Step::Warn => None,
        Step::Reserve => {
            next.reserve_bps = next.reserve_bps.saturating_add(RESERVE_BPS).min(10_000);
            next.reserve_days = next.reserve_days.max(RESERVE_DAYS);
            None
        }
        Step::PayoutsPaused => {
            next.payouts_paused = true;
            None
        }
        Step::Restricted => Some(Fact::Restricted {
            by: RULES.into(),
            reason,
        }),
        Step::Offboard => Some(Fact::EndProposed {
            by: RULES.into(),
            reason,
        }),
    };
    // An account that is limited already stays as it is: the step is on record all the same.
    if let Some(account) = fact.and_then(|fact| state::apply(next, &fact).ok()) {
        *next = account;
    }
    let rung = LADDER.iter().find(|rung| rung.step == step);
    Sanction {
        book_id: case.book_id,
        id: id::new(id::prefix::SANCTION),
        version: 1,
        step,
        case_id: case.id.clone(),
        basis: json!({
            "figures": figures,
            "rung": rung.map(|rung| json!({ "cases": rung.cases, "days": rung.days, "share_bps": rung.share_bps })),
        }),
        before,
        created_at: now,
        reversed_at: None,
    }
}

/// What the step changed is as before, unless somebody has changed it otherwise since.
fn give_back(next: &mut Merchant, sanction: &Sanction, now: Timestamp) {
    let before = &sanction.before;
    match sanction.step {
        Step::Warn => {}
        Step::Reserve => {
            next.reserve_bps = before["reserve_bps"]
                .as_i64()
                .and_then(|n| n.try_into().ok())
                .unwrap_or(0);
            next.reserve_days = before["reserve_days"]
                .as_i64()
                .and_then(|n| n.try_into().ok())
                .unwrap_or(0);
        }
        Step::PayoutsPaused => next.payouts_paused = before["payouts_paused"].as_bool().unwrap_or(false),
        Step::Restricted if next.decided_by.as_deref() == Some(RULES) && next.status == Status::Restricted => {
            let fact = Fact::Reinstated {
                by: "appeal".into(),
                at: now,
                reverify_at: None,
            };
            if let Ok(account) = state::apply(next, &fact) {
                *next = account;
            }
        }
        Step::Offboard if next.offboarding_by.as_deref() == Some(RULES) => next.offboarding_by = None,
        Step::Restricted | Step::Offboard => {}
    }
}

/// A sanction as events and the account's standing show it.
pub fn shown(sanction: &Sanction) -> Value {
    json!({
        "id": sanction.id,
        "object": "sanction",
        "basis": sanction.basis,
        "case": sanction.case_id,
        "created": wire::seconds(sanction.created_at),
        "reversed_at": wire::seconds_or_null(sanction.reversed_at),
        "step": sanction.step,
    })
}

/// What a book's grade and ladder rest on, at this moment.
pub async fn figures(client: &impl GenericClient, book_id: i64, now: Timestamp) -> Result<Figures, Error> {
    let ago = |days: i64| now.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(now);
    let rows = client
        .query_typed(
            "SELECT jsonb_build_object(
                'upheld_30', (SELECT count(*) FROM gateway.consumer_case WHERE book_id = $1 AND outcome = 'upheld' AND closed_at >= $2),
                'upheld_90', (SELECT count(*) FROM gateway.consumer_case WHERE book_id = $1 AND outcome = 'upheld' AND closed_at >= $3),
                'payments_30', (SELECT count(*) FROM gateway.charge WHERE book_id = $1 AND captured AND created_at >= $2),
                'payments_90', (SELECT count(*) FROM gateway.charge WHERE book_id = $1 AND captured AND created_at >= $3),
                'chargebacks_30', (SELECT count(*) FROM gateway.dispute WHERE book_id = $1 AND created_at >= $2 AND status NOT LIKE 'warning%'),
                'warnings_30', (SELECT count(*) FROM risk.early_fraud_warning WHERE book_id = $1 AND created_at >= $2),
                'refunds_late', (SELECT count(*) FROM gateway.refund WHERE book_id = $1 AND status IN ('pending', 'unknown') AND created_at < $4))::text",
            &[
                (&book_id, Type::INT8),
                (&ago(30), Type::TIMESTAMPTZ),
                (&ago(90), Type::TIMESTAMPTZ),
                (&ago(3), Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    rows.first().map_or(Ok(Figures::default()), payment::store::row)
}

/// Every step that was ever taken against a book's merchant, oldest first.
pub async fn sanctions(client: &impl GenericClient, book_id: i64) -> Result<Vec<Sanction>, Error> {
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM gateway.sanction t WHERE book_id = $1 ORDER BY id",
            &[(&book_id, Type::INT8)],
        )
        .await?;
    rows.iter().map(payment::store::row).collect()
}

impl Row for Sanction {
    const TABLE: Table = Table::Sanction;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for Sanction {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_wants_numbers_and_a_share() {
        let figures = |upheld, payments| Figures {
            upheld_30: upheld,
            upheld_90: upheld,
            payments_30: payments,
            payments_90: payments,
            ..Figures::default()
        };
        for (upheld, payments, steps) in [
            (2, 2, &[][..]),
            (3, 100, &[Step::Warn]),
            (3, 1_000, &[]), // 0.3 % of many
            (5, 500, &[Step::Warn, Step::Reserve]),
            (8, 500, &[Step::Warn, Step::Reserve, Step::PayoutsPaused]),
            (8, 900, &[Step::Warn, Step::Reserve]), // 0.88 %
            (
                25,
                1_000,
                &[
                    Step::Warn,
                    Step::Reserve,
                    Step::PayoutsPaused,
                    Step::Restricted,
                    Step::Offboard,
                ],
            ),
        ] {
            assert_eq!(due(&figures(upheld, payments)), steps, "{upheld} of {payments}");
        }
    }

    #[test]
    fn a_grade_says_why() {
        assert_eq!(grade(&Figures::default()), ('A', vec![]));
        let chance = Figures {
            upheld_90: 2,
            payments_90: 10,
            ..Figures::default()
        };
        assert_eq!(grade(&chance).0, 'A', "two are chance");
        let excessive = Figures {
            chargebacks_30: 10,
            warnings_30: 6,
            payments_30: 1_000,
            ..Figures::default()
        };
        assert_eq!(excessive.vamp_bps(), 160);
        let (letter, reasons) = grade(&excessive);
        assert_eq!((letter, reasons.len()), ('D', 1), "{reasons:?}");
        let late = Figures {
            refunds_late: 1,
            ..Figures::default()
        };
        assert_eq!(grade(&late).0, 'B');
    }
}
