//! The whole service under test: the real program, PostgreSQL, simulator and SDKs. One binary, so that one instance serves
//! every test that leaves others in peace.

mod app;
mod finance;
