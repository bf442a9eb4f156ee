//! Where signed heads go: directories that the administrator of the database does not own.
//!
//! `heads.jsonl` only grows, one head per line, made durable before it counts; `head.json` is the newest, replaced in one
//! step. A head already there is not written twice, and an older one never after a newer: several processes may share a
//! directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Head;

/// One directory of heads.
#[derive(Clone, Debug)]
pub struct HeadLog {
    dir: PathBuf,
    /// before the names of its files
    prefix: &'static str,
}

impl HeadLog {
    /// The directory must exist: a mount that is not there must not become a folder on the local disk.
    pub fn open(dir: &Path) -> io::Result<HeadLog> {
        HeadLog::open_as(dir, "")
    }

    /// The same with a prefix to its files' names: heads of another series in the same directory.
    pub fn open_as(dir: &Path, prefix: &'static str) -> io::Result<HeadLog> {
        match fs::metadata(dir)?.is_dir() {
            true => Ok(HeadLog {
                dir: dir.to_owned(),
                prefix,
            }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest head in the log.
    pub fn last(&self) -> io::Result<Option<Head>> {
        match File::open(self.log()) {
            Ok(mut file) => last_of(&mut file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes the head unless it, or a newer one, is there.
    pub fn append(&self, head: &Head) -> io::Result<()> {
        let mut log = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(self.log())?;
        log.lock()?; // until it is closed
        if last_of(&mut log)?.is_some_and(|last| last.pages >= head.pages) {
            return Ok(());
        }
        let text = serde_json::to_string(head)?;
        // A line that a crash cut short is ended first; readers skip it.
        let torn = log.seek(SeekFrom::End(-1)).is_ok() && {
            let mut end = [0];
            log.read_exact(&mut end)?;
            end != *b"\n"
        };
        log.write_all(format!("{}{text}\n", if torn { "\n" } else { "" }).as_bytes())?;
        log.sync_all()?;
        let newest = self.dir.join(format!("{}head.json", self.prefix));
        let fresh = newest.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        file.write_all(format!("{text}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, newest)?;
        File::open(&self.dir)?.sync_all()
    }

    fn log(&self) -> PathBuf {
        self.dir.join(format!("{}heads.jsonl", self.prefix))
    }
}

/// The heads of a file: `head.json`, or a whole `heads.jsonl`. What a crash cut short is skipped, other text is an error.
pub fn read(path: &Path) -> io::Result<Vec<Head>> {
    parse(&fs::read_to_string(path)?)
}

/// The same from text.
pub fn parse(text: &str) -> io::Result<Vec<Head>> {
    let whole = |line: &&str| line.ends_with('}');
    text.lines()
        .filter(whole)
        .map(|line| serde_json::from_str(line).map_err(io::Error::from))
        .collect()
}

/// From the last few kilobytes, which hold many heads.
fn last_of(file: &mut File) -> io::Result<Option<Head>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    // The first line of the tail may have lost its beginning.
    let lines = match length > TAIL {
        true => tail.split_once('\n').map_or("", |(_, rest)| rest),
        false => &tail,
    };
    Ok(parse(lines)?.pop())
}

const TAIL: u64 = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pages: i64) -> Head {
        Head {
            pages,
            journals: pages * 2,
            root: [3; 32],
            sealed_at_us: 1,
            key_id: "k1".to_owned(),
            key_check: [0; 8],
            mac: [4; 32],
        }
    }

    #[test]
    fn heads_are_kept_once_in_order_and_over_a_torn_line() {
        let dir = std::env::temp_dir().join(format!("ledger-heads-{}", uuid::Uuid::now_v7().simple()));
        assert!(
            HeadLog::open(&dir).is_err(),
            "a directory that is not there is not made"
        );
        fs::create_dir(&dir).unwrap();
        let log = HeadLog::open(&dir).unwrap();
        assert_eq!(log.last().unwrap(), None);
        for pages in [1, 2, 2, 1] {
            log.append(&head(pages)).unwrap();
        }
        assert_eq!(read(&dir.join("heads.jsonl")).unwrap(), [head(1), head(2)]);
        assert_eq!(read(&dir.join("head.json")).unwrap(), [head(2)]);

        let mut file = OpenOptions::new().append(true).open(dir.join("heads.jsonl")).unwrap();
        file.write_all(b"{\"pages\":3,\"jour").unwrap();
        assert_eq!(log.last().unwrap(), Some(head(2)));
        for pages in 3..100 {
            log.append(&head(pages)).unwrap();
        }
        assert_eq!(log.last().unwrap(), Some(head(99)));
        assert_eq!(read(&dir.join("heads.jsonl")).unwrap().len(), 99);

        fs::write(dir.join("heads.jsonl"), "{\"pages\":\"x\"}\n").unwrap();
        assert!(log.last().is_err(), "what cannot be understood is not skipped");
        fs::remove_dir_all(dir).unwrap();
    }
}
