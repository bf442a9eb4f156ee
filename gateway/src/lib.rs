//! The payment gateway: everything between a checkout service and the books.

pub mod dev;
pub mod edge;
