//! Load against a running Counterfoil, and the audit that every run ends with.
//!
//! A black box: it speaks HTTPS like any merchant, and reads the database and the acquirer's own record only afterwards, to
//! compare them. The tests of races and crashes use the same audit. It must never write anything but requests, and attacks
//! nothing but loopback.

pub mod attack;
pub mod audit;
pub mod client;
pub mod dev;
pub mod find_max;
pub mod ha;
pub mod host;
pub mod run;
pub mod workload;
