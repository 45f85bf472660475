//! SIGHUP: a changed model is swapped in between two frames; what cannot be taken leaves what runs.

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tests::bench;
use tests::heard::{every_frame, info, observations, unbroken};
use tests::{Bench, Daemon, PATIENCE, places};

/// A daemon with one pipeline on a copy of the detector, in the folder `model`, that has told something.
fn start(bench: &Bench) -> Result<Daemon> {
    bench.folder.copy_model(&places::model("shapes")?, "model")?;
    let config =
        bench::model("watch", "model") + &bench::pipeline("door", "watch", bench::TEN_A_SECOND, "");
    let daemon = bench.start(&config)?;
    bench.observed("door", 5)?;
    Ok(daemon)
}

/// The version that the copy has, for `edit`.
fn version(bench: &Bench) -> Result<String> {
    let text = bench.folder.read("model/model.toml")?;
    let line = text.lines().find(|line| line.starts_with("version")).context("no version")?;
    Ok(line.to_owned())
}

#[test]
fn a_changed_model_is_swapped_in_without_losing_a_frame() -> Result<()> {
    let bench = Bench::new()?;
    let mut daemon = start(&bench)?;
    for (turn, next) in ["101.0.0", "102.0.0", "103.0.0"].into_iter().enumerate() {
        let line = format!("version = \"{next}\"");
        bench.folder.edit("model/model.toml", &version(&bench)?, &line)?;
        daemon.signal(Signal::HUP)?;
        daemon.wait_log_lines("model swapped", turn + 1, PATIENCE)?;
        let topics = &bench.topics;
        bench.listener.wait("five frames of the new model", PATIENCE, |messages| {
            let seen = observations(messages, topics, "door").ok()?;
            (seen.iter().filter(|one| one.model.version == next).count() >= 5).then_some(())
        })?;
    }
    assert_eq!(daemon.stop()?.code, Some(0));

    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    unbroken(&seen)?;
    every_frame(&seen)?;
    let mut versions: Vec<&str> = seen.iter().map(|one| &*one.model.version).collect();
    versions.dedup();
    assert_eq!(versions[1..], ["101.0.0", "102.0.0", "103.0.0"]);
    let told = info(&heard, &bench.topics)?.context("no info")?;
    assert_eq!(told.engines[0].version, "103.0.0");
    Ok(())
}

/// So many that the first is open, or swapped, long before the last.
const MANY: usize = 12;

/// Starts a daemon with as many models, all the folder `model`, each with a pipeline `doorN`.
fn start_many(bench: &Bench) -> Result<Daemon> {
    bench.folder.copy_model(&places::model("shapes")?, "model")?;
    let config: String = (0..MANY)
        .map(|n| {
            let (model, name) = (format!("m{n}"), format!("door{n}"));
            bench::model(&model, "model") + &bench::pipeline(&name, &model, bench::TEN_A_SECOND, "")
        })
        .collect();
    Daemon::start(&bench.folder, &(bench.head() + &config))
}

#[test]
fn a_daemon_that_is_told_while_it_starts_reads_again_once_it_runs() -> Result<()> {
    let bench = Bench::new()?;
    let mut daemon = start_many(&bench)?;
    daemon.wait_log("model opened", PATIENCE)?;
    bench.folder.edit("model/model.toml", &version(&bench)?, "version = \"101.0.0\"")?;
    daemon.signal(Signal::HUP)?;

    daemon.wait_log("model swapped", PATIENCE)?;
    let log = daemon.log();
    let runs = log.find(bench::RUNNING).context("it never ran")?;
    assert!(Some(runs) < log.find("model swapped"), "{log}");
    bench.listener.wait("a frame of the new model", PATIENCE, |messages| {
        let seen = observations(messages, &bench.topics, "door0").ok()?;
        seen.iter().any(|one| one.model.version == "101.0.0").then_some(())
    })?;
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn told_to_stop_while_models_are_swapped_it_ends_well() -> Result<()> {
    let bench = Bench::new()?;
    let mut daemon = start_many(&bench)?;
    daemon.wait_log(bench::RUNNING, PATIENCE)?;
    bench.folder.edit("model/model.toml", &version(&bench)?, "version = \"101.0.0\"")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_log("model swapped", PATIENCE)?;
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door0")?;
    unbroken(&seen)
}

#[test]
fn what_cannot_be_taken_is_named_and_what_runs_goes_on() -> Result<()> {
    let bench = Bench::new()?;
    let mut daemon = start(&bench)?;
    let good = bench.folder.read("vedette.toml")?;

    bench.folder.write("vedette.toml", good.replacen("device", "devise", 1))?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_log("not reloaded: the configuration is refused", PATIENCE)?;
    assert!(daemon.log().contains("did you mean `device`?"), "{}", daemon.log());

    bench.folder.write("vedette.toml", good.replacen("rate_hz = 10", "rate_hz = 11", 1))?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_log("takes effect at the next start", PATIENCE)?;

    bench.folder.write("vedette.toml", &good)?;
    let graph = std::fs::read(bench.folder.join("model/model.onnx"))?;
    bench.folder.write("model/model.onnx", &graph[..graph.len() / 2])?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_log_lines("not reloaded: the configuration is refused", 2, PATIENCE)?;

    bench.folder.write("model/model.onnx", &graph)?;
    let four = r#"["circle", "square", "triangle", "star"]"#;
    bench.folder.edit("model/model.toml", four, r#"["circle", "square"]"#)?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_log("the changed model is not taken", PATIENCE)?;

    let so_far = bench.observed("door", 1)?.len();
    bench.observed("door", so_far + 5)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    unbroken(&seen)?;
    every_frame(&seen)?;
    assert!(seen.iter().all(|one| one.model == seen[0].model));
    Ok(())
}
