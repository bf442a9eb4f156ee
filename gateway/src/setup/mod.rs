//! Setup intents: a card is proven and kept for later payments; no money moves.
//!
//! The proof is an authorization of one unit of the merchant's own currency, challenged where the issuer wants it, and
//! released as soon as it is approved. That works with every acquirer, and what it proves (and the network's id of it) is
//! what a later payment without the payer needs. State changes only through [`state::apply`]. It must never capture, and
//! never leave an authorization standing: what is not released is swept.

pub mod flow;
pub mod state;

pub use state::{SetupDetails, SetupIntent, SetupStatus};
