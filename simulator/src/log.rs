//! The append-only log of the state directory: one line of JSON per operation, each a list of records.
//!
//! A line is written before the answer that reports it is sent, by one writer thread that takes whatever is queued; so the death of
//! this process loses nothing that anyone was told. It is not flushed to the device: the simulator stands for an outside world
//! that does not lose power. Must never be rewritten, only appended to; a torn last line is cut off at start.

use crate::store::Record;
use crate::webhook::Outgoing;
use anyhow::Context;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The appending end. Lines reach the file in the order of the calls to [`Log::append`].
pub struct Log {
    lines: mpsc::Sender<Line>,
    appended: u64,
    written: Arc<AtomicU64>,
}

/// Waits until a line is in the file.
pub enum Written {
    /// It already was.
    Already,
    /// The writer says when; an error means that it could not write.
    Soon(oneshot::Receiver<()>),
}

impl Written {
    /// True once the line is in the file, false when the log is broken and nothing may be answered any more.
    pub async fn wait(self) -> bool {
        match self {
            Written::Already => true,
            Written::Soon(done) => done.await.is_ok(),
        }
    }
}

struct Line {
    bytes: Vec<u8>,
    events: Vec<Outgoing>,
    done: oneshot::Sender<()>,
}

impl Log {
    /// Reads the log at `path` through `replay`, then opens it for appending. `publish` gets the events of each line once it is
    /// written. Dropping the log ends the writer.
    pub fn open(
        path: &Path,
        mut replay: impl FnMut(Record),
        publish: impl Fn(Outgoing) + Send + 'static,
    ) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let whole = read_lines(&file, &mut replay).with_context(|| format!("replaying {}", path.display()))?;
        if whole < file.metadata()?.len() {
            tracing::warn!(kept_bytes = whole, "the last line of the log was torn and is dropped");
            file.set_len(whole)?;
        }
        file.seek(SeekFrom::End(0))?;
        let (lines, queue) = mpsc::channel();
        let written = Arc::new(AtomicU64::new(0));
        let progress = written.clone();
        let writer = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_lines(&mut file, &queue, &progress, &publish))?;
        Ok((
            Self {
                lines,
                appended: 0,
                written,
            },
            writer,
        ))
    }

    /// Queues one operation's records and the events to publish after they are written.
    pub fn append(&mut self, records: &[Record], events: Vec<Outgoing>) -> Written {
        let mut bytes = Vec::with_capacity(1024);
        // Serialising owned strings and integers into memory cannot fail.
        if serde_json::to_writer(&mut bytes, records).is_ok() {
            bytes.push(b'\n');
        }
        self.push(bytes, events)
    }

    /// Waits for everything appended so far, for an answer that only reads.
    pub fn barrier(&mut self) -> Written {
        if self.written.load(Ordering::Acquire) >= self.appended {
            return Written::Already;
        }
        self.push(Vec::new(), Vec::new())
    }

    fn push(&mut self, bytes: Vec<u8>, events: Vec<Outgoing>) -> Written {
        let (done, wait) = oneshot::channel();
        self.appended += 1;
        // When the writer is gone the receiver reports it.
        let _ = self.lines.send(Line { bytes, events, done });
        Written::Soon(wait)
    }
}

fn write_lines(file: &mut File, queue: &mpsc::Receiver<Line>, written: &AtomicU64, publish: &impl Fn(Outgoing)) {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    let mut buffer = Vec::new();
    let mut batch = Vec::new();
    while let Ok(first) = queue.recv() {
        batch.push(first);
        batch.extend(queue.try_iter().take(BATCH_MAX));
        for line in &batch {
            buffer.extend_from_slice(&line.bytes);
        }
        if let Err(error) = file.write_all(&buffer) {
            if !REPORTED.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "cannot write the log: nothing is answered any more");
            }
            return;
        }
        buffer.clear();
        written.fetch_add(batch.len() as u64, Ordering::Release);
        for line in batch.drain(..) {
            line.events.into_iter().for_each(publish);
            let _ = line.done.send(());
        }
    }
}

/// Replays whole lines and returns how many bytes they take.
fn read_lines(file: &File, replay: &mut impl FnMut(Record)) -> anyhow::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    let mut whole = 0u64;
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(whole);
        }
        let records: Vec<Record> =
            serde_json::from_slice(&line).with_context(|| format!("line at byte {whole} is not a list of records"))?;
        records.into_iter().for_each(&mut *replay);
        whole += read as u64;
    }
}

const BATCH_MAX: usize = 1024;
