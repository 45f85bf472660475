//! The disk fails at the Nth operation, for every N: the install ends with an error, nothing that was good is lost,
//! and the next run comes to the end without help.
//!
//! The failing disk is the C library's calls answered by a small library that is preloaded into a real process, which
//! counts those on files below the state directory. The process is this test again.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;

use vedette::update::blobs::Blobs;
use vedette::update::boot;
use vedette::update::machine::{Action, Event};
use vedette::update::slot::{Happened, Installed, SlotRecord};
use vedette::update::store::Store;
use wire::release::SCHEMA;
use wire::{Digest, Phase, ReleaseDocument, ReleaseFile, ReleaseRef, Terms};

/// Where the process is to work; set only for the one that this test starts.
const STATE: &str = "VEDETTE_DISK_TEST_STATE";
/// Exit code of a process that met an error and said so.
const FAILED: i32 = 3;
/// Operations of one install, at most.
const OPERATIONS_MAX: u32 = 2000;

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int counted;

static int fails(const char *path) {
    const char *state = getenv("VEDETTE_DISK_TEST_STATE"), *at = getenv("FAIL_AT");
    if (!state || !at || !path || !strstr(path, state)) return 0;
    int number = ++counted, wanted = atoi(at);
    int now = getenv("FAIL_ON") ? number >= wanted : number == wanted;
    if (now) errno = atoi(getenv("FAIL_WITH"));
    return now;
}

static int fails_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

#define REAL(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
    if (fails_fd(fd)) return -1;
    return REAL(ssize_t, write, int, const void *, size_t)(fd, bytes, length);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    if (fails_fd(fd)) return -1;
    return REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t)(fd, bytes, length, at);
}
int fsync(int fd) { return fails_fd(fd) ? -1 : REAL(int, fsync, int)(fd); }
int fdatasync(int fd) { return fails_fd(fd) ? -1 : REAL(int, fdatasync, int)(fd); }
int ftruncate64(int fd, off64_t length) {
    return fails_fd(fd) ? -1 : REAL(int, ftruncate64, int, off64_t)(fd, length);
}
int fchmod(int fd, mode_t mode) { return fails_fd(fd) ? -1 : REAL(int, fchmod, int, mode_t)(fd, mode); }
int rename(const char *from, const char *to) {
    return fails(to) ? -1 : REAL(int, rename, const char *, const char *)(from, to);
}
int mkdir(const char *path, mode_t mode) {
    return fails(path) ? -1 : REAL(int, mkdir, const char *, mode_t)(path, mode);
}
int unlink(const char *path) { return fails(path) ? -1 : REAL(int, unlink, const char *)(path); }
int symlink(const char *target, const char *path) {
    return fails(path) ? -1 : REAL(int, symlink, const char *, const char *)(target, path);
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    return fails(to) ? -1 : REAL(int, linkat, int, const char *, int, const char *, int)(a, from, b, to, flags);
}
"#;

/// A release with one file of two chunks and two small ones.
fn release() -> (ReleaseDocument, Vec<Vec<u8>>) {
    let chunk = usize::try_from(wire::release::CHUNK_BYTES).unwrap();
    let contents = [
        ("model.onnx", vec![7; chunk + 9]),
        ("model.toml", b"t".to_vec()),
        ("golden/a/x.npy", b"g".to_vec()),
    ];
    let files = contents.iter().map(|(path, bytes)| ReleaseFile {
        path: (*path).to_owned(),
        length: u64::try_from(bytes.len()).unwrap(),
        sha256: Digest::of(bytes),
        chunks: bytes.chunks(chunk).map(Digest::of).collect(),
    });
    let document = ReleaseDocument {
        schema: SCHEMA.to_owned(),
        model: "m".to_owned(),
        version: "2.0.0".to_owned(),
        counter: 2,
        min_counter: 0,
        boards: Vec::new(),
        minimum_agent: "0.1.0".to_owned(),
        disk_bytes: 0,
        memory_bytes: 1 << 30,
        terms: Terms::default(),
        files: files.collect(),
    };
    (document, contents.into_iter().map(|(_, bytes)| bytes).collect())
}

