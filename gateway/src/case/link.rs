//! What else happens to the money of a case's payment: its refund ends, or the card network takes it.
//!
//! A chargeback suspends the cases of its payment and takes over what is frozen for them, in its own unit, so that the
//! merchant's money is never frozen twice; when it ends they end too, and nothing is paid on top of it. It must never
//! book money: what is frozen stays where it is in the books and changes its owner.

use super::flow::Actor;
use super::rows::Case;
use super::state::{self, Fact, Rejection, Step};
use super::store;
use super::words::Status;
use super::write::Writer;
use crate::api::error::ApiError;
use crate::call::Call;
use crate::commit::Unit;
use crate::dispute::accounting::Split;
use crate::payment::rows::{Payment, Refund};
use serde_json::json;

/// The cases of a payment that are not over, as a chargeback finds them.
#[derive(Debug, Default)]
pub struct Linked {
    cases: Vec<Case>,
}

impl Linked {
    /// Those of this payment.
    pub async fn of(call: &Call, payment: &Payment) -> Result<Self, ApiError> {
        let client = call.app.reads.get().await?;
        let cases = store::open_of_payment(&**client, payment.book_id, &payment.id).await?;
        Ok(Self { cases })
    }

    /// What is frozen for them, by where it came from.
    pub fn held(&self) -> Split {
        let held = self.cases.iter().map(Case::split);
        held.fold(Split::default(), Split::and)
    }

    /// A chargeback has moved on: it suspends them when it `takes_over` what was frozen for them, and those that it suspended
    /// end when it has ended, won or lost.
    pub async fn follow(
        self,
        call: &Call,
        mut unit: Unit,
        dispute_id: &str,
        takes_over: bool,
        won: Option<bool>,
    ) -> Result<Unit, ApiError> {
        let now = call.app.clock.now();
        for mut case in self.cases {
            let mut facts = Vec::new();
            if case.status != Status::LinkedSuspended {
                if !takes_over {
                    continue;
                }
                case.hold(Split::default());
                facts.push(Fact::ChargebackOpened {
                    dispute_id: dispute_id.to_owned(),
                });
            } else if case.details.dispute_id.as_deref() != Some(dispute_id) {
                continue;
            }
            facts.extend(won.map(|won| Fact::ChargebackFinal { won }));
            let mut steps: Vec<Step> = Vec::new();
            for fact in &facts {
                let from = steps.last().map_or(&case, |step| &step.case);
                let step = state::apply(from, fact, 0, now)?;
                steps.push(step);
            }
            if !steps.is_empty() {
                let body = json!({ "dispute": dispute_id, "won_by_the_merchant": won });
                unit = written(call, unit, steps, body).await?;
            }
        }
        Ok(unit)
    }
}

/// The refund of a case has ended: the case's part of the same unit.
pub async fn refund_ended(call: &Call, unit: Unit, refund: &Refund, succeeded: bool) -> Result<Unit, ApiError> {
    let Some(case) = of_refund(call, refund).await? else {
        return Ok(unit);
    };
    let fact = match succeeded {
        true => Fact::RefundSucceeded,
        false => Fact::RefundFailed,
    };
    let step = match state::apply(&case, &fact, 0, call.app.clock.now()) {
        Ok(step) => step,
        Err(Rejection::UnexpectedState { .. }) => return Ok(unit),
        Err(rejection) => return Err(rejection.into()),
    };
    let body = json!({ "refund": refund.id, "amount": refund.amount, "status": if succeeded { "succeeded" } else { "failed" } });
    written(call, unit, vec![step], body).await
}

/// The live case whose decision this refund carries out. To a sealed one nothing happens any more: its late failure is an
/// ordinary refund's.
pub async fn of_refund(call: &Call, refund: &Refund) -> Result<Option<Case>, ApiError> {
    let Some(case_id) = &refund.case_id else {
        return Ok(None);
    };
    let case = super::flow::load(call, case_id).await?;
    let mine = case.refund_id.as_deref() == Some(refund.id.as_str());
    Ok((mine && case.status != Status::Archived).then_some(case))
}

async fn written(call: &Call, unit: Unit, steps: Vec<Step>, body: serde_json::Value) -> Result<Unit, ApiError> {
    let mut writer = Writer::begin(call, None).await;
    writer.with(|_| unit);
    for (number, step) in steps.into_iter().enumerate() {
        let body = if number == 0 {
            body.clone()
        } else {
            serde_json::Value::Null
        };
        writer.step(step, &Actor::system(), body).await?;
    }
    Ok(writer.end(false).await?.unit)
}
