//! A release's file behind the web servers that operators use: Debian's nginx, and `vedette-fleet serve`. The
//! agent's own downloader over a link that breaks, and what it asked.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use tests::{Fleet, Folder, Guard, Nginx};
use vedette::update::LinkSettings;
use vedette::update::blobs::Blobs;
use vedette::update::fetch::fetch;
use vedette::update::http::Http;
use wire::release::CHUNK_BYTES;
use wire::{Digest, ReleaseFile};

/// Two chunks and a half.
const LENGTH: usize = 20 << 20;
/// Where the link breaks the first time: in the second chunk.
const CUT: usize = 9 << 20;

/// A file as a repository has it, and where it lies.
fn put(root: &Path) -> Result<(ReleaseFile, PathBuf)> {
    let mut state = 7_u32;
    let bytes: Vec<u8> = (0..LENGTH)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let file = ReleaseFile {
        path: "model.onnx".to_owned(),
        length: u64::try_from(bytes.len())?,
        sha256: Digest::of(&bytes),
        chunks: bytes.chunks(usize::try_from(CHUNK_BYTES)?).map(Digest::of).collect(),
    };
    let path = root.join(format!("targets/{}.{}", file.sha256, file.target()));
    vedette::disk::replace(&path, &bytes)?;
    Ok((file, path))
}

/// One request over the link, and the first line of its answer.
#[derive(Debug, Clone, Default)]
struct Exchange {
    request: String,
    answer: String,
}

impl Exchange {
    /// What the header `name` of the request says.
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.request.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A link to a server, which breaks once.
struct Link {
    url: String,
    seen: Arc<Mutex<Vec<Exchange>>>,
}

/// A link to `port` that breaks after [`CUT`] bytes of its first answer; `broken` is called before the client
/// notices.
fn link(port: u16, broken: impl Fn() + Send + 'static) -> Result<Link> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    let seen: Arc<Mutex<Vec<Exchange>>> = Arc::default();
    let kept = seen.clone();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let most = if number == 0 { CUT } else { usize::MAX };
            // A client that hangs up is no failure of the link.
            drop(client.map_err(anyhow::Error::from).and_then(|client| {
                pass(client, port, most, &kept)?;
                if number == 0 {
                    broken();
                }
                Ok(())
            }));
        }
    });
    Ok(Link { url, seen })
}

/// Passes one request on, and at most `most` bytes of its answer back.
fn pass(mut client: TcpStream, port: u16, most: usize, seen: &Mutex<Vec<Exchange>>) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut request, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    while !request.ends_with(b"\r\n\r\n") {
        let read = client.read(&mut piece)?;
        ensure!(read > 0, "no request");
        request.extend_from_slice(&piece[..read]);
    }
    let request = String::from_utf8(request)?.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(request.as_bytes())?;
    let (mut passed, mut exchange) = (0, Exchange { request, ..Exchange::default() });
    while passed < most {
        let read = server.read(&mut piece)?;
        if read == 0 {
            break;
        }
        if passed == 0 {
            let answer = String::from_utf8_lossy(&piece[..read]).into_owned();
            exchange.answer = answer.lines().next().unwrap_or_default().to_owned();
            seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.push(exchange.clone());
        }
        let give = read.min(most - passed);
        client.write_all(&piece[..give])?;
        passed += give;
    }
    Ok(())
}

/// Fetches `file` from `url` into a new device's blobs: whether they are there then, and how long it took.
fn take(url: &str, file: &ReleaseFile, bytes_s: Option<u64>) -> Result<Duration> {
    let device = Folder::new()?;
    let blobs = Blobs::open(device.path())?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let http = Http::new(url, &LinkSettings::default())?;
    let began = Instant::now();
    runtime.block_on(fetch(&http, file, &blobs, bytes_s, &|_| {}))?;
    ensure!(Digest::of(&std::fs::read(blobs.path(&file.sha256))?) == file.sha256, "other bytes");
    Ok(began.elapsed())
}

/// Does `check` with the repository behind each of the servers: the server's name, its port, the repository.
fn behind_each(check: impl Fn(&str, u16, &Path) -> Result<()>) -> Result<()> {
    let fleet = Fleet::new()?;
    let root = fleet.folder().join("repo");
    let nginx = Nginx::start(&root, Guard::Open)?;
    let own = fleet.url().rsplit(':').next().context("no port")?.parse()?;
    for (name, port) in [("nginx", nginx.port()), ("vedette-fleet serve", own)] {
        check(name, port, &root).with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_download_that_breaks_goes_on_by_range_behind_every_server() -> Result<()> {
    behind_each(|name, port, root| {
        let (file, _) = put(root)?;
        let link = link(port, || {})?;
        take(&link.url, &file, None)?;
        let seen = link.seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.clone();
        let [first, second] = seen.as_slice() else {
            anyhow::bail!("{name}: {} requests", seen.len());
        };
        assert!(first.answer.contains(" 200 "), "{name}: {}", first.answer);
        assert_eq!(first.header("range"), None, "{name}");
        assert!(second.answer.contains(" 206 "), "{name}: {}", second.answer);
        let from = second.header("range").context("no range")?;
        let from: usize = from.trim_start_matches("bytes=").trim_end_matches('-').parse()?;
        // All that came counts, less the headers and what was in the air when the link broke.
        assert!(from > 8 << 20 && from < CUT, "{name}: from {from}");
        assert!(second.header("if-range").is_some_and(|tag| tag.starts_with('"')), "{name}");
        Ok(())
    })
}

#[test]
fn a_file_that_was_replaced_meanwhile_comes_whole_behind_every_server() -> Result<()> {
    behind_each(|name, port, root| {
        let (file, path) = put(root)?;
        // Another time, and with it another tag.
        let touched = move || {
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            let opened = std::fs::File::options().write(true).open(&path);
            drop(opened.and_then(|file| file.set_modified(long_ago)));
        };
        let link = link(port, touched)?;
        take(&link.url, &file, None)?;
        let seen = link.seen.lock().map_err(|_| anyhow::anyhow!("poisoned"))?.clone();
        let second = seen.get(1).context("one request")?;
        assert!(second.header("if-range").is_some(), "{name}");
        assert!(second.answer.contains(" 200 "), "{name}: {}", second.answer);
        Ok(())
    })
}

#[test]
fn a_bandwidth_limit_is_kept() -> Result<()> {
    behind_each(|name, port, root| {
        let (file, _) = put(root)?;
        let took = take(&format!("http://127.0.0.1:{port}"), &file, Some(10 << 20))?;
        assert!(took >= Duration::from_millis(1900), "{name}: {took:?}");
        Ok(())
    })
}
