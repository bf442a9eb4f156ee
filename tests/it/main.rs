//! The whole service under test: the real program, PostgreSQL, simulator and SDKs. One binary, so that one instance serves
//! every test that leaves others in peace.

mod app;
mod crashes;
mod isolation;
mod races;
mod roles;
mod sdk;
mod security_page;
mod separation;
mod tls;
mod vault;
