//! Payments and their refunds: state (pure), accounting (pure), flow, store, sweep.
//!
//! State changes only through `state::apply`, money only through `ledger::post`, both in one commit.

pub mod accounting;
pub mod application_fee;
pub mod flow;
pub mod instrument;
pub mod mismatch;
pub mod refund;
pub mod review;
pub mod rows;
pub mod state;
pub mod store;
pub mod sweep;
