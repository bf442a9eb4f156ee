//! Files of acquirers and banks against the books: read whole or not at all, matched, and what differs kept until it is explained.
//!
//! The crate `reconcile` reads, proves and compares; here are the rows. One file is one transaction: its lines, the claims of both
//! sides and the breaks are there together, or nothing is. The same content again changes nothing and tells what is open now.
//! Lines and entries meet in temporary tables and pass by in clusters, so that memory does not grow with the file.
//!
//! It must never move money: a proposal says which journal would, and `settlement` or a person books it.

mod decide;
mod intake;
mod matching;
mod report;
mod store;

pub use decide::{Decision, DecisionError, decide};
pub use report::{Open, Report, breaks_open};

use std::fs::File;
use std::io::{self, Read, Seek};

use reconcile::cluster::Terms;
use reconcile::{Format, Options, Refused};
use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::id;

/// How a file is to be read and compared.
#[derive(Clone, Debug)]
pub struct Request {
    /// what it is
    pub format: Format,
    /// how people call it
    pub name: String,
    /// mapping, and the account it must be of
    pub options: Options,
    /// days and tolerance
    pub terms: Terms,
    /// the acquirer whose entries must all be in it; without it, those of which it has any
    pub acquirer: Option<String>,
    /// one book alone
    pub book: Option<i64>,
    /// a gap in the series of statements is known and accepted
    pub after_gap: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// the file is wrong: nothing of it was used
    #[error("the file was refused: {0}")]
    Refused(#[from] Refused),
    /// it cannot be read at all
    #[error("reading the file: {0}")]
    File(#[from] io::Error),
    /// the database
    #[error("the database: {0}")]
    Database(#[from] tokio_postgres::Error),
}

/// Reads a file and reconciles it, or tells what is open of it when it was read before.
pub async fn run(client: &mut Client, mut file: File, request: &Request) -> Result<Report, Error> {
    let digest = digest(&mut file)?;
    let tx = client.transaction().await?;
    store::one_at_a_time(&tx).await?;
    if let Some(known) = store::find(&tx, &digest).await? {
        let report = report::of(&tx, &known).await?;
        tx.commit().await?;
        return Ok(report);
    }
    file.rewind()?;
    let id = id::new(id::prefix::RECONCILIATION);
    store::temporary(&tx).await?;
    let read = intake::load(&tx, &id, file, request).await?;
    let matched = matching::run(&tx, &id, &read, request).await?;
    store::remember(&tx, &id, &digest, &read, matched, request).await?;
    let report = report::of(&tx, &id).await?;
    tx.commit().await?;
    Ok(report)
}

fn digest(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}
