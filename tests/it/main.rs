//! The whole service under test: the real program, PostgreSQL, simulator and SDKs. One binary, so that one instance serves
//! every test that leaves others in peace.

mod accounts;
mod acquirers;
mod app;
mod attacks;
mod audit_log;
mod bad_input;
mod books;
mod books_faults;
mod citus;
mod crashes;
mod database_tls;
mod failures_page;
mod finance;
mod fuzzed;
mod gate;
mod gate_limits;
mod gate_serve;
mod gate_signatures;
mod house;
mod isolation;
mod payouts;
mod races;
mod receiver;
mod reference;
mod risk;
mod roles;
mod routing;
mod sdk;
mod seal;
mod secrets;
mod security_page;
mod separation;
mod terms;
mod tls;
mod vault;
