//! The gateway: takes payments at the edge, judges them, sends them to an acquirer and writes every movement to the ledger.
//!
//! `ARCHITECTURE.md` has the bird's eye view and the laws. Start reading at `api` (what callers see), `payment::flow` (one
//! payment, step by step) and `commit` (how a step becomes durable).

#![recursion_limit = "256"] // the wire's objects are wide json! literals

pub mod account;
pub mod alert;
pub mod api;
pub mod app;
pub mod audit;
pub mod audit_log;
pub mod auth;
pub mod call;
pub mod callback;
pub mod case;
pub mod cli;
pub mod clock;
pub mod closing;
pub mod commit;
pub mod config;
pub mod connector;
pub mod console;
pub mod database;
pub mod deadline;
pub mod dev;
pub mod dispute;
pub mod edge;
pub mod egress;
pub mod event;
pub mod file;
pub mod funds;
pub mod id;
pub mod limit;
pub mod payment;
pub mod receipt;
pub mod reconciliation;
pub mod regulator;
pub mod report;
pub mod risk;
pub mod routing;
pub mod seal;
pub mod search;
pub mod security;
pub mod service;
pub mod settlement;
pub mod setup;
pub mod telemetry;
pub mod vault;
pub mod webhook;
pub mod wire;

#[cfg(test)]
mod test_postgres;
