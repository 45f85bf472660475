//! A release's file over a link and from a server that misbehave, each in its way: what is verified stays, what is
//! wrong is named, and nothing goes on for ever.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use vedette::report;
use vedette::update::LinkSettings;
use vedette::update::blobs::Blobs;
use vedette::update::fetch::fetch;
use vedette::update::http::Http;
use wire::release::CHUNK_BYTES;
use wire::{Digest, ReleaseFile};

/// Two chunks and a half.
const LENGTH: usize = 20 << 20;

/// How the server answers its request number `n`, from 0.
type Manner = fn(n: usize, request: &Asked, file: &[u8], to: &mut TcpStream) -> std::io::Result<()>;

/// What was asked for.
struct Asked {
    from: Option<usize>,
    if_range: Option<String>,
}

/// A server with a manner of its own, and what it gave.
struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
    bytes: Arc<AtomicU64>,
}

fn serve(file: Arc<Vec<u8>>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server {
        url: format!("http://{}", listener.local_addr().unwrap()),
        requests: Arc::default(),
        bytes: Arc::default(),
    };
    let (requests, bytes) = (server.requests.clone(), server.bytes.clone());
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (file, requests, bytes) = (file.clone(), requests.clone(), bytes.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut asked = Asked { from: None, if_range: None };
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    let line = line.trim().to_ascii_lowercase();
                    if let Some(range) = line.strip_prefix("range: bytes=") {
                        asked.from = range.trim_end_matches('-').parse().ok();
                    }
                    if let Some(tag) = line.strip_prefix("if-range: ") {
                        asked.if_range = Some(tag.to_owned());
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let number = requests.fetch_add(1, Ordering::SeqCst);
                // A client that hangs up is what some of these are about.
                drop(manner(number, &asked, &file, &mut stream));
                let given = u64::try_from(file.len() - asked.from.unwrap_or(0)).unwrap_or(0);
                bytes.fetch_add(given, Ordering::SeqCst);
            });
        }
    });
    server
}

/// Answers with `status`, `headers`, and `body`, which may be less than promised.
fn answer(
    to: &mut TcpStream,
    status: &str,
    headers: &str,
    promised: usize,
    body: &[u8],
) -> std::io::Result<()> {
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Length: {promised}\r\nConnection: close\r\n{headers}\r\n"
    )?;
    to.write_all(body)
}

/// As it should be: the range that was asked for.
fn well(
    to: &mut TcpStream,
    asked: &Asked,
    file: &[u8],
    etag: &str,
    most: usize,
) -> std::io::Result<()> {
    let same = asked.if_range.as_ref().is_none_or(|known| known == etag);
    match asked.from.filter(|_| same) {
        Some(from) => {
            let rest = &file[from..];
            let range = format!(
                "Content-Range: bytes {from}-{}/{}\r\nETag: {etag}\r\n",
                file.len() - 1,
                file.len()
            );
            answer(to, "206 Partial Content", &range, rest.len(), &rest[..rest.len().min(most)])
        }
        None => answer(
            to,
            "200 OK",
            &format!("ETag: {etag}\r\n"),
            file.len(),
            &file[..file.len().min(most)],
        ),
    }
}

fn file() -> (Arc<Vec<u8>>, ReleaseFile) {
    let mut state = 7_u32;
    let bytes: Vec<u8> = (0..LENGTH)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let chunk = usize::try_from(CHUNK_BYTES).unwrap();
    let release = ReleaseFile {
        path: "model.onnx".to_owned(),
        length: u64::try_from(bytes.len()).unwrap(),
        sha256: Digest::of(&bytes),
        chunks: bytes.chunks(chunk).map(Digest::of).collect(),
    };
    (Arc::new(bytes), release)
}

/// One fetch; why not, where it did not go well.
fn once(server: &Server, release: &ReleaseFile, blobs: &Blobs) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let transport = Http::new(&server.url, &LinkSettings::default()).unwrap();
    let high = Mutex::new(0);
    let fetched = runtime.unwrap().block_on(fetch(&transport, release, blobs, None, &|bytes| {
        let mut high = high.lock().unwrap();
        assert!(bytes >= *high, "progress went back");
        *high = bytes;
    }));
    fetched.map_err(|error| report::chain(&error))
}

