//! Chargebacks: stage and state (pure), accounting (pure), scheme (pure), rows, store, flow, clock.
//!
//! What the network does is a fact that arrives by callback, perhaps twice, late or out of order; the books follow the
//! money, not the announcements. State changes only through `state::apply`, money only through `ledger::post`, both in
//! one commit with the payment they concern.

pub mod accounting;
pub mod clock;
pub mod flow;
pub mod pack;
pub mod respond;
pub mod rows;
pub mod scheme;
pub mod stage;
pub mod state;
pub mod status;
pub mod store;

/// What an operator decides about disputes.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Money that a win brought back is the merchant's at once; otherwise when the network can no longer take it again.
    pub release_provisional_wins: bool,
    /// From this amount on, in whole units of the currency, evidence is staged with one key and submitted with another, and so is every
    /// pre-arbitration; zero for never.
    pub second_person_from: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            release_provisional_wins: true,
            second_person_from: 0,
        }
    }
}

impl Settings {
    /// As the transition function takes it.
    pub fn policy(&self) -> state::Policy {
        state::Policy {
            release_provisional_wins: self.release_provisional_wins,
        }
    }
}
