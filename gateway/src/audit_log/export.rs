//! The log told elsewhere: JSON lines to a file in a directory and to an HTTP receiver, both off this host if the operator wants.
//!
//! Rows go in the order of the seal and only when nothing can come between them any more, so a cursor says all. A file knows its
//! own cursor (`audit.cursor`, else its last line), a receiver's is in the database. Told at least once, each row with its id:
//! after a crash some come twice, none is left out. It must never hold a transaction while it waits for a receiver.

use super::store::{self, Place};
use super::{AuditEvent, PLATFORM};
use crate::clock::Clock;
use crate::id;
use crate::webhook::receiver::Receiver;
use anyhow::Context;
use deadpool_postgres::Pool;
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::types::Type;

/// Where the log goes.
#[derive(Clone, Default)]
pub struct Config {
    /// a directory that exists
    pub directory: Option<PathBuf>,
    /// a receiver
    pub receiver: Option<Receiver>,
    /// between looks
    pub every: Duration,
}

/// An event as programs read it. `id` is how the API shows it.
pub fn line(event: &AuditEvent) -> Value {
    json!({
        "id": shown_id(event),
        "at": event.at.to_string(),
        "actor": event.actor,
        "role": event.role,
        "action": event.action,
        "object": event.object,
        "book": (event.book_id != PLATFORM).then_some(event.book_id),
        "origin": event.origin,
        "request_id": event.request_id,
        "result": event.result,
        "detail": event.detail,
        "recorded_xid": event.recorded_xid,
    })
}

/// `aud_..`.
pub fn shown_id(event: &AuditEvent) -> String {
    id::from_uuid(id::prefix::AUDIT_EVENT, event.id.parse().unwrap_or_default())
}

