//! A release's file, from the repository to the blobs: each chunk verified before it touches the disk for good.
//!
//! Bytes are gathered chunk by chunk in memory, and go to the file as they come, behind the mark. A whole chunk is
//! hashed, compared, synced and marked on another thread while the next one comes; one that is cut off is gone
//! on with by range, in this run or the next.
//!
//! **Progress is a high-water mark:** an attempt that verified nothing new counts as one in vain, whatever it
//! transferred, and some of those in a row end the fetch until later. A server that ignores ranges and is
//! cut off again and again therefore costs a bounded number of bytes.

use std::io;
use std::time::{Duration, Instant};

use wire::ReleaseFile;

use super::blobs::{Ahead, Blobs, Partial, WrongChunk};
use super::transport::{Body, Transport, TransportError};

/// Attempts in a row without a byte more than before, until the fetch is left for later.
const VAIN_MAX: u32 = 4;
/// Bytes of a chunk that a kill takes at most: each time so many came, they go to the file.
const AHEAD_BYTES: usize = 1 << 20;
/// A stall is less than this ...
const STALL_BYTES: u64 = 16 << 10;
/// ... within this: slower than any link that a model could be fetched over.
const STALL_TIME: Duration = Duration::from_secs(60);

/// Why a file is not here yet.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The repository's fault or the link's; what is verified is kept.
    #[error("cannot fetch `{path}`")]
    Transport {
        /// The file.
        path: String,
        /// Why not.
        source: TransportError,
    },
    /// The repository's bytes are not those that were signed.
    #[error("`{path}` is not what was signed")]
    Wrong {
        /// The file.
        path: String,
        /// Which part of it.
        source: WrongChunk,
    },
    /// The repository has less than what was signed.
    #[error("`{path}` ends after {found} of {length} bytes")]
    Short {
        /// The file.
        path: String,
        /// What there is.
        found: u64,
        /// What was signed.
        length: u64,
    },
    /// The disk's fault.
    #[error("cannot keep `{path}`")]
    Disk {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// Fetches `file` into `blobs`; nothing is done where it is there already, and who fetches the same file waits.
///
/// `progress` is told the file's verified bytes. `bytes_s` is the most that comes in a second.
///
/// # Errors
/// [`FetchError`]: try again later, it goes on where it stopped.
pub async fn fetch(
    transport: &dyn Transport,
    file: &ReleaseFile,
    blobs: &Blobs,
    bytes_s: Option<u64>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), FetchError> {
    let turn = blobs.turn(&file.sha256).await;
    if blobs.has(file) {
        progress(file.length);
        return Ok(());
    }
    let disk = |source| FetchError::Disk { path: file.path.clone(), source };
    let mut partial = blobs.partial(file).map_err(disk)?;
    partial.hold(turn);
    // It may have to verify what is there.
    let opened = tokio::task::spawn_blocking(move || {
        let chunk = partial.tail()?;
        Ok((partial.ahead()?, chunk, partial))
    });
    let opened = opened.await.map_err(io::Error::other).and_then(|opened| opened);
    let (ahead, chunk, partial) = opened.map_err(disk)?;
    let mut way = Way {
        partial: Some(partial),
        ahead,
        spilled: chunk.len(),
        chunk,
        file: file.clone(),
        pace: bytes_s.map(Pace::new),
        etag: None,
    };
    let (mut vain, mut high, mut wrong) = (0, 0, false);
    loop {
        let ended = way.attempt(transport, progress).await;
        let here = way.here()?;
        vain = if here > high { 0 } else { vain + 1 };
        high = high.max(here);
        match ended {
            Ok(()) if way.part()?.offset() == file.length => break,
            Ok(()) if vain >= VAIN_MAX => {
                let (path, length) = (file.path.clone(), file.length);
                return Err(FetchError::Short { path, found: here, length });
            }
            Err(FetchError::Transport { source, .. }) if again(&source) && vain < VAIN_MAX => {}
            // Bytes of two states of the file in one chunk: once more, from its begin.
            Err(FetchError::Wrong { .. }) if !wrong => wrong = true,
            Err(error) => {
                way.part()?.spill(&way.chunk).map_err(disk)?;
                return Err(error);
            }
            Ok(()) => {}
        }
        tokio::time::sleep(Duration::from_millis(100) * vain.min(VAIN_MAX)).await;
    }
    let partial = way.partial.take().ok_or_else(|| disk(io::Error::other("it is gone")))?;
    partial.finish(blobs).map_err(disk)?;
    progress(file.length);
    Ok(())
}

/// Whether to ask again at once: the link broke in the middle, and not the server's mind.
fn again(error: &TransportError) -> bool {
    matches!(error, TransportError::Unreachable { .. } | TransportError::Stalled { .. })
}

/// A file on its way.
struct Way {
    partial: Option<Partial>,
    /// What is there of the chunk behind the verified ones.
    chunk: Vec<u8>,
    /// Bytes of `chunk` that are in the file.
    spilled: usize,
    ahead: Ahead,
    file: ReleaseFile,
    pace: Option<Pace>,
    etag: Option<String>,
}

/// A chunk that is being verified and written on another thread.
type Writing = tokio::task::JoinHandle<(Partial, Vec<u8>, io::Result<Result<(), WrongChunk>>)>;

impl Way {
    fn part(&self) -> Result<&Partial, FetchError> {
        self.partial.as_ref().ok_or_else(|| self.disk(io::Error::other("a chunk was not written")))
    }

    fn disk(&self, source: io::Error) -> FetchError {
        FetchError::Disk { path: self.file.path.clone(), source }
    }

    /// Bytes that are here, verified or not.
    fn here(&self) -> Result<u64, FetchError> {
        Ok(self.part()?.offset() + u64::try_from(self.chunk.len()).unwrap_or(0))
    }

    /// One request, and what comes of it.
    async fn attempt(
        &mut self,
        transport: &dyn Transport,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), FetchError> {
        if self.part()?.wants() == 0 {
            return Ok(());
        }
        let failed = {
            let path = self.file.path.clone();
            move |source| FetchError::Transport { path: path.clone(), source }
        };
        let from = self.here()?;
        let name = format!("{}.{}", self.file.sha256, self.file.target());
        let mut body =
            transport.target(&name, from, self.etag.as_deref()).await.map_err(&failed)?;
        self.etag = body.etag.take();
        // A server without ranges begins anew: what is here already is let by.
        let mut skip = from.saturating_sub(body.offset);
        let mut next = Vec::new();
        let mut writing: Option<Writing> = None;
        let mut stall = Stall::new(Instant::now());
        let mut ended = Ok(());
        let mut offset = self.part()?.offset();
        while offset < self.file.length {
            let piece = match next_piece(&mut body, &name).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => {
                    ended = Err(failed(error));
                    break;
                }
            };
            let length = u64::try_from(piece.len()).unwrap_or(0);
            if let Some(slow) = stall.after(length, Instant::now(), &name) {
                ended = Err(failed(slow));
                break;
            }
            if let Some(pace) = &mut self.pace {
                pace.spend(length).await;
            }
            let let_by = skip.min(length);
            skip -= let_by;
            let mut bytes = &piece[usize::try_from(let_by).unwrap_or(0)..];
            while !bytes.is_empty() && offset < self.file.length {
                let wants = wire::release::CHUNK_BYTES.min(self.file.length - offset);
                let wants = usize::try_from(wants).unwrap_or(usize::MAX);
                let take = bytes.len().min(wants - self.chunk.len());
                self.chunk.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                if self.chunk.len() < wants {
                    self.write_ahead(offset, AHEAD_BYTES)?;
                    continue;
                }
                self.write_ahead(offset, 1)?;
                if let Some(before) = writing.take() {
                    next = self.written(before, progress).await?;
                }
                let full = std::mem::replace(&mut self.chunk, std::mem::take(&mut next));
                offset += u64::try_from(full.len()).unwrap_or(0);
                writing = self.write(full);
            }
            if !bytes.is_empty() {
                ended = Err(failed(TransportError::Endless {
                    url: name.clone(),
                    max: self.file.length,
                }));
                break;
            }
        }
        if let Some(last) = writing {
            drop(self.written(last, progress).await?);
        }
        ended
    }

    fn write(&mut self, full: Vec<u8>) -> Option<Writing> {
        let mut partial = self.partial.take()?;
        let written = std::mem::take(&mut self.spilled);
        Some(tokio::task::spawn_blocking(move || {
            let accepted = partial.accept(&full, written);
            (partial, full, accepted)
        }))
    }

    /// What came of the chunk at `offset` goes to the file, if it is `least` bytes more than before.
    fn write_ahead(&mut self, offset: u64, least: usize) -> Result<(), FetchError> {
        let new = &self.chunk[self.spilled..];
        if new.len() < least {
            return Ok(());
        }
        let at = offset + u64::try_from(self.spilled).unwrap_or(0);
        let written = not_in_the_way(|| self.ahead.write(new, at));
        written.map_err(|error| self.disk(error))?;
        self.spilled = self.chunk.len();
        Ok(())
    }

    /// The bytes that are here of the next chunk are worth nothing.
    fn forget(&mut self) -> Result<(), FetchError> {
        self.chunk.clear();
        self.spilled = 0;
        self.part()?.spill(&[]).map_err(|error| self.disk(error))
    }

    /// Waits for a chunk to be written, and returns its emptied buffer.
    async fn written(
        &mut self,
        writing: Writing,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<u8>, FetchError> {
        let written = writing.await.map_err(|error| self.disk(io::Error::other(error)));
        let (partial, mut buffer, accepted) = written?;
        self.partial = Some(partial);
        buffer.clear();
        let accepted = accepted.map_err(|error| self.disk(error));
        match accepted {
            Ok(Ok(())) => {
                progress(self.part()?.offset());
                Ok(buffer)
            }
            Ok(Err(source)) => {
                self.forget()?;
                Err(FetchError::Wrong { path: self.file.path.clone(), source })
            }
            Err(error) => {
                (self.chunk, self.spilled) = (Vec::new(), 0);
                Err(error)
            }
        }
    }
}

/// Does what waits for the disk, beside the tasks of the runtime where it has threads for that.
fn not_in_the_way<T>(act: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(act),
        _ => act(),
    }
}

