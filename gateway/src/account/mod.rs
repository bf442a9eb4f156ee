//! Merchants' accounts: who may take payments here, and under which conditions.
//!
//! `state` is the pure table of an account's life, `flow` what callers ask for, `job` what time brings. An account changes
//! only through `state::apply`; whoever files an application never decides about it. It must never move money.

pub mod flow;
pub mod job;
pub mod rows;
pub mod state;
pub mod store;
pub mod terms;

pub use rows::Merchant;
