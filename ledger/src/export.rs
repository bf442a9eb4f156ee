//! The books in formats that other programs read and check: hledger, beancount, CSV and JSON lines.
//!
//! One snapshot (repeatable read, read only). Journals are streamed, so memory does not grow with them; only the accounts
//! are held. Amounts are written at the full stored scale, never rounded. Debits are positive, credits negative. Journals
//! hold opaque references only, so no personal data can leave here.
//!
//! The two plain-text formats begin with what detached months carried forward and end with the balance of each account *as its counters say*, asserted against the lines
//! written before: the external program proves that counters and journals agree. Pending money is a layer of its own:
//! transactions flagged `!` on accounts named `pending`.

mod beancount;
mod hledger;
mod rows;

use std::io;

use tokio_postgres::Client;

use crate::BookId;
use rows::Source;

/// What to export.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// One book, or all of them.
    pub book: Option<BookId>,
}

/// Why an export is not complete. What was written so far is not to be used.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database failed, or a row in it is not what this crate writes.
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    /// The writer failed.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
}

/// An hledger journal that passes `hledger check --strict ordereddates payees`. `hledger bal --cleared` is the trial balance.
/// Answers how many journals were written, as the other formats do.
pub async fn hledger(client: &mut Client, out: &mut impl io::Write, options: Options) -> Result<u64, ExportError> {
    let source = Source::open(client, options).await?;
    hledger::write(source, out).await
}

/// A beancount file that passes `bean-check`; postings with flag `*` are the trial balance.
pub async fn beancount(client: &mut Client, out: &mut impl io::Write, options: Options) -> Result<u64, ExportError> {
    let source = Source::open(client, options).await?;
    beancount::write(source, out).await
}

/// One row per line of a journal, with a header, as RFC 4180 has it; amounts in minor units.
pub async fn csv(client: &mut Client, out: &mut impl io::Write, options: Options) -> Result<u64, ExportError> {
    let mut source = Source::open(client, options).await?;
    write!(out, "{CSV_HEADER}\r\n")?;
    let mut n = 0;
    while let Some(page) = source.next_page().await? {
        for j in page {
            n += 1;
            for (i, line) in j.lines.iter().enumerate() {
                write!(
                    out,
                    "{},{},{},{},{},{},{},{},{},{},{},{},{}\r\n",
                    j.book_code,
                    j.id,
                    j.code,
                    j.effective_at,
                    j.recorded_at,
                    quoted(j.reference.as_deref().unwrap_or_default()),
                    j.link.map(|l| l.to_string()).unwrap_or_default(),
                    j.reverses.map(|r| r.to_string()).unwrap_or_default(),
                    i + 1,
                    line.account,
                    line.account.currency(),
                    line.kind.letter(),
                    line.amount,
                )?;
            }
        }
    }
    source.close().await?;
    Ok(n)
}

/// One JSON object per journal and line of text; amounts are integers of minor units.
pub async fn json(client: &mut Client, out: &mut impl io::Write, options: Options) -> Result<u64, ExportError> {
    let mut source = Source::open(client, options).await?;
    let mut n = 0;
    while let Some(page) = source.next_page().await? {
        for j in page {
            n += 1;
            let lines: Vec<_> = j
                .lines
                .iter()
                .map(|l| {
                    serde_json::json!({
                        "account": l.account.as_str(), "currency": l.account.currency().as_str(),
                        "kind": l.kind.letter().to_string(), "amount": l.amount,
                    })
                })
                .collect();
            let object = serde_json::json!({
                "book": j.book_code, "id": j.id, "code": j.code, "effective_at": j.effective_at.to_string(),
                "recorded_at": j.recorded_at.to_string(), "reference": j.reference, "link": j.link,
                "reverses": j.reverses, "hold": j.hold, "memo": j.memo, "lines": lines,
            });
            serde_json::to_writer(&mut *out, &object).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    source.close().await?;
    Ok(n)
}

/// A CSV field; one that a spreadsheet would take for a formula gets a leading apostrophe.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

const CSV_HEADER: &str =
    "book,journal,code,effective_at,recorded_at,reference,link,reverses,line,account,currency,kind,amount_minor";