#[test]
fn a_server_that_misbehaves_is_named_or_outlasted() {
    let cut: Manner = |_, asked, file, to| well(to, asked, file, "\"a\"", 7 << 20);
    let table: [(&str, &str, Manner); 10] =
        [
            ("well", "", |_, asked, file, to| well(to, asked, file, "\"a\"", usize::MAX)),
            ("cut off after 7 MiB, each time", "", cut),
            ("cut off at once, each time", "cannot be reached", |_, asked, file, to| {
                well(to, asked, file, "\"a\"", 0)
            }),
            ("no ranges", "", |n, _, file, to| {
                let most = if n == 0 { 9 << 20 } else { usize::MAX };
                answer(to, "200 OK", "", file.len(), &file[..file.len().min(most)])
            }),
            ("no ranges, and cut off each time", "cannot be reached", |_, _, file, to| {
                answer(to, "200 OK", "", file.len(), &file[..9 << 20])
            }),
            ("another range", "answers with another range: bytes 0-5/6", |n, asked, file, to| {
                match n {
                    0 => well(to, asked, file, "\"a\"", 9 << 20),
                    _ => answer(
                        to,
                        "206 Partial Content",
                        "Content-Range: bytes 0-5/6\r\n",
                        6,
                        &file[..6],
                    ),
                }
            }),
            ("compressed", "answers with the encoding `gzip`", |_, _, file, to| {
                answer(to, "200 OK", "Content-Encoding: gzip\r\n", file.len(), file)
            }),
            ("busy", "answers 503", |_, _, _, to| {
                answer(to, "503 Service Unavailable", "Retry-After: 9\r\n", 0, b"")
            }),
            ("not there", "is not there, though the signed metadata lists it", |_, _, _, to| {
                answer(to, "404 Not Found", "", 0, b"")
            }),
            ("more than was signed", "does not end within its 20971520 bytes", |_, _, file, to| {
                let more = [file, b"and more"].concat();
                answer(to, "200 OK", "", more.len(), &more)
            }),
        ];
    let (bytes, release) = file();
    for (what, named, manner) in table {
        let (server, dir) = (serve(bytes.clone(), manner), tempfile::tempdir().unwrap());
        let blobs = Blobs::open(dir.path()).unwrap();
        let fetched = once(&server, &release, &blobs);
        assert!(server.requests.load(Ordering::SeqCst) <= 8, "{what}: it asks on and on");
        if named.is_empty() {
            assert_eq!(fetched, Ok(()), "{what}");
            assert!(std::fs::read(blobs.path(&release.sha256)).unwrap() == *bytes, "{what}");
        } else {
            let said = fetched.unwrap_err();
            assert!(said.contains(named), "{what}: {said}");
            assert!(!blobs.has(&release), "{what}");
        }
    }
}

#[test]
fn wrong_bytes_are_never_a_blob_and_right_ones_before_them_are_kept() {
    let (bytes, release) = file();
    let mut wrong = bytes.to_vec();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let well: Manner = |_, asked, file, to| well(to, asked, file, "\"a\"", usize::MAX);
    let said = once(&serve(Arc::new(wrong), well), &release, &blobs).unwrap_err();
    assert!(said.contains("is not what was signed: chunk 2 has the digest"), "{said}");
    assert!(!blobs.has(&release));
    assert_eq!(blobs.progress(&release), 2 * CHUNK_BYTES);
    // A server that has the right ones is asked for the rest only.
    let server = serve(bytes, well);
    assert_eq!(once(&server, &release, &blobs), Ok(()));
    assert_eq!(server.bytes.load(Ordering::SeqCst), release.length - 2 * CHUNK_BYTES);
}

#[test]
fn a_changed_etag_costs_a_chunk_at_most() {
    let (bytes, release) = file();
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    // The first answer breaks off in the second chunk; then the file is called something else.
    let server = serve(bytes, |n, asked, file, to| match n {
        0 => well(to, asked, file, "\"a\"", 11 << 20),
        _ => well(to, asked, file, "\"b\"", usize::MAX),
    });
    assert_eq!(once(&server, &release, &blobs), Ok(()));
}

#[test]
fn what_a_fetch_left_is_gone_on_with_by_the_next() {
    let (bytes, release) = file();
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    // Each fetch gets 3 MiB and then nothing: it gives up, and the next one goes on in the middle of the chunk.
    let server = serve(bytes.clone(), |n, asked, file, to| {
        well(to, asked, file, "\"a\"", if n.is_multiple_of(6) { 3 << 20 } else { 0 })
    });
    let mut fetches = 0;
    while once(&server, &release, &blobs).is_err() {
        fetches += 1;
        assert!(fetches < 40, "it does not come to an end");
    }
    assert!(std::fs::read(blobs.path(&release.sha256)).unwrap() == *bytes);
}

