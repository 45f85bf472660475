//! Samples out of text, wherever its bytes come from.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::counts::{Counts, Trouble};
use super::csv::{Csv, Wrong};
use super::json::Json;
use super::lines::{LINE_BYTES_MAX, Line, Lines};
use super::rows::Rows;
use super::settings::{Format, Wanted};
use super::{Failed, Fed, Feed};
use crate::stop::Stop;

/// Bytes that are read at once: some hundred samples.
const CHUNK_BYTES: usize = 16 << 10;

/// What reading bytes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many.
    Bytes(usize),
    /// None came in time.
    Nothing,
    /// There will be no more.
    End,
}

/// Where bytes come from.
pub(crate) trait Bytes: Send {
    /// Reads what is there into `into`; waits for it as long as `limit`, or until `stop` is said.
    fn read(&mut self, into: &mut [u8], limit: Duration, stop: &Stop) -> Result<Got, Failed>;

    /// Begins again at the first byte. False where that cannot be done.
    fn again(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// Reads from what the kernel can wait for.
pub(crate) fn read_fd(fd: impl AsFd, into: &mut [u8], limit: Duration) -> io::Result<Got> {
    let limit = Timespec::try_from(limit).ok();
    let mut polled = [PollFd::new(&fd, PollFlags::IN)];
    match poll(&mut polled, limit.as_ref()) {
        Ok(0) | Err(Errno::INTR) => return Ok(Got::Nothing),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::io::read(&fd, into) {
        Ok(0) => Ok(Got::End),
        Ok(count) => Ok(Got::Bytes(count)),
        Err(Errno::INTR | Errno::AGAIN) => Ok(Got::Nothing),
        Err(error) => Err(error.into()),
    }
}

/// Reads lines of either format.
#[derive(Debug)]
enum Parser {
    Csv(Csv),
    Json(Json),
}

/// Makes samples of lines, and says and counts what is wrong with them.
#[derive(Debug)]
pub(crate) struct Reader {
    what: Arc<str>,
    parser: Parser,
    counts: Arc<Counts>,
    /// Columns that are not those that are wanted are an error, not a line among others.
    strict: bool,
}

impl Reader {
    pub(crate) fn new(
        what: &str,
        format: Format,
        strict: bool,
        wanted: &Arc<Wanted>,
        counts: &Arc<Counts>,
    ) -> Self {
        let parser = match format {
            Format::Csv => Parser::Csv(Csv::new(wanted)),
            Format::Jsonl => Parser::Json(Json::new(wanted)),
        };
        Self { what: what.into(), parser, counts: counts.clone(), strict }
    }

    /// Adds what `line` says to `rows`. An error only where no other line will do either.
    pub(crate) fn line(&mut self, line: &[u8], rows: &mut Rows) -> Result<(), Wrong> {
        let before = rows.added();
        let read = match &mut self.parser {
            Parser::Csv(csv) => csv.read(line, rows),
            Parser::Json(json) => json.read(line, rows),
        };
        let Err(wrong) = read else { return Ok(()) };
        if wrong.columns && self.strict {
            return Err(wrong);
        }
        self.counts.unusable(&self.what, wrong.trouble, || wrong.detail);
        // Before it is known what the columns are, nothing is a sample.
        let ready = match &self.parser {
            Parser::Csv(csv) => csv.is_ready(),
            Parser::Json(_) => true,
        };
        if ready && rows.added() == before {
            rows.lose();
        }
        Ok(())
    }

    fn take(&mut self, line: Line<'_>, rows: &mut Rows) -> Result<(), Wrong> {
        match line {
            Line::Whole(line) => self.line(line, rows),
            Line::Long => {
                let detail = || format!("more than {LINE_BYTES_MAX} bytes");
                self.counts.unusable(&self.what, Trouble::Long, detail);
                Ok(())
            }
        }
    }
}

/// A stream of text.
pub(crate) struct Text {
    bytes: Box<dyn Bytes>,
    lines: Lines,
    reader: Reader,
    chunk: Vec<u8>,
}

impl Text {
    /// `joins`: the stream may begin in the middle of a line.
    pub(crate) fn new(bytes: Box<dyn Bytes>, joins: bool, reader: Reader) -> Self {
        Self { bytes, lines: Lines::new(joins), reader, chunk: vec![0; CHUNK_BYTES] }
    }
}

impl Feed for Text {
    fn fill(&mut self, rows: &mut Rows, limit: Duration, stop: &Stop) -> Result<Fed, Failed> {
        let (reader, mut wrong) = (&mut self.reader, None);
        let mut each = |line: Line<'_>| {
            if wrong.is_none() {
                wrong = reader.take(line, rows).err();
            }
        };
        let fed = match self.bytes.read(&mut self.chunk, limit, stop)? {
            Got::Nothing => return Ok(Fed::Nothing),
            Got::Bytes(count) => {
                self.lines.feed(self.chunk.get(..count).unwrap_or_default(), &mut each);
                Fed::Some
            }
            Got::End => {
                self.lines.end(&mut each);
                if self.bytes.again()? { Fed::Again } else { Fed::End }
            }
        };
        match wrong {
            Some(wrong) => Err(wrong.into()),
            None => Ok(fed),
        }
    }
}
