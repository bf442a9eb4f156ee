//! Payments and their refunds: state (pure), accounting (pure), flow, store, sweep.
//!
//! State changes only through `state::apply`, money only through `ledger::post`, both in one commit.

pub mod rows;
pub mod state;