/// A fetch from a server that gives 13 MiB and then nothing more, and keeps the line: it is killed once 12 MiB are in
/// the file, which is given no moment to put anything in order.
fn killed_fetch(bytes: &Arc<Vec<u8>>, release: &ReleaseFile, dir: &std::path::Path) {
    let server = serve(bytes.clone(), |_, _, file, to| {
        answer(to, "200 OK", "ETag: \"a\"\r\n", file.len(), &file[..13 << 20])?;
        // Until the client hangs up.
        std::io::Read::read(to, &mut [0]).map(drop)
    });
    let blobs = Blobs::open(dir).unwrap();
    let transport = Http::new(&server.url, &LinkSettings::default()).unwrap();
    let data = dir.join("partial").join(release.sha256.to_string()).join("data");
    let came = || std::fs::metadata(&data).is_ok_and(|found| found.len() >= 12 << 20);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(async {
        tokio::select! {
            fetched = fetch(&transport, release, &blobs, None, &|_| {}) => fetched.unwrap(),
            () = async {
                while !came() || blobs.progress(release) < CHUNK_BYTES {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            } => {}
        }
    });
}

#[test]
fn a_kill_costs_a_mebibyte_at_most() {
    let (bytes, release) = file();
    let dir = tempfile::tempdir().unwrap();
    killed_fetch(&bytes, &release, dir.path());
    let server = serve(bytes, |_, asked, file, to| well(to, asked, file, "\"a\"", usize::MAX));
    assert_eq!(once(&server, &release, &Blobs::open(dir.path()).unwrap()), Ok(()));
    assert!(server.bytes.load(Ordering::SeqCst) <= release.length - (12 << 20));
}

#[test]
fn what_came_whole_and_was_not_marked_is_verified_first() {
    let (bytes, release) = file();
    let chunk = usize::try_from(CHUNK_BYTES).unwrap();
    // What a kill between a chunk and its mark leaves, and what a power cut may: a hole in it.
    for (hole, asked_for) in [(false, LENGTH - chunk - 5), (true, LENGTH)] {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let partial = dir.path().join("partial").join(release.sha256.to_string());
        std::fs::create_dir(&partial).unwrap();
        let mut here = bytes[..chunk + 5].to_vec();
        if hole {
            here[4096..8192].fill(0);
        }
        vedette::disk::replace(&partial.join("data"), &here).unwrap();
        let server =
            serve(bytes.clone(), |_, asked, file, to| well(to, asked, file, "\"a\"", usize::MAX));
        assert_eq!(once(&server, &release, &blobs), Ok(()));
        assert!(std::fs::read(blobs.path(&release.sha256)).unwrap() == *bytes);
        assert_eq!(server.bytes.load(Ordering::SeqCst), u64::try_from(asked_for).unwrap());
    }
}

#[test]
fn a_mark_whose_data_is_gone_does_not_speak_for_what_comes_after_it() {
    let bytes = vec![7_u8; 1000];
    let release = ReleaseFile {
        path: "model.onnx".to_owned(),
        length: 1000,
        sha256: Digest::of(&bytes),
        chunks: vec![Digest::of(&bytes)],
    };
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let partial = dir.path().join("partial").join(release.sha256.to_string());
    std::fs::create_dir(&partial).unwrap();
    // What a power cut can leave of a partial file that was being removed ...
    vedette::disk::replace(&partial.join("mark"), b"1\n").unwrap();
    assert_eq!(blobs.partial(&release).unwrap().offset(), 0);
    // ... and another one of the next download, whose length was durable and whose bytes were not.
    vedette::disk::replace(&partial.join("data"), &[0; 1000]).unwrap();
    assert_eq!(blobs.partial(&release).unwrap().offset(), 0);
    assert_eq!(blobs.progress(&release), 0);
}

#[test]
fn two_who_want_the_same_file_fetch_it_once() {
    let (bytes, release) = file();
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let server =
        serve(bytes.clone(), |_, asked, file, to| well(to, asked, file, "\"a\"", usize::MAX));
    let transport = Http::new(&server.url, &LinkSettings::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (one, other) = runtime.block_on(async {
        tokio::join!(
            fetch(&transport, &release, &blobs, None, &|_| {}),
            fetch(&transport, &release, &blobs, None, &|_| {})
        )
    });
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    assert!(std::fs::read(blobs.path(&release.sha256)).unwrap() == *bytes);
}
