//! Observations in a file, one JSON document a line, rotated by size.
//!
//! The files together never hold more than `max_bytes * (keep + 1)` and one observation. A cut loses what the
//! kernel had not written: a log is not what the daemon lives on, so it is not synced.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt as _, BufWriter};

use super::{QUEUE_DEFAULT, Queue, SinkContext, SinkSpec};
use crate::config::Section;
use crate::disk;
use crate::kinds::Kind;
use crate::supervisor::Failure;

/// `kind = "jsonl"`.
pub const KIND: Kind<dyn SinkSpec> = Kind {
    name: "jsonl",
    summary: "a file with one JSON document a line, rotated by size",
    example: "kind = \"jsonl\"
path = \"observations.jsonl\" # relative to this file
max_bytes = 16777216        # then it becomes observations.jsonl.1
keep = 3                    # rotated files kept
",
    build: |section: &Section<'_>| {
        let (path, max_bytes) =
            (section.required_path("path"), section.integer("max_bytes", BYTES_RANGE));
        let keep = section.integer("keep", 0..=KEEP_MAX).unwrap_or(3);
        (!path.as_os_str().is_empty()).then_some(())?;
        Some(Box::new(Jsonl { path, max_bytes: max_bytes.unwrap_or(BYTES_DEFAULT), keep }))
    },
};

/// Size at which a file is rotated unless configured: 16 MiB, some 20,000 observations.
const BYTES_DEFAULT: u64 = 16 << 20;
/// A file too small to hold one observation would rotate for every line; one of 1 GiB is hard to open.
const BYTES_RANGE: std::ops::RangeInclusive<u64> = 16 << 10..=1 << 30;
/// Most rotated files: each rotation renames all of them.
const KEEP_MAX: u32 = 100;
/// How long a line may wait in memory.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
struct Jsonl {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
}

impl SinkSpec for Jsonl {
    fn start(&self, context: &SinkContext<'_>) -> Arc<Queue> {
        let (queue, sink) = (Arc::new(Queue::new(QUEUE_DEFAULT)), self.clone());
        let name = format!("jsonl {}", self.path.display());
        context.supervisor.sink(&name, &queue, move |queue| sink.clone().write(queue));
        queue
    }
}

impl Jsonl {
    async fn write(self, queue: Arc<Queue>) -> Result<(), Failure> {
        let mut file = Lines::open(&self.path).await?;
        loop {
            let Ok(popped) = tokio::time::timeout(FLUSH_EVERY, queue.pop()).await else {
                file.flush().await?;
                continue;
            };
            let Some(record) = popped else { break };
            if file.bytes > 0 && file.bytes + length(&record.body) > self.max_bytes {
                file.flush().await?;
                disk::rotate(&self.path, self.keep).map_err(|error| {
                    Failure::retry(format!("cannot rotate `{}`", self.path.display()), error)
                })?;
                file = Lines::open(&self.path).await?;
            }
            file.line(&record.body).await?;
            queue.recycle(record);
        }
        file.flush().await
    }
}

/// An open file and its length.
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

fn length(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_add(1)
}

impl Lines {
    async fn open(path: &Path) -> Result<Self, Failure> {
        let fail = |error| Failure::retry(format!("cannot write `{}`", path.display()), error);
        let file = OpenOptions::new().create(true).append(true).open(path).await.map_err(fail)?;
        let bytes = file.metadata().await.map_err(fail)?.len();
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), bytes })
    }

    async fn line(&mut self, body: &[u8]) -> Result<(), Failure> {
        let written = match self.file.write_all(body).await {
            Ok(()) => self.file.write_all(b"\n").await,
            Err(error) => Err(error),
        };
        self.bytes += length(body);
        written.map_err(|error| {
            Failure::retry(format!("cannot write `{}`", self.path.display()), error)
        })
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.file.flush().await;
        flushed.map_err(|error| {
            Failure::retry(format!("cannot write `{}`", self.path.display()), error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_file_is_rotated_and_the_oldest_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.jsonl");
        let queue = Arc::new(Queue::new(100));
        for n in 0..10 {
            queue.push(&Arc::from("t"), format!("{n:03}").as_bytes());
        }
        queue.close();
        // Two lines of four bytes a file, two old files: of ten lines, the last six are left.
        Jsonl { path: path.clone(), max_bytes: 8, keep: 2 }.write(queue).await.unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("o.jsonl"), "008\n009\n");
        assert_eq!(read("o.jsonl.1"), "006\n007\n");
        assert_eq!(read("o.jsonl.2"), "004\n005\n");
        assert!(!dir.path().join("o.jsonl.3").exists());
    }
}
