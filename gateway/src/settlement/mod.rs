//! Settlement: what acquirers and banks say of money that we had booked as expected.
//!
//! [`accounting`] turns a confirmed match into journals, and is pure. What does not return to zero is the report
//! `unexplained_money`. It must never decide what matches what.

pub mod accounting;
