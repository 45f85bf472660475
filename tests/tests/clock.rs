//! A device whose clock is wrong: it takes no release that it could be fooled with, is not locked out once the clock
//! is right, and its pipeline runs in any case.
//!
//! The wrong clock is the C library's answered by a small library that is preloaded into the real daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use tests::bench::{self, BRIGHTNESS};
use tests::heard::exactly;
use tests::{Bench, Daemon, Fleet, Kind, Launch, PATIENCE, Stdout, onnx};
use wire::{ModelState, Phase};

const WRONG: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t which, struct timespec *now) {
    int status = ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(which, now);
    const char *offset = getenv("CLOCK_OFFSET_S");
    if (!status && which == CLOCK_REALTIME && offset) now->tv_sec += atol(offset);
    return status;
}
"#;

const DAY_S: i64 = 86_400;

fn wrong_clock(bench: &Bench) -> Result<PathBuf> {
    let (source, library) = (bench.folder.write("wrong.c", WRONG)?, bench.folder.join("wrong.so"));
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status()?;
    ensure!(made.success(), "cc");
    Ok(library)
}

/// Starts the daemon with a clock that is off by so many seconds, and waits until it observes.
fn start(bench: &Bench, config: &str, clock: &Path, offset_s: i64) -> Result<Daemon> {
    bench.listener.take();
    let launch = Daemon::prepare(&bench.folder, &(bench.head() + config))?;
    let launch = launch.env("LD_PRELOAD", clock).env("CLOCK_OFFSET_S", offset_s.to_string());
    let daemon = launch.start()?;
    daemon.wait_log(bench::RUNNING, PATIENCE)?;
    bench.observed("door", 2)?;
    Ok(daemon)
}

/// What `vedette update check` comes to: its exit code and what it says.
fn look(bench: &Bench) -> Result<(Option<i32>, String)> {
    let args = ["update", "check", "--config", "vedette.toml"];
    let mut command = Launch::test(&bench.folder, &args)?.stdout(Stdout::Pipe).start()?;
    let mut said = String::new();
    let mut stdout = command.take_stdout().context("no output")?;
    std::io::Read::read_to_string(&mut stdout, &mut said)?;
    let ended = command.wait_exit(PATIENCE)?;
    Ok((ended.code, said + &ended.log))
}

fn installed(bench: &Bench, version: &str) -> Result<()> {
    let topic = bench.topics.model_state(BRIGHTNESS);
    bench.listener.wait(version, PATIENCE * 2, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        let state: ModelState<'_> = exactly(&last.body).ok()?;
        let there = state.installed.is_some_and(|one| one.version == version);
        (there && state.phase == Phase::Idle).then_some(())
    })
}

#[test]
fn a_device_with_a_wrong_clock_runs_on_and_takes_releases_once_it_is_right() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 1)?;
    tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    let pipeline = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let config = fleet.update() + &model + &pipeline;
    let clock = wrong_clock(&bench)?;
    let in_1970 = 60 - Timestamp::now().as_second();

    // 400 days ahead everything has expired: said, not taken, and the pipeline does not stop for it.
    let mut daemon = start(&bench, &config, &clock, 400 * DAY_S)?;
    let (code, said) = look(&bench)?;
    ensure!(code == Some(1) && said.contains("expired: "), "{code:?} {said}");
    let so_far = bench.observed("door", 1)?.len();
    bench.observed("door", so_far + 3)?;
    assert_eq!(daemon.stop()?.code, Some(0));

    // The right time after it: nothing of the wrong one was kept.
    let mut daemon = start(&bench, &config, &clock, 0)?;
    let (code, said) = look(&bench)?;
    ensure!(code == Some(0), "{code:?} {said}");
    installed(&bench, "2.0.0")?;
    assert_eq!(daemon.stop()?.code, Some(0));

    // Back in time, the device still knows what it had, and takes what is newer.
    for (offset_s, version) in [(in_1970, "3.0.0"), (-30 * DAY_S, "4.0.0")] {
        fleet.release(version, Kind::Good, 1)?;
        let mut daemon = start(&bench, &config, &clock, offset_s)?;
        let (code, said) = look(&bench)?;
        ensure!(code == Some(0), "{offset_s}: {code:?} {said}");
        installed(&bench, version)?;
        assert_eq!(daemon.stop()?.code, Some(0));
    }
    Ok(())
}
