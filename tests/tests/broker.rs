//! A broker that is not there, that refuses, that goes and comes back: the daemon infers and tries on.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tests::bench::{self, BRIGHTNESS, RUNNING};
use tests::heard::{every_frame, info, observation, observations, statuses, unbroken};
use tests::{Bench, Broker, Daemon, Folder, Listener, Login, PATIENCE, onnx};
use wire::{Observation, StatusWord};

/// What ending may take, from the signal to the last byte.
const DRAIN: Duration = Duration::from_secs(5);
/// What the log says once an outage.
const NO_BROKER: &str = "no broker";

fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

/// A configuration with `mqtt` as its `[mqtt]`, the small model, and one pipeline into the broker and a file.
fn config(folder: &Folder, mqtt: &str) -> Result<String> {
    let model = bench::brightness(folder, BRIGHTNESS, &onnx::brightness(13))?;
    let file = "[sinks.file]\nkind = \"jsonl\"\npath = \"seen.jsonl\"\n";
    let door =
        bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "sinks = [\"mqtt\", \"file\"]");
    Ok(bench::head() + "[mqtt]\n" + mqtt + "\n" + &model + file + &door)
}

/// Reads one packet: its kind, its length in groups of seven bits, and so many bytes.
fn take_hello(caller: &mut TcpStream) -> Result<()> {
    let (mut byte, mut length, mut shift) = ([0], 0_u64, 0);
    caller.read_exact(&mut byte)?;
    loop {
        caller.read_exact(&mut byte)?;
        length |= u64::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
    }
    std::io::copy(&mut caller.take(length), &mut std::io::sink())?;
    Ok(())
}

#[test]
fn without_a_broker_frames_are_inferred_and_the_log_says_so_once() -> Result<()> {
    let folder = Folder::new()?;
    // Takes a call and hangs up, so that the attempts can be counted.
    let rude = TcpListener::bind(("127.0.0.1", 0))?;
    let mqtt = format!("url = \"mqtt://127.0.0.1:{}\"", rude.local_addr()?.port());
    let mut daemon = Daemon::start(&folder, &config(&folder, &mqtt)?)?;
    for _ in 0..3 {
        let (mut caller, _) = rude.accept()?;
        // All of its hello is taken: otherwise the system says by chance that the connection was reset.
        take_hello(&mut caller)?;
    }
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(count(&ended.log, NO_BROKER), 1, "{}", ended.log);
    let text = folder.read("seen.jsonl")?;
    let seen: Vec<Observation<'_>> =
        text.lines().map(|line| observation(line.as_bytes())).collect::<Result<_>>()?;
    // Two pauses of half a second at least are ten frames.
    assert!(seen.len() >= 10, "{} frames in the file", seen.len());
    unbroken(&seen)
}

#[test]
fn where_nothing_listens_the_log_says_what_to_look_at() -> Result<()> {
    let folder = Folder::new()?;
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let mqtt = format!("url = \"mqtt://127.0.0.1:{port}\"");
    let mut daemon = Daemon::start(&folder, &config(&folder, &mqtt)?)?;
    daemon.wait_log("is the broker running, and the port right?", PATIENCE)?;
    daemon.wait_log(RUNNING, PATIENCE)?;
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains(&format!("127.0.0.1:{port}")), "{}", ended.log);
    Ok(())
}

#[test]
fn a_wrong_password_is_named_as_such_and_the_right_one_gets_in() -> Result<()> {
    let login = Login { user: "camera".to_owned(), password: "a b'c".to_owned() };
    let broker = Broker::with(Some(&login), false)?;
    let listener = Listener::start(broker.port(), Some(&login))?;
    let folder = Folder::new()?;
    let mqtt =
        format!("url = \"{}\"\nusername = \"camera\"\npassword_file = \"password\"", broker.url());
    let config = config(&folder, &mqtt)?;

    folder.write("password", "wrong\n")?;
    let mut refused = Daemon::start(&folder, &config)?;
    refused.wait_log("the broker refuses the login", PATIENCE)?;
    refused.wait_log(RUNNING, PATIENCE)?;
    let ended = refused.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for secret in ["wrong", &login.password] {
        assert!(!ended.log.contains(secret), "the log tells a password: {}", ended.log);
    }

    folder.write("password", format!("{}\n", login.password))?;
    let mut daemon = Daemon::start(&folder, &config)?;
    let topics = bench::topics()?;
    listener.wait_status(&topics, StatusWord::Online, PATIENCE)?;
    listener.wait_count(&topics.observation("door"), 3, PATIENCE)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_broker_that_comes_back_is_told_everything_that_matters_again() -> Result<()> {
    let mut bench = Bench::new()?;
    let mqtt = format!("url = \"{}\"", bench.broker.url());
    let mut daemon = Daemon::start(&bench.folder, &config(&bench.folder, &mqtt)?)?;
    let before = bench.observed("door", 3)?;
    bench.broker.stop()?;
    daemon.wait_log(NO_BROKER, PATIENCE)?;
    // It kept nothing: what is heard now was said again.
    bench.broker.restart()?;
    let listener = Listener::start(bench.broker.port(), None)?;
    daemon.wait_log_lines("connected to the broker", 2, PATIENCE)?;
    let topics = &bench.topics;
    listener.wait_status(topics, StatusWord::Online, PATIENCE)?;
    let after = listener.wait_count(&topics.observation("door"), 10, PATIENCE)?;
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(count(&ended.log, NO_BROKER), 1, "{}", ended.log);

    listener.wait_status(topics, StatusWord::Offline, PATIENCE)?;
    let heard = listener.heard();
    let told = info(&heard, topics)?.context("no info after the return")?;
    let (before, after) =
        (observations(&before, topics, "door")?, observations(&after, topics, "door")?);
    assert_eq!(told.envelope.boot_id, before[0].envelope.boot_id, "it is the same run");
    assert_eq!(statuses(&heard, topics)?.last(), Some(&StatusWord::Offline));
    // What was seen while the broker was away waited for it, in order.
    every_frame(&after)
}

#[test]
fn a_broker_that_hangs_does_not_keep_the_daemon_from_ending() -> Result<()> {
    let bench = Bench::new()?;
    let mqtt = format!("url = \"{}\"", bench.broker.url());
    let mut daemon = Daemon::start(&bench.folder, &config(&bench.folder, &mqtt)?)?;
    daemon.wait_log(RUNNING, PATIENCE)?;
    bench.observed("door", 3)?;
    bench.broker.freeze()?;
    daemon.signal(Signal::TERM)?;
    let ended = daemon.wait_exit(DRAIN)?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    Ok(())
}