/// Exports until told to stop; in any number of processes.
pub async fn run(config: Config, database: Pool, clock: Clock, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let mut more = false;
        if let Some(directory) = &config.directory {
            more |= told("directory", to_directory(&database, directory).await);
        }
        if let Some(receiver) = &config.receiver {
            more |= told("receiver", to_receiver(&database, receiver, &clock).await);
        }
        let rest = if more { Duration::ZERO } else { config.every };
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Whether there may be more at once.
fn told(target: &str, outcome: anyhow::Result<bool>) -> bool {
    outcome.unwrap_or_else(|error| {
        tracing::error!(
            target_kind = target,
            error = format!("{error:#}"),
            "the audit log was not exported; trying again"
        );
        false
    })
}

async fn to_directory(database: &Pool, directory: &Path) -> anyhow::Result<bool> {
    let log = Log::open(directory).with_context(|| directory.display().to_string())?;
    let Some(mut log) = log else { return Ok(false) }; // another process is at it
    let events = store::behind(&**database.get().await?, log.place, BATCH).await?;
    log.append(&events).with_context(|| directory.display().to_string())?;
    Ok(events.len() as i64 == BATCH)
}

/// The file, ours until it is dropped.
struct Log {
    file: File,
    cursor: PathBuf,
    place: Place,
}

/// The parts of a line that say where it is.
#[derive(Deserialize)]
struct Told {
    id: String,
    book: Option<i64>,
    recorded_xid: i64,
}

impl Log {
    /// None while another process has it.
    fn open(directory: &Path) -> anyhow::Result<Option<Self>> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(directory.join("audit.jsonl"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let cursor = directory.join("audit.cursor");
        let kept = fs::read_to_string(&cursor).unwrap_or_default();
        // The file may have been moved away by who collects it; the cursor may be older than its last line after a crash.
        let place = place_of(kept.trim()).max(last_of(&mut file)?);
        Ok(Some(Self { file, cursor, place }))
    }

    fn append(&mut self, events: &[(Place, AuditEvent)]) -> anyhow::Result<()> {
        let Some((_, last)) = events.last() else { return Ok(()) };
        let mut text = String::new();
        // A line that a crash cut short is ended first.
        let mut end = [b'\n'];
        if self.file.seek(SeekFrom::End(-1)).is_ok() {
            self.file.read_exact(&mut end)?;
        }
        if end != *b"\n" {
            text.push('\n');
        }
        for (_, event) in events {
            text.push_str(&line(event).to_string());
            text.push('\n');
        }
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        crate::dev::files::replace(&self.cursor, line(last).to_string().as_bytes(), 0o600)?;
        Ok(())
    }
}

/// Where the last whole line of the file is.
fn last_of(file: &mut File) -> std::io::Result<Place> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    let last = tail.lines().rev().map(place_of).find(|place| *place != Place::START);
    Ok(last.unwrap_or(Place::START))
}

fn place_of(line: &str) -> Place {
    let told = serde_json::from_str::<Told>(line).ok();
    let place = told.and_then(|told| {
        Some(Place {
            xid: told.recorded_xid,
            book: told.book.unwrap_or(PLATFORM),
            event: id::to_uuid(id::prefix::AUDIT_EVENT, &told.id)?,
        })
    });
    place.unwrap_or(Place::START)
}

async fn to_receiver(database: &Pool, receiver: &Receiver, clock: &Clock) -> anyhow::Result<bool> {
    let now = clock.now();
    let lease = now + SignedDuration::from_secs(LEASE_S);
    let claimed = database
        .get()
        .await?
        .query_typed(
            CLAIM,
            &[
                (&receiver.url, Type::TEXT),
                (&now, Type::TIMESTAMPTZ),
                (&lease, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
    let Some(row) = claimed.first() else { return Ok(false) }; // another process is at it
    let place = Place {
        xid: row.try_get("xid")?,
        book: row.try_get("book")?,
        event: row.try_get("event")?,
    };
    let events = store::behind(&**database.get().await?, place, BATCH).await?;
    let mut reached = place;
    let mut outcome = Ok(());
    if let (Some((first, _)), Some((last, _))) = (events.first(), events.last()) {
        let body: String = events.iter().map(|(_, event)| format!("{}\n", line(event))).collect();
        let id = format!("{}-{}", first.event.simple(), last.event.simple());
        outcome = receiver.tell(&id, now.as_second(), "application/x-ndjson", body).await;
        if outcome.is_ok() {
            reached = *last;
        }
    }
    // The lease is given back with the cursor: it moves only from where it was claimed.
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (&receiver.url, Type::TEXT),
        (&lease, Type::TIMESTAMPTZ),
        (&reached.xid, Type::INT8),
        (&reached.book, Type::INT8),
        (&reached.event, Type::UUID),
        (&now, Type::TIMESTAMPTZ),
    ];
    database.get().await?.query_typed(SETTLE, &params).await?;
    outcome.map_err(anyhow::Error::msg)?;
    Ok(events.len() as i64 == BATCH)
}

/// Rows at a time: below a megabyte.
const BATCH: i64 = 1000;
const TAIL: u64 = 16_384;
const LEASE_S: i64 = 60;

const CLAIM: &str = "
    INSERT INTO gateway.audit_export AS x (target, xid, book, event, leased_until)
    VALUES ($1, 0, -9223372036854775808, '00000000-0000-0000-0000-000000000000', $3)
    ON CONFLICT (target) DO UPDATE SET leased_until = $3 WHERE x.leased_until <= $2
    RETURNING x.xid, x.book, x.event";

const SETTLE: &str = "
    UPDATE gateway.audit_export SET xid = $3, book = $4, event = $5, leased_until = $6
    WHERE target = $1 AND leased_until = $2";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_postgres::TempDir;
    use jiff::Timestamp;

    fn events(numbers: std::ops::Range<i64>) -> Vec<(Place, AuditEvent)> {
        numbers
            .map(|xid| {
                let mut event = AuditEvent::of_system(PLATFORM, Timestamp::UNIX_EPOCH, "a test", None);
                event.recorded_xid = xid;
                let event_id: uuid::Uuid = event.id.parse().expect("a UUID");
                let place = Place {
                    xid,
                    book: PLATFORM,
                    event: event_id,
                };
                (place, event)
            })
            .collect()
    }

    #[test]
    fn a_file_goes_on_where_it_was_over_crashes_and_after_it_was_moved_away() {
        let dir = TempDir::new("audit-export");
        let file = dir.path().join("audit.jsonl");
        let all = events(1..8);
        let open = || Log::open(dir.path()).expect("opens").expect("ours");
        assert_eq!(open().place, Place::START);
        open().append(&all[..3]).expect("written");
        assert_eq!(open().place, all[2].0);
        {
            let _ours = open();
            assert!(Log::open(dir.path()).expect("opens").is_none(), "one at a time");
        }
        // A crash between the line and the cursor, and one in the middle of a line.
        let mut torn = OpenOptions::new().append(true).open(&file).expect("opens");
        write!(torn, "{}\n{{\"id\":\"aud_", line(&all[3].1)).expect("written");
        assert_eq!(open().place, all[3].0);
        open().append(&all[4..5]).expect("written");
        let text = fs::read_to_string(&file).expect("read");
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.ends_with(&format!("{}\n", line(&all[4].1))));

        fs::rename(&file, dir.path().join("collected")).expect("moved");
        assert_eq!(open().place, all[4].0);
        open().append(&all[5..]).expect("written");
        assert_eq!(fs::read_to_string(&file).expect("read").lines().count(), 2);
    }
}
