//! Releases that are validly signed and do harm: each is refused by what it did, in a process of its own; the model
//! before speaks all the while.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::heard::{exactly, observations, unbroken};
use tests::{Bench, Daemon, Fleet, Folder, Kind, PATIENCE, onnx};
use wire::{ModelState, Phase};

/// Frames fast enough to lose one.
const SOURCE: &str =
    r#"kind = "pattern", width = 320, height = 240, rate_hz = 30, format = "nv12""#;

fn config(bench: &Bench, fleet: &Fleet) -> Result<String> {
    tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
    let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
    Ok(fleet.update() + &model + &bench::pipeline("door", BRIGHTNESS, SOURCE, ""))
}

/// Publishes `version`, and waits until it is refused: why.
fn refusal(bench: &Bench, fleet: &Fleet, version: &str, kind: Kind) -> Result<String> {
    fleet.release(version, kind, 2)?;
    bench.listener.say(&bench.topics.model_install(BRIGHTNESS), "now")?;
    let topic = bench.topics.model_state(BRIGHTNESS);
    bench.listener.wait(&format!("{version} refused"), PATIENCE * 2, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        let state: ModelState<'_> = exactly(&last.body).ok()?;
        let refusal = state.refused.filter(|one| one.release.version == version)?;
        (state.phase == Phase::Idle && state.installed.is_none()).then_some(refusal.reason)
    })
}

/// Ends the daemon: every frame was seen, by the configured model alone.
fn undisturbed(bench: &Bench, daemon: &mut Daemon) -> Result<()> {
    assert_eq!(daemon.stop()?.code, Some(0));
    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    unbroken(&seen)?;
    assert!(!seen.is_empty() && seen.iter().all(|one| one.model.version == "1.0.0"));
    Ok(())
}

#[test]
fn a_release_that_harms_its_rehearsal_is_refused_by_what_it_did() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let mut daemon = bench.start(&config(&bench, &fleet)?)?;
    for (version, kind, why) in [
        ("2.0.0", Kind::Endless, "it was not done after 2 s and was ended"),
        ("3.0.0", Kind::Greedy, "Failed to allocate memory"),
        ("4.0.0", Kind::NoNumber, "found NaN, expected 0.5"),
        (
            "5.0.0",
            Kind::Misshapen,
            "[1, 3, 32, 32] in the graph, expected `images` f32 [1, 3, 16, 16]",
        ),
    ] {
        let reason = refusal(&bench, &fleet, version, kind)?;
        assert!(reason.contains(why), "{version}: {reason}");
    }
    undisturbed(&bench, &mut daemon)
}

/// Makes ONNX Runtime, and nobody else, die of an access to what is not there when it opens the file of a model that
/// says of itself that it is deadly.
const CRASHES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void look(const char *path, const void *caller) {
    Dl_info who;
    size_t length = strlen(path);
    if (length < 5 || strcmp(path + length - 5, ".onnx")) return;
    if (!dladdr(caller, &who) || !who.dli_fname || !strstr(who.dli_fname, "onnxruntime")) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    char bytes[65536];
    size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    if (memmem(bytes, count, "makes its library crash", 23)) *(volatile int *)8 = 1;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        look(path, __builtin_return_address(0)); \
        return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
"#;

/// The library of [`CRASHES`].
fn crashing(folder: &Folder) -> Result<PathBuf> {
    assert!(CRASHES.contains(onnx::DEADLY));
    let (source, library) = (folder.write("crashes.c", CRASHES)?, folder.join("crashes.so"));
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status()?;
    ensure!(made.success(), "cc");
    Ok(library)
}

#[test]
fn a_release_that_makes_the_library_crash_is_refused_by_the_signal_and_the_daemon_lives()
-> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let config = config(&bench, &fleet)?;
    let library = crashing(&bench.folder)?;
    let launch = Daemon::prepare(&bench.folder, &(bench.head() + &config))?;
    let mut daemon = launch.env("LD_PRELOAD", library).start()?;
    daemon.wait_log(bench::RUNNING, PATIENCE)?;
    let reason = refusal(&bench, &fleet, "2.0.0", Kind::Deadly)?;
    assert!(reason.contains("it crashed with SIGSEGV"), "{reason}");
    undisturbed(&bench, &mut daemon)
}
