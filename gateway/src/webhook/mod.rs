//! Webhooks: events told to the merchants' endpoints, signed, at least once, each with the same id however often.

pub mod signature;
