//! What cannot be is said when the configuration is read.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tests::bench::{self, BRIGHTNESS};
use tests::heard::exactly;
use tests::{Bench, Daemon, Fleet, PATIENCE, onnx, places};
use wire::ModelState;

fn refused(bench: &Bench, config: &str, said: &str) -> Result<()> {
    let ended = Daemon::run(&bench.folder, &(bench.head() + config))?;
    ensure!(ended.code == Some(78) && ended.log.contains(said), "`{said}` is not in {ended:?}");
    Ok(())
}

#[test]
fn a_source_and_a_model_that_do_not_fit_are_a_mistake() -> Result<()> {
    let bench = Bench::new()?;
    let brightness = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let vibration = bench::model("vibration", &places::model("vibration")?.display().to_string());
    let csv = "kind = \"csv\", path = \"a.csv\"";
    let zone = "[[pipeline.zones]]\nname = \"z\"\npoints = [[0, 0], [1, 0], [1, 1]]\n";
    let dark = "[[pipeline.events]]\nname = \"e\"\nkind = \"dark\"\n";
    let clip = "[[pipeline.events]]\nname = \"e\"\nkind = \"anomaly\"\nclip_pictures = 2\n";
    for (model, source, more, said) in [
        (
            BRIGHTNESS,
            csv.to_owned(),
            "",
            "`csv`: gives samples, and the model has no [window] in its model.toml",
        ),
        (
            "vibration",
            bench::TEN_A_SECOND.to_owned(),
            "",
            "`pattern`: gives pictures, and the model wants windows",
        ),
        (
            "vibration",
            format!("{csv}, columns = [\"x\", \"y\"]"),
            "",
            "no column `z`: `columns` has `x`, `y`",
        ),
        ("vibration", csv.to_owned(), zone, "looks at pictures, and the source gives samples"),
        ("vibration", csv.to_owned(), dark, "`dark` looks at pictures"),
        ("vibration", csv.to_owned(), clip, "has a clip, which is of pictures"),
        ("vibration", format!("{csv}, pace = \"recorded\""), "", "`recorded` needs `time`"),
        (
            "vibration",
            "kind = \"iio\", device = \"d\", rate_hz = 1000".to_owned(),
            "",
            "set `mode = \"buffered\"`",
        ),
        (
            "vibration",
            "kind = \"serial\", device = \"d\", rate_hz = 1000, baud = 9600".to_owned(),
            "",
            "9600 baud do not carry",
        ),
    ] {
        let pipeline = bench::pipeline("pump", model, &source, more);
        refused(&bench, &format!("{brightness}{vibration}{pipeline}"), said)?;
    }
    Ok(())
}

/// A recording that is read again and again.
const RECORDING: &str = "kind = \"csv\", path = \"a.csv\", loop = true, pace = \"real-time\"";

/// Starts a daemon that reads windows of a copy of the vibration model, in the folder `model`.
fn pump(bench: &Bench, more: &str) -> Result<Daemon> {
    bench.folder.copy_model(&places::model("vibration")?, "model")?;
    bench.folder.write("a.csv", "x,y,z\n".to_owned() + &"0.1,0.2,0.3\n".repeat(2000))?;
    let daemon =
        bench.start(&(more.to_owned() + &bench::pipeline("pump", "vibration", RECORDING, "")))?;
    bench.observed("pump", 3)?;
    Ok(daemon)
}

/// Windows flow on, of the version that there was.
fn goes_on(bench: &Bench, mut daemon: Daemon) -> Result<()> {
    let so_far = bench.observed("pump", 1)?.len();
    bench.observed("pump", so_far + 3)?;
    ensure!(daemon.stop()?.code == Some(0));
    let heard = bench.goodbye()?;
    let seen = tests::heard::observations(&heard, &bench.topics, "pump")?;
    ensure!(seen.iter().all(|one| one.model == seen[0].model), "another model spoke");
    Ok(())
}

#[test]
fn a_changed_model_that_wants_other_windows_is_not_taken_and_the_old_one_goes_on() -> Result<()> {
    let bench = Bench::new()?;
    let daemon = pump(&bench, &bench::model("vibration", "model"))?;
    bench.folder.edit("model/model.toml", "hop = 128", "hop = 64")?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_log("its sources give what they gave; restart", PATIENCE)?;
    let log = daemon.log();
    ensure!(log.contains("every 128 at 1000 Hz") && log.contains("every 64 at 1000 Hz"), "{log}");
    goes_on(&bench, daemon)
}

#[test]
fn a_release_that_wants_other_windows_is_refused_and_the_old_one_goes_on() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let own = bench::model("vibration", "model") + "release = \"vibration\"\n";
    let daemon = pump(&bench, &(fleet.update() + &own))?;
    let vibration = places::model("vibration")?;
    fleet.folder().copy_model(&vibration, "other")?;
    for file in ["window.npy", "reconstruction.npy"] {
        let sample = std::fs::read(vibration.join("golden/healthy").join(file))?;
        fleet.folder().write(&format!("other/golden/healthy/{file}"), sample)?;
    }
    fleet.folder().edit("other/model.toml", "hop = 128", "hop = 64")?;
    fleet.folder().edit("other/model.toml", "version = \"1.0.0\"", "version = \"2.0.0\"")?;
    fleet.publish("other", "vibration", "2.0.0", &[])?;
    bench.listener.say(&bench.topics.model_install("vibration"), "now")?;
    let topic = bench.topics.model_state("vibration");
    let reason = bench.listener.wait("the refusal", PATIENCE * 2, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        exactly::<ModelState<'_>>(&last.body).ok()?.refused.map(|refused| refused.reason)
    })?;
    ensure!(reason.contains("every 64 at 1000 Hz"), "{reason}");
    ensure!(reason.contains("every 128 at 1000 Hz"), "{reason}");
    goes_on(&bench, daemon)
}
