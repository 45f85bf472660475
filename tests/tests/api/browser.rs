//! The device's page in a real browser: it shows what happens, does what it is asked, and can be read by everybody.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Fleet, Kind, places};

use crate::dashboards::MORE;
use crate::metrics::BOARD;
use crate::releases::rests;

const SOURCE: &str = r#"kind = "pattern", width = 640, height = 360, rate_hz = 5, format = "nv12""#;

/// A device with two pipelines, a board, and a model that takes its releases from `fleet`.
fn config(bench: &Bench, fleet: &Fleet) -> Result<String> {
    for (path, text) in BOARD.iter().chain(MORE) {
        bench.folder.write(&format!("board/{path}"), text)?;
    }
    let releases = crate::releases::config(&bench.folder, &fleet.update())?;
    let releases = releases.replace("\"door\"", "\"yard\"");
    let board = "[telemetry]\nevery_s = 1\nsysroot = \"board\"\n";
    let door = bench::pipeline("door", "shapes", SOURCE, "");
    Ok([board, &bench::shapes()?, &releases, &door].concat())
}

#[test]
fn the_device_s_page_shows_what_happens_and_everybody_can_read_it() -> Result<()> {
    // Where there is none, CI on Debian has looked.
    let Some(chromium) = places::chromium()? else { return Ok(()) };
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    fleet.release("2.0.0", Kind::Good, 2)?;
    let config = config(&bench, &fleet)?;
    let mut daemon = bench.start(&config)?;
    let port = daemon.api_port()?;
    bench.observed("yard", 5)?;
    bench.listener.say(&bench.topics.model_install(BRIGHTNESS), "now")?;
    rests(&bench, port, Some("2.0.0"))?;

    let temperature = bench.folder.join("board/sys/class/thermal/thermal_zone0/temp");
    let script = places::repository().join("tests/python/device_page.py");
    let mut python = Command::new(places::python_api()?);
    python.arg(script).arg(port.to_string()).arg(chromium).arg(temperature);
    python.args(std::env::var_os("VEDETTE_WRITE_SCREENSHOT"));
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = python.spawn().context("python")?;
    let mut said = BufReader::new(child.stdout.take().context("no output")?);
    let mut asks = |what: &str| -> Result<bool> {
        let mut line = String::new();
        Ok(said.read_line(&mut line)? > 0 && line.trim_end() == what)
    };
    if asks("stop")? {
        assert_eq!(daemon.stop()?.code, Some(0));
        if asks("start")? {
            daemon = bench.start(&config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")))?;
            daemon.api_port()?;
            child.stdin.take().context("no input")?.write_all(b"it runs\n")?;
        }
    }
    let well = asks("all well")?;
    let ended = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success() && well, "{error}\n{}", daemon.log());
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
