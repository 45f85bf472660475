//! Sources and sinks that do not work, or not yet: tried again, for ever, while everything else goes on.

use anyhow::Result;
use tests::bench::{self, BRIGHTNESS};
use tests::heard::{every_frame, observations, unbroken};
use tests::{Bench, Daemon, PATIENCE, onnx, picture};

/// A source that shows the folder `pictures` again and again.
const ALBUM: &str = r#"kind = "replay", path = "pictures", rate_hz = 20, loop = true"#;

/// A daemon with the pipeline `door`, which works, and `more`.
fn start(bench: &Bench, more: &str) -> Result<Daemon> {
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    bench.start(&(model + &door + more))
}

/// The pipeline `door` goes on, and the daemon ends as it should.
fn goes_on(bench: &Bench, mut daemon: Daemon) -> Result<()> {
    let so_far = bench.observed("door", 1)?.len();
    bench.observed("door", so_far + 5)?;
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    let heard = bench.goodbye()?;
    let seen = observations(&heard, &bench.topics, "door")?;
    unbroken(&seen)?;
    every_frame(&seen)
}

#[test]
fn pictures_that_come_later_are_found() -> Result<()> {
    let bench = Bench::new()?;
    let daemon = start(&bench, &bench::pipeline("album", BRIGHTNESS, ALBUM, ""))?;
    daemon.wait_log("No such file", PATIENCE)?;
    // One name is enough: the folder is looked at as it is when it is opened.
    bench.folder.write("pictures/one.png", picture::png(16, 16, 51))?;
    bench.observed("album", 3)?;
    goes_on(&bench, daemon)
}

#[test]
fn a_folder_without_one_good_picture_is_named_and_disturbs_nobody() -> Result<()> {
    let bench = Bench::new()?;
    bench.folder.write("pictures/cmyk.jpg", picture::jpeg(16, 16, 4))?;
    bench.folder.write("pictures/empty.png", "")?;
    let daemon = start(&bench, &bench::pipeline("album", BRIGHTNESS, ALBUM, ""))?;
    daemon.wait_log("none of its 2 pictures can be used", PATIENCE)?;
    goes_on(&bench, daemon)
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_disturbs_nobody() -> Result<()> {
    let bench = Bench::new()?;
    bench.folder.write("seen.jsonl/a-file", "so that this is a directory")?;
    let file = "[sinks.file]\nkind = \"jsonl\"\npath = \"seen.jsonl\"\n";
    let yard =
        bench::pipeline("yard", BRIGHTNESS, bench::TEN_A_SECOND, "sinks = [\"file\", \"mqtt\"]");
    let daemon = start(&bench, &(file.to_owned() + &yard))?;
    daemon.wait_log("seen.jsonl", PATIENCE)?;
    bench.observed("yard", 5)?;
    goes_on(&bench, daemon)
}
