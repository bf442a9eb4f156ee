//! Everything a developer's machine needs and a production machine must not run: an embedded PostgreSQL, a certificate
//! authority of its own, an acquirer to talk to, and first data.

pub mod acquirer;
pub mod ca;
pub mod demo;
pub(crate) mod files;
pub mod postgres;
pub mod seed;
