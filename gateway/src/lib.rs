//! The gateway: takes payments at the edge, judges them, sends them to an acquirer and writes every movement to the ledger.
//!
//! `ARCHITECTURE.md` has the bird's eye view and the laws. Start reading at `api` (what callers see), `payment::flow` (one
//! payment, step by step) and `commit` (how a step becomes durable).

pub mod clock;
pub mod commit;
pub mod connector;
pub mod egress;
pub mod event;
pub mod id;
pub mod payment;
pub mod vault;
pub mod webhook;

#[cfg(test)]
mod test_postgres;
