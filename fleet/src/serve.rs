//! `vedette-fleet serve`: the repository's static files over HTTP, for whom no other web server is at hand.
//!
//! Only files of `metadata/` and `targets/` are answered, by their plain names. It holds no key and signs nothing.

use std::convert::Infallible;
use std::io::{self, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::say;

/// Connections at one time: more wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Longest time for a request's headers.
const HEADERS: Duration = Duration::from_secs(10);
/// Largest headers.
const HEADERS_BYTES_MAX: usize = 16 << 10;
/// Read of a file at once.
const PIECE_BYTES: usize = 128 << 10;
/// Longest time that a client takes nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// Wait after a connection that could not be taken: without room for another file it is there still.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);

/// Serve the repository over HTTP; any other web server will do as well
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The repository
    repository: PathBuf,
    /// Address and port; port 0 takes a free one, and says which
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

type Answer = Response<BoxBody<Bytes, io::Error>>;

impl Serve {
    pub(crate) fn run(self) -> Result<()> {
        if !self.repository.join("metadata").is_dir() {
            let path = self.repository.display();
            bail!("`{path}` is no repository: `vedette-fleet init` makes one");
        }
        let root = self.repository.canonicalize()?;
        if let Some(key) = key_below(&root, 0)? {
            bail!(
                "there is a key in the repository, `{}`: move it away, and make new keys",
                key.display()
            );
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(self.listen).await.with_context(|| {
                format!(
                    "cannot listen on {}: it must be free, and one of this machine's",
                    self.listen
                )
            })?;
            say(&format!("serving `{}` on http://{}", root.display(), listener.local_addr()?));
            let (mut terminate, mut interrupt) =
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let stop = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            let bounds = Bounds { connections: CONNECTIONS_MAX, silence: SILENCE, drain: DRAIN };
            serve(root, &listener, bounds, stop).await
        })
    }
}

/// A key file below `folder`, if there is one.
fn key_below(folder: &Path, depth: usize) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if is_key(&entry.file_name().to_string_lossy()) {
            return Ok(Some(path));
        }
        if entry.file_type()?.is_dir()
            && depth < 2
            && let Some(key) = key_below(&path, depth + 1)?
        {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Whether a file of this name is a key, an old one (`targets.key.old-3`), or one that is being made.
fn is_key(name: &str) -> bool {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    name.trim_end_matches(".new").ends_with(".key")
        || name.rsplit_once(".key.old-").is_some_and(|(_, text)| number(text))
}

/// What one client can take of the server.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Connections at one time.
    connections: usize,
    /// Longest time that it takes nothing.
    silence: Duration,
    /// How long its answer may take to end once the server is told to.
    drain: Duration,
}

async fn serve(
    root: PathBuf,
    listener: &TcpListener,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let root = Arc::new(root);
    let mut connections = tokio::task::JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(listener, &places) => accepted?,
        };
        while connections.try_join_next().is_some() {}
        // What was sent and is not taken ends the connection, so that its place is free.
        let silence = u32::try_from(bounds.silence.as_millis())?;
        if set_tcp_user_timeout(&stream, silence).is_err() {
            continue;
        }
        let root = root.clone();
        let answer = service_fn(move |request| {
            let root = root.clone();
            async move { Ok::<_, Infallible>(answer(&root, &request).await) }
        });
        connections.spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .max_buf_size(HEADERS_BYTES_MAX);
            drop(http.serve_connection(TokioIo::new(stream), answer).await);
            drop(place);
        });
    }
    let all = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(bounds.drain, all).await);
    Ok(())
}

/// The next connection, and its place.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok((stream, place)),
            // A client that is gone before it was served is no trouble of ours.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// The file that `path` names, below `root`; `None` for everything else.
fn file(root: &Path, path: &str) -> Option<PathBuf> {
    let (part, name) = path.strip_prefix('/')?.split_once('/')?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    (["metadata", "targets"].contains(&part) && plain && !name.starts_with('.') && !name.is_empty())
        .then(|| root.join(part).join(name))
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, 0.into());
    answer
}

async fn answer(root: &Path, request: &Request<hyper::body::Incoming>) -> Answer {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = empty(StatusCode::METHOD_NOT_ALLOWED);
        answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let path = request.uri().path().replace("%7E", "~").replace("%7e", "~");
    let Some(path) = file(root, &path) else { return empty(StatusCode::NOT_FOUND) };
    let opened = match tokio::fs::File::open(&path).await {
        Ok(opened) => opened,
        Err(error) => return empty(missing(&error)),
    };
    match opened.metadata().await {
        Ok(about) if about.is_file() => {
            let head = request.method() == Method::HEAD;
            contents(opened, &about, request.headers(), head, &path).await
        }
        Ok(_) => empty(StatusCode::NOT_FOUND),
        Err(error) => empty(missing(&error)),
    }
}

