//! How a daemon ends, and how it begins again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tests::bench::{self, BRIGHTNESS};
use tests::heard::{observations, unbroken};
use tests::{Bench, Daemon, PATIENCE, Stdout, onnx};
use wire::StatusWord;

/// What ending may take, from the signal to the last byte, and what a loaded machine adds.
const DRAIN: Duration = Duration::from_secs(5);
/// What "at once" may take on a loaded machine; well below [`DRAIN`].
const AT_ONCE: Duration = Duration::from_secs(2);

/// A configuration of the small model with one pipeline at `rate_hz`.
fn brightness(bench: &Bench, rate_hz: u32, more: &str) -> Result<String> {
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let source = format!(r#"kind = "pattern", width = 64, height = 64, rate_hz = {rate_hz}"#);
    Ok(model + &bench::pipeline("door", BRIGHTNESS, &source, more))
}

/// How many frames the daemon says it inferred.
fn inferred(log: &str) -> Option<usize> {
    let last = log.lines().rev().find(|line| line.contains("figures"))?;
    last.split_whitespace().find_map(|word| word.strip_prefix("inferred=")?.parse().ok())
}

#[test]
fn sigterm_while_inferring_lets_everything_arrive_and_exits_0_within_five_seconds() -> Result<()> {
    let bench = Bench::new()?;
    // Faster than the model: there is a frame in every place when the signal comes.
    let source = r#"kind = "pattern", width = 320, height = 240, rate_hz = 200"#;
    let config = bench::shapes()? + &bench::pipeline("door", "shapes", source, "");
    let mut daemon = bench.start(&config)?;
    bench.observed("door", 20)?;
    let began = Instant::now();
    daemon.signal(Signal::TERM)?;
    let ended = daemon.wait_exit(DRAIN)?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(began.elapsed() < DRAIN);

    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    unbroken(&seen)?;
    assert_eq!(Some(seen.len()), inferred(&ended.log), "{}", ended.log);
    Ok(())
}

/// A daemon whose console nobody reads, once that is full.
fn stuck(bench: &Bench) -> Result<Daemon> {
    let more = "sinks = [\"mqtt\", \"out\"]";
    let out = "[sinks.out]\nkind = \"console\"\nformat = \"json\"\n";
    let config = bench.head() + out + &brightness(bench, 200, more)?;
    let daemon = Daemon::prepare(&bench.folder, &config)?.stdout(Stdout::Pipe).start()?;
    // The pipe holds ten of these at most.
    bench.observed("door", 50)?;
    Ok(daemon)
}

#[test]
fn a_sink_that_does_not_end_is_waited_for_no_longer_than_five_seconds() -> Result<()> {
    let bench = Bench::new()?;
    let mut daemon = stuck(&bench)?;
    daemon.signal(Signal::TERM)?;
    let ended = daemon.wait_exit(DRAIN + AT_ONCE)?;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(ended.log.contains("a sink did not end within 5 s"), "{}", ended.log);
    Ok(())
}

#[test]
fn a_second_sigterm_leaves_at_once_with_1() -> Result<()> {
    let bench = Bench::new()?;
    let mut daemon = stuck(&bench)?;
    daemon.signal(Signal::TERM)?;
    daemon.wait_log("told to stop", PATIENCE)?;
    let began = Instant::now();
    daemon.signal(Signal::TERM)?;
    let ended = daemon.wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    assert!(ended.log.contains("leaving at once"), "{}", ended.log);
    Ok(())
}

#[test]
fn after_a_kill_the_broker_says_offline_and_a_new_start_begins_anew() -> Result<()> {
    let bench = Bench::new()?;
    let config = brightness(&bench, 10, "")?;
    let mut killed = bench.start(&config)?;
    let first = bench.observed("door", 3)?;
    bench.listener.wait_status(&bench.topics, StatusWord::Online, PATIENCE)?;
    killed.signal(Signal::KILL)?;
    assert_eq!(killed.wait_exit(PATIENCE)?.signal, Some(9));
    // Said by nobody but the broker.
    bench.goodbye()?;

    bench.listener.take();
    let mut daemon = bench.start(&config)?;
    bench.listener.wait_status(&bench.topics, StatusWord::Online, PATIENCE)?;
    let second = bench.observed("door", 3)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    let (first, second) = (
        observations(&first, &bench.topics, "door")?,
        observations(&second, &bench.topics, "door")?,
    );
    unbroken(&second)?;
    assert_ne!(first[0].envelope.boot_id, second[0].envelope.boot_id);
    Ok(())
}

#[test]
fn a_second_daemon_on_one_state_directory_is_refused_and_the_first_goes_on() -> Result<()> {
    let bench = Bench::new()?;
    let config = brightness(&bench, 10, "")?;
    let mut first = bench.start(&config)?;
    bench.observed("door", 1)?;
    let refused = Daemon::run(&bench.folder, &(bench.head() + &config))?;
    assert_eq!(refused.code, Some(73), "{}", refused.log);
    let said = refused.log.lines().last().context("it said nothing")?;
    assert!(said.starts_with("vedette: ") && said.contains("state"), "{said}");

    let so_far = bench.observed("door", 1)?.len();
    bench.observed("door", so_far + 5)?;
    assert_eq!(first.stop()?.code, Some(0));
    let heard = bench.goodbye()?;
    unbroken(&observations(&heard, &bench.topics, "door")?)
}

#[test]
fn a_state_directory_that_cannot_be_one_ends_with_73() -> Result<()> {
    let bench = Bench::new()?;
    let config = bench.head() + &brightness(&bench, 10, "")?;
    bench.folder.write("state", "a file")?;
    let refused = Daemon::run(&bench.folder, &config)?;
    assert_eq!(refused.code, Some(73), "{}", refused.log);
    assert!(refused.log.starts_with("vedette: "), "{}", refused.log);
    Ok(())
}
