//! Everything a developer's machine needs and a production machine must not run: an embedded PostgreSQL, a certificate
//! authority of its own, and the file that tells other programs where everything is.

pub mod ca;
mod files;
pub mod postgres;
pub mod seed;
