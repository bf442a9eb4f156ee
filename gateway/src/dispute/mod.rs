//! Chargebacks: state (pure), accounting (pure), rows, store, flow.
//!
//! What the network does is a fact that arrives by callback, perhaps twice, late or out of order; the books follow the
//! money, not the announcements. State changes only through `state::apply`, money only through `ledger::post`, both in
//! one commit with the payment they concern.

pub mod accounting;
pub mod flow;
pub mod respond;
pub mod rows;
pub mod state;
pub mod store;
