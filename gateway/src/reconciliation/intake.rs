//! A file's lines into rows, as they are read. Round trips: one per 1,000 lines.
//!
//! The reader runs on a thread of its own and is held back by a short queue, so that memory stays flat. What it refuses late is
//! rolled back with everything it gave before.

use std::fs::File;
use std::ops::ControlFlow;

use jiff::Timestamp;
use reconcile::{Item, Line, Refused, Statement, key, words};
use tokio::sync::mpsc;
use tokio_postgres::Transaction;

use super::{Error, Request, store};

/// What was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    pub(super) lines: i64,
    /// of the first and last line
    pub(super) days: Option<(Timestamp, Timestamp)>,
    statements: i32,
}

/// Reads the file into `gateway.settlement_line` and its keys into `theirs_key`.
pub(super) async fn load(tx: &Transaction<'_>, id: &str, file: File, request: &Request) -> Result<Read, Error> {
    let (send, mut receive) = mpsc::channel(4);
    let (format, options) = (request.format, request.options.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut sink = |item| {
            chunk.push(item);
            if chunk.len() >= CHUNK && send.blocking_send(std::mem::take(&mut chunk)).is_err() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        reconcile::read(format, file, &options, &mut sink)?;
        let _ = send.blocking_send(chunk);
        Ok::<(), Refused>(())
    });
    let mut read = Read::default();
    while let Some(items) = receive.recv().await {
        read.take(tx, id, items, request).await?;
    }
    match reader.await {
        Ok(outcome) => outcome?,
        Err(panicked) => return Err(Error::File(std::io::Error::other(panicked))),
    }
    Ok(read)
}

impl Read {
    async fn take(&mut self, tx: &Transaction<'_>, id: &str, items: Vec<Item>, request: &Request) -> Result<(), Error> {
        let mut rows = store::Lines::default();
        for item in items {
            match item {
                Item::Line(line) => self.line(line, &mut rows),
                Item::Statement(statement) => self.statement(tx, id, statement, request).await?,
            }
        }
        rows.insert(tx, id).await?;
        Ok(())
    }

    fn line(&mut self, line: Line, rows: &mut store::Lines) {
        let at = line.at;
        self.days = Some(match self.days {
            Some((first, last)) => (first.min(at), last.max(at)),
            None => (at, at),
        });
        let number = self.lines;
        self.lines += 1;
        // References first, then what the text could name; a word is a weaker witness than a field.
        let fields = line
            .references
            .iter()
            .filter_map(|text| key(text).map(|key| (key, text)));
        let mut keys: Vec<(String, String)> = Vec::new();
        for (key, text) in fields {
            if !keys.iter().any(|(known, _)| *known == key) {
                keys.push((key, text.clone()));
            }
        }
        for word in words(&line.text).take(WORDS) {
            if let Some(key) = key(word)
                && !keys.iter().any(|(known, _)| *known == key)
            {
                keys.push((key, word.to_owned()));
            }
        }
        let reference = keys.first().map(|(_, text)| text.clone());
        if line.kind.is_own_source() {
            keys.clear();
        }
        rows.push(number, &line, reference, keys);
    }

    async fn statement(
        &mut self,
        tx: &Transaction<'_>,
        id: &str,
        statement: Statement,
        request: &Request,
    ) -> Result<(), Error> {
        let Some(account) = &statement.account else {
            return Ok(()); // a report without statements
        };
        let refused = |reason: String| Err(Error::Refused(Refused::new(0, reason)));
        if let Some(statement_id) = &statement.id
            && let Some(before) = store::statement_known(tx, account, statement_id).await?
        {
            return refused(format!(
                "statement {statement_id} of account {account} was read before, with other content ({before})"
            ));
        }
        if let (Some(last), false) = (
            store::last_statement(tx, account, statement.currency).await?,
            request.after_gap,
        ) && last.reconciliation != id
        {
            if let (Some(before), Some(now)) = (last.sequence, statement.sequence)
                && Some(now) != before.checked_add(1)
                && now != 1
                && now != before
            {
                return refused(format!(
                    "statement {now} of account {account} is to follow statement {before}: what is between is missing \
                     (--after-gap when that is known)"
                ));
            }
            let follows = last
                .sequence
                .zip(statement.sequence)
                .is_some_and(|(last, now)| Some(now) == last.checked_add(1));
            if let (Some(closing), Some(opening)) = (last.closing, statement.opening)
                && follows
                && closing != opening
            {
                return refused(format!(
                    "account {account} opens with {opening} minor units, and its last statement closed with {closing} \
                     (--after-gap when that is known)"
                ));
            }
        }
        store::keep_statement(tx, id, self.statements, &statement).await?;
        self.statements += 1;
        Ok(())
    }
}

/// Items per round trip.
const CHUNK: usize = 1000;
/// Words of a text that are looked up.
const WORDS: usize = 32;
