//! Cases: a consumer complains, both sides are heard, the platform decides, and the outcome moves exactly the money it should.
//!
//! The same shape as payments and chargebacks: `table` and `state` (pure: where a case may go), `limits` and `rules` (pure:
//! how far and how fast), `accounting` (pure: movements to journals), `flow` (one step is one unit: case, journals, timeline,
//! timers, event, stored answer), `timers` (what time brings), `link` (what refunds and chargebacks of the same payment mean
//! for it), `store` (all reads). A case is linked to a chargeback and never is one; of the merchant's money there is one hold
//! for both. It must never pay on top of a lost chargeback, nor let anybody decide about an own decision.

pub mod accounting;
pub mod archive;
pub mod consequence;
pub mod flow;
mod limits;
pub mod link;
pub mod report;
pub mod rows;
pub mod rules;
pub mod say;
pub mod state;
pub mod store;
pub mod table;
pub mod timers;
pub mod words;
mod write;