/// The next piece, unless it takes too long.
async fn next_piece(body: &mut Body, name: &str) -> Result<Option<bytes::Bytes>, TransportError> {
    let piece = tokio::time::timeout(STALL_TIME, body.pieces.next()).await;
    piece.unwrap_or_else(|_| Err(stalled(name, 0)))
}

/// Notices a link over which something comes, and too little.
struct Stall {
    since: Instant,
    came: u64,
}

impl Stall {
    fn new(now: Instant) -> Self {
        Self { since: now, came: 0 }
    }

    fn after(&mut self, bytes: u64, now: Instant, name: &str) -> Option<TransportError> {
        self.came += bytes;
        if now.saturating_duration_since(self.since) < STALL_TIME {
            return None;
        }
        let came = std::mem::take(&mut self.came);
        self.since = now;
        (came < STALL_BYTES).then(|| stalled(name, came))
    }
}

fn stalled(name: &str, bytes: u64) -> TransportError {
    TransportError::Stalled { url: name.to_owned(), bytes, within: STALL_TIME }
}

/// Lets so many bytes a second by.
struct Pace {
    bytes_s: u64,
    began: Instant,
    spent: u64,
}

impl Pace {
    fn new(bytes_s: u64) -> Self {
        Self { bytes_s: bytes_s.max(1), began: Instant::now(), spent: 0 }
    }

    async fn spend(&mut self, bytes: u64) {
        self.spent += bytes;
        let due = Duration::from_millis(self.spent.saturating_mul(1000) / self.bytes_s);
        tokio::time::sleep(due.saturating_sub(self.began.elapsed())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the link is given up over which `bytes_s` come, by the piece; `None`: not within an hour.
    fn given_up_after(bytes_s: u64) -> Option<u64> {
        let began = Instant::now();
        let mut stall = Stall::new(began);
        (1..=3600).find(|second| {
            stall.after(bytes_s, began + Duration::from_secs(*second), "x").is_some()
        })
    }

    #[test]
    fn a_slow_drip_is_given_up_and_a_slow_link_is_not() {
        assert_eq!(given_up_after(1), Some(60));
        assert_eq!(given_up_after(200), Some(60));
        // A modem's.
        assert_eq!(given_up_after(1200), None);
    }
}
