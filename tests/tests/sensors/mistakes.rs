//! What cannot be is said when the configuration is read.

use anyhow::{Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Daemon, onnx, places};

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