/// Walks an install from wherever the last run stopped to its end, as the worker does.
fn install(state: &Path) -> Result<SlotRecord, Box<dyn std::error::Error>> {
    let (document, contents) = release();
    let bytes = serde_json::to_vec(&document)?;
    let digest = Digest::of(&bytes);
    let (store, blobs) = (Store::open(state)?, Blobs::open(state)?);
    let booted = boot(&store, "s")?;
    let (mut record, mut pending) = (booted.record, booted.pending);
    if pending.is_none() && record.good.is_none() {
        store.keep_document(&digest, &bytes)?;
        let release = ReleaseRef { version: document.version.clone(), counter: 2, release: digest };
        let offered = Happened::Offered(Installed { release, min_counter: 0 });
        (record, pending) = happen(&store, &record, offered)?;
    }
    while let Some(action) = pending {
        let done = match action {
            Action::Fetch => {
                for (file, bytes) in document.files.iter().zip(&contents) {
                    fetch(&blobs, file, bytes)?;
                }
                Event::Fetched
            }
            Action::Stage => {
                store.stage(&digest, &store.document(&digest)?, &blobs)?;
                Event::Staged
            }
            Action::Rehearse => Event::Rehearsed,
            Action::Try => Event::Passed,
            Action::Commit => {
                store.point("s", &digest)?;
                Event::Committed
            }
            Action::Watch => Event::Survived,
            Action::Rest => {
                store.collect(&blobs)?;
                return Ok(record);
            }
            Action::RollBack => Event::RolledBack,
            Action::Refuse => Event::Refused,
            Action::Withdraw => Event::Withdrawn,
        };
        (record, pending) = happen(&store, &record, Happened::Plain(done))?;
    }
    Ok(record)
}

fn happen(
    store: &Store,
    record: &SlotRecord,
    happened: Happened,
) -> Result<(SlotRecord, Option<Action>), Box<dyn std::error::Error>> {
    let (next, action) = record.walk(happened)?;
    store.save(&next)?;
    Ok((next, Some(action)))
}

fn fetch(blobs: &Blobs, file: &ReleaseFile, bytes: &[u8]) -> std::io::Result<()> {
    if blobs.has(file) {
        return Ok(());
    }
    let mut partial = blobs.partial(file)?;
    while partial.wants() > 0 {
        let from = usize::try_from(partial.offset()).unwrap();
        let to = from + usize::try_from(partial.wants()).unwrap();
        partial.accept(&bytes[from..to], 0)?.map_err(std::io::Error::other)?;
    }
    partial.finish(blobs)
}

/// What must hold of a state directory at any time: what is committed is whole.
fn check(state: &Path) -> SlotRecord {
    let record = Store::at(state).load("s").unwrap();
    if let Some(good) = &record.good {
        let (document, contents) = release();
        let folder = Store::at(state).folder(&good.release.release);
        for (file, bytes) in document.files.iter().zip(&contents) {
            assert!(std::fs::read(folder.join(&file.path)).unwrap() == *bytes, "{}", file.path);
        }
    }
    record
}

#[test]
fn an_install_is_walked_to_its_end_from_wherever_it_stands() {
    if let Some(state) = std::env::var_os(STATE) {
        let ended = install(Path::new(&state));
        #[expect(
            clippy::exit,
            reason = "the process that is started says by its code how it ended"
        )]
        std::process::exit(if ended.is_ok() { 0 } else { FAILED });
    }
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert_eq!(install(dir.path()).unwrap().phase, Phase::Idle);
        assert!(check(dir.path()).good.is_some());
    }
}

/// A folder in memory, where there is such a place: what is synced hundreds of times need not reach a disk here.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The library that makes the disk fail.
fn shim(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
    vedette::disk::replace(&source, SHIM.as_bytes()).unwrap();
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    assert!(made.unwrap().success());
    library
}

#[test]
fn a_disk_that_fails_at_any_operation_loses_nothing_and_needs_no_help() {
    const EIO: &str = "5";
    const ENOSPC: &str = "28";
    const EROFS: &str = "30";
    let tools = tempfile::tempdir().unwrap();
    let library = shim(tools.path());
    let run = |state: &Path, fail: Option<(u32, &str, bool)>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "an_install_is_walked_to_its_end_from_wherever_it_stands"]);
        command.env(STATE, state).env("LD_PRELOAD", &library);
        if let Some((at, with, on)) = fail {
            command.env("FAIL_AT", at.to_string()).env("FAIL_WITH", with);
            if on {
                command.env("FAIL_ON", "1");
            }
        }
        command.output().unwrap().status.code()
    };
    // One operation fails, or the disk is full or read-only from some operation on.
    for (with, on) in [(EIO, false), (ENOSPC, true), (EROFS, true)] {
        let (mut failed, mut well) = (0, 0);
        for at in 1..OPERATIONS_MAX {
            let dir = quick_folder();
            let state = dir.path().join("state");
            std::fs::create_dir(&state).unwrap();
            let ended = run(&state, Some((at, with, on)));
            check(&state);
            // Behind the last operation everything goes well; before it, what is only for people may fail.
            well = if ended == Some(0) { well + 1 } else { 0 };
            if well > 10 {
                break;
            }
            failed += u32::from(ended == Some(FAILED));
            assert!([Some(0), Some(FAILED)].contains(&ended), "{with} at {at}: {ended:?}");
            assert_eq!(run(&state, None), Some(0), "{with} at {at}: it does not recover");
            let record = check(&state);
            assert!(
                record.good.is_some() && record.phase == Phase::Idle,
                "{with} at {at}: {record:?}"
            );
        }
        assert!(failed > 30, "{with}: only {failed} operations failed");
    }
}
