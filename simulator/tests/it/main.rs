//! The simulator as its own process, driven over its wire.

mod cards;
mod disputes;
mod faults;
mod idempotency;
mod lifecycle;
mod restart;
mod sdk;
mod support;
mod webhooks;
