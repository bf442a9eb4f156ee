//! Input that cannot fill the memory: a reader with a budget of bytes per piece, and lines of bounded length.

use std::io::{self, BufRead, BufReader, Read};

use crate::Refused;

/// A buffered reader that counts lines and refuses a piece (a record, a tag) that goes on for too long.
pub(crate) struct Source<R> {
    inner: BufReader<R>,
    /// of the byte that comes next, from 1
    pub(crate) line: u64,
    left: usize,
    last: u8,
}

impl<R: Read> Source<R> {
    /// From the beginning of a file; a byte order mark is passed over.
    pub(crate) fn new(inner: R) -> Result<Self, Refused> {
        let mut source = Self {
            inner: BufReader::with_capacity(64 << 10, inner),
            line: 1,
            left: PIECE_BYTES,
            last: b'\n',
        };
        let start = source.inner.fill_buf().map_err(|e| unreadable(1, &e))?;
        if start.starts_with(b"\xEF\xBB\xBF") {
            source.inner.consume(3);
        }
        Ok(source)
    }

    /// A new piece begins.
    pub(crate) fn renew(&mut self) {
        self.left = PIECE_BYTES;
    }

    /// Whether what was read last ended its line.
    pub(crate) fn ends_a_line(&self) -> bool {
        matches!(self.last, b'\n' | b'\r')
    }

    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| io::Error::other(format!("one piece of it is longer than {PIECE_BYTES} bytes")))?;
        Ok(())
    }

    /// The next line without its end; None at the end of the file.
    pub(crate) fn next_line(&mut self) -> Result<Option<(u64, String)>, Refused> {
        let number = self.line;
        let mut bytes = Vec::new();
        let mut limited = (&mut self.inner).take(LINE_BYTES + 1);
        limited
            .read_until(b'\n', &mut bytes)
            .map_err(|e| unreadable(number, &e))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() as u64 > LINE_BYTES {
            return Err(Refused::new(number, format!("it is longer than {LINE_BYTES} bytes")));
        }
        self.line += 1;
        while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            bytes.pop();
        }
        // Banks still send Latin-1; every byte of it is a character.
        let text = String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect());
        Ok(Some((number, text)))
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.spend(read)?;
        self.last = buf[..read].last().copied().unwrap_or(self.last);
        Ok(read)
    }
}

impl<R: Read> BufRead for Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            self.spend(1)?;
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        let newlines = self.inner.buffer().iter().take(amount).filter(|b| **b == b'\n').count();
        self.line += newlines as u64;
        self.left = self.left.saturating_sub(amount);
        self.inner.consume(amount);
    }
}

/// What is told of a file that cannot be read.
pub(crate) fn unreadable(line: u64, error: &dyn std::fmt::Display) -> Refused {
    Refused::new(line, format!("the file cannot be read: {error}"))
}

/// A record, a tag or a text of a file: far beyond any honest one.
const PIECE_BYTES: usize = 1 << 20;
/// A line of MT940 or BAI2.
const LINE_BYTES: u64 = 8 << 10;
