//! How far a decision may go: amounts within what can be refunded and what the rules allow, a second person for money beyond
//! the price and for money of the platform, and no refund at a merchant's cost that it had no chance to answer to. Pure.

use super::rows::{Case, Decision};
use super::state::Rejection;
use super::words::{Bearer, Remedy};

/// The decision with what its remedy implies, if it is within its limits.
pub(super) fn within_limits(case: &Case, mut decision: Decision, available: i64) -> Result<Decision, Rejection> {
    let remedy = decision.remedy;
    if remedy == Remedy::RefundFull && decision.refund == 0 {
        decision.refund = available;
    }
    if remedy == Remedy::PlatformAdvance {
        decision.borne_by = Bearer::Advance;
    }
    // At the merchant's cost only with its consent, or after it had a chance to answer.
    if remedy == Remedy::RefundOnly && !case.details.heard && decision.borne_by == Bearer::Merchant {
        decision.borne_by = Bearer::Platform;
    }
    if !remedy.refunds() && decision.refund != 0 {
        return Err(Rejection::NoSuchAmount { remedy, what: "amount" });
    }
    if (remedy == Remedy::Rejected || remedy.ships()) && decision.compensation != 0 {
        return Err(Rejection::NoSuchAmount {
            remedy,
            what: "compensation",
        });
    }
    let given = if remedy == Remedy::Compensation {
        decision.compensation
    } else {
        decision.refund
    };
    if remedy.refunds() && available <= 0 {
        return Err(Rejection::TooMuch { available: 0 });
    }
    if (remedy.refunds() || remedy == Remedy::Compensation) && given <= 0 {
        return Err(Rejection::NotPositive);
    }
    if decision.refund > available {
        return Err(Rejection::TooMuch { available });
    }
    let most = case.details.rules.compensation_max(case.details.paid);
    if decision.compensation > most {
        return Err(Rejection::BeyondRules { allowed: most });
    }
    if decision.borne_by == Bearer::Advance && decision.refund > case.details.rules.advance_max {
        return Err(Rejection::BeyondRules {
            allowed: case.details.rules.advance_max,
        });
    }
    if decision.compensation > 0 && decision.basis.is_none() {
        return Err(Rejection::BasisMissing);
    }
    if decision.compensation > 0 || decision.borne_by != Bearer::Merchant && given > 0 {
        match &decision.approver {
            None => return Err(Rejection::ApproverMissing),
            Some(approver) if *approver == decision.officer => {
                return Err(Rejection::SamePerson {
                    who: approver.clone(),
                    what: "approve an own decision",
                });
            }
            Some(_) => {}
        }
    }
    Ok(decision)
}