/// Why there is no file to answer with: devices take it for gone only where it is.
fn missing(error: &io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn contents(
    mut file: tokio::fs::File,
    about: &std::fs::Metadata,
    asked: &HeaderMap,
    head: bool,
    path: &Path,
) -> Answer {
    use std::os::unix::fs::MetadataExt as _;
    let length = about.len();
    // Files are replaced by rename: another content has another inode or time.
    let etag =
        format!("\"{:x}-{:x}-{:x}{:x}\"", length, about.ino(), about.mtime(), about.mtime_nsec());
    let said =
        |name| asked.get(name).and_then(|value: &hyper::header::HeaderValue| value.to_str().ok());
    let mut answer = empty(StatusCode::OK);
    if said(IF_NONE_MATCH).is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer.headers_mut().remove(CONTENT_LENGTH);
    } else {
        let same = said(IF_RANGE).is_none_or(|known| known == etag);
        let range = said(RANGE).filter(|_| same).and_then(|range| part(range, length));
        let (from, to) = match range {
            Some(None) => {
                let mut answer = empty(StatusCode::RANGE_NOT_SATISFIABLE);
                insert(answer.headers_mut(), CONTENT_RANGE, &format!("bytes */{length}"));
                return answer;
            }
            Some(Some((from, to))) => {
                *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
                insert(
                    answer.headers_mut(),
                    CONTENT_RANGE,
                    &format!("bytes {from}-{}/{length}", to - 1),
                );
                (from, to)
            }
            None => (0, length),
        };
        if file.seek(SeekFrom::Start(from)).await.is_err() {
            return empty(StatusCode::INTERNAL_SERVER_ERROR);
        }
        answer.headers_mut().insert(CONTENT_LENGTH, (to - from).into());
        if !head {
            *answer.body_mut() = Contents::start(file, to - from).boxed();
        }
    }
    let headers = answer.headers_mut();
    insert(headers, ETAG, &etag);
    insert(headers, ACCEPT_RANGES, "bytes");
    let json = path.extension().is_some_and(|end| end == "json");
    insert(
        headers,
        CONTENT_TYPE,
        if json { "application/json" } else { "application/octet-stream" },
    );
    // Only the timestamp changes under its name.
    let changes = path.file_name().is_some_and(|name| name == "timestamp.json");
    insert(
        headers,
        CACHE_CONTROL,
        if changes { "no-cache" } else { "public, max-age=31536000, immutable" },
    );
    answer
}

fn insert(headers: &mut HeaderMap, name: hyper::header::HeaderName, value: &str) {
    if let Ok(value) = value.parse() {
        headers.insert(name, value);
    }
}

/// The one range of `text`, end exclusive. `None`: not one that is understood, to be ignored; `Some(None)`: there
/// is nothing there.
fn part(text: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    if from.is_empty() {
        let last: u64 = to.parse().ok()?;
        return Some((last > 0 && length > 0).then(|| (length.saturating_sub(last), length)));
    }
    let from: u64 = from.parse().ok()?;
    let to =
        if to.is_empty() { length } else { to.parse::<u64>().ok()?.checked_add(1)?.min(length) };
    if !text.ends_with('-') && to <= from && from < length {
        return None;
    }
    Some((from < length).then_some((from, to)))
}

/// The bytes of a file, read by a task that ends when nobody takes them.
struct Contents {
    left: u64,
    pieces: tokio::sync::mpsc::Receiver<io::Result<Bytes>>,
}

impl Contents {
    fn start(mut file: tokio::fs::File, length: u64) -> Self {
        let (sender, pieces) = tokio::sync::mpsc::channel(2);
        let read = async move {
            let mut left = length;
            while left > 0 {
                let mut piece =
                    vec![0; usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
                let read = match file.read(&mut piece).await {
                    Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    Ok(read) => Ok(read),
                    Err(error) => Err(error),
                };
                let ended = read.is_err();
                let piece = read.map(|read| {
                    piece.truncate(read);
                    left -= u64::try_from(read).unwrap_or(left);
                    Bytes::from(piece)
                });
                let taken = tokio::time::timeout(SILENCE, sender.send(piece)).await;
                if ended || !matches!(taken, Ok(Ok(()))) {
                    return;
                }
            }
        };
        // It ends with its connection, or by its own time-out.
        drop(spawn(read));
        Self { left: length, pieces }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the agent's supervisor is not here, and a reader has nothing to restart"
)]
fn spawn(read: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
    tokio::spawn(read)
}

impl Body for Contents {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| {
            let piece = match piece? {
                Ok(piece) => piece,
                Err(error) => return Some(Err(error)),
            };
            self.left = self.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(0));
            Some(Ok(Frame::data(piece)))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
