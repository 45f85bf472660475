//! A model whose run fails: counted, and opened again after ten in a row, while the other pipelines go on.

use anyhow::{Context as _, Result};
use tests::bench;
use tests::heard::{every_frame, observations, unbroken};
use tests::{Bench, onnx, picture};
use wire::Observation;

/// Pictures in a round: so many dark ones, which the model can do, and then so many bright ones.
const DARK: usize = 4;
const BRIGHT: usize = 12;

/// How bright the model says the picture was.
fn brightness(one: &Observation<'_>) -> Option<f32> {
    one.raw.first()?.data.first().copied().flatten()
}

#[test]
fn an_engine_that_fails_ten_times_in_a_row_is_opened_again_while_another_goes_on() -> Result<()> {
    let bench = Bench::new()?;
    for n in 0..DARK + BRIGHT {
        let grey = if n < DARK { 51 } else { 204 };
        bench.folder.write(&format!("pictures/{n:02}.png"), picture::png(16, 16, grey))?;
    }
    let picky = bench::brightness(&bench.folder, "picky", &onnx::fails_on_bright_pictures())?;
    let calm = bench::brightness(&bench.folder, "calm", &onnx::brightness(13))?;
    let album = r#"kind = "replay", path = "pictures", loop = true, rate_hz = 20"#;
    let config = picky
        + &calm
        + &bench::pipeline("album", "picky", album, "")
        + &bench::pipeline("door", "calm", bench::TEN_A_SECOND, "");
    let mut daemon = bench.start(&config)?;
    // The dark ones of the first round; then ten failures, a pause of a second, and a later round.
    let seen = bench.observed("album", DARK + 1)?;
    let so_far = bench.observed("door", 1)?.len();
    bench.observed("door", so_far + 5)?;
    let ended = daemon.stop()?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("failed 10 times in a row"), "{}", ended.log);
    let opened = ended.log.lines().filter(|line| line.contains("model opened"));
    assert!(opened.count() >= 3, "it was not opened again: {}", ended.log);
    assert!(!ended.log.contains("panicked"), "{}", ended.log);

    for one in &observations(&seen, &bench.topics, "album")? {
        let bright = brightness(one).context("no value")?;
        assert!((bright - 0.2).abs() < 1e-3, "frame {} is {bright} bright", one.frame.seq);
    }
    let heard = bench.goodbye()?;
    unbroken(&observations(&heard, &bench.topics, "album")?)?;
    let other = observations(&heard, &bench.topics, "door")?;
    unbroken(&other)?;
    every_frame(&other)
}
