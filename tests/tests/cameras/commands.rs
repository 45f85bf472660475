//! What a person does at the device: look which cameras are there, take a picture, record.

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::video::Video;
use tests::{Folder, Launch, PATIENCE, Stdout};

/// Runs `vedette` with `args` and returns its standard output.
fn run(folder: &Folder, video: &Video, args: &[&str]) -> Result<String> {
    let launch = video.shown_to(Launch::test(folder, args)?).stdout(Stdout::Pipe);
    let mut command = launch.start()?;
    let mut out = command.take_stdout();
    let mut text = String::new();
    if let Some(out) = &mut out {
        std::io::Read::read_to_string(out, &mut text)?;
    }
    let ended = command.wait_exit(PATIENCE)?;
    ensure!(ended.code == Some(0), "{args:?}: {ended:?}");
    Ok(text)
}

#[test]
fn a_camera_is_listed_with_all_that_a_configuration_may_ask_of_it() -> Result<()> {
    let (folder, video) = (Folder::new()?, Video::new()?);
    let path = video.path().display().to_string();
    let table = run(&folder, &video, &["cameras", "--device", &path])?;
    for wanted in [
        "Stand-in Camera (standin, usb-standin-1)",
        "yuyv 640x480 at 10 Hz",
        "mjpeg 320x240 at 30 Hz",
        "brightness = 0 to 255 by 1 (default 128)",
        "auto_exposure = \"Manual Mode\", \"Aperture Priority Mode\" (default \"Aperture Priority Mode\")",
    ] {
        ensure!(table.contains(wanted), "no {wanted} in {table}");
    }
    let json = run(&folder, &video, &["cameras", "--json", "--device", &path])?;
    let json: Value = serde_json::from_str(&json)?;
    let camera = &json["cameras"][0];
    ensure!(camera["formats"][1]["sizes"][0]["rates_hz"][0] == 30.0, "{json:#}");
    ensure!(camera["controls"][2]["name"] == "exposure_time_absolute", "{json:#}");
    Ok(())
}

#[test]
fn a_preview_is_a_picture_of_the_largest_size() -> Result<()> {
    let (folder, video) = (Folder::new()?, Video::new()?);
    let path = video.path().display().to_string();
    let said = run(&folder, &video, &["cameras", "--device", &path, "--preview", "seen.png"])?;
    ensure!(said.contains("640 x 480"), "{said}");
    let bytes = std::fs::read(folder.join("seen.png"))?;
    ensure!(bytes.starts_with(b"\x89PNG"), "no PNG");
    Ok(())
}

#[test]
fn what_was_recorded_is_replayed_at_its_times() -> Result<()> {
    let (folder, video) = (Folder::new()?, Video::new()?);
    let source = "kind = \"pattern\", width = 64, height = 48, rate_hz = 10";
    let record = ["record", "--source", source, "--frames", "5", "--out", "tape"];
    let said = run(&folder, &video, &record)?;
    ensure!(said.contains("5 frames") && said.contains("as many as wanted"), "{said}");
    let times = folder.read("tape/times.csv")?;
    ensure!(times.lines().count() == 6, "{times}");
    // Recorded again from the recording: the same times, but for what a busy machine adds.
    let again = "kind = \"replay\", path = \"tape\", pace = \"recorded\"";
    let record = ["record", "--source", again, "--seconds", "20", "--out", "copy"];
    let said = run(&folder, &video, &record)?;
    ensure!(said.contains("5 frames") && said.contains("the source ended"), "{said}");
    let stamps = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.rsplit_once(',')?.1.to_owned())).collect()
    };
    ensure!(stamps(&folder.read("tape/times.csv")?) == stamps(&folder.read("copy/times.csv")?));
    let first = std::fs::read(folder.join("tape/000000.png"))?;
    ensure!(first == std::fs::read(folder.join("copy/000000.png"))?, "not the same picture");
    Ok(())
}
