//! The HTTP API of a real daemon: asked by hand, by promtool and by other people's clients.

mod browser;
mod dashboards;
mod limits;
mod metrics;
mod oip;
mod openapi;
mod page;
mod predict;
mod releases;
mod status;
mod triton;

use anyhow::Result;
use tests::bench::{self, BRIGHTNESS};
use tests::{Daemon, Folder, onnx};

/// The part of a configuration that is an API on any free port; `more` are further settings of it.
fn api(more: &str) -> String {
    format!("[api]\nlisten = \"127.0.0.1:0\"\n{more}\n")
}

/// A daemon with the small model, one pipeline `door` on it, and an API.
fn daemon(folder: &Folder, more: &str) -> Result<(Daemon, u16)> {
    let model = bench::brightness(folder, BRIGHTNESS, &onnx::brightness(13))?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let daemon = Daemon::start(folder, &[bench::head(), api(more), model, door].concat())?;
    let port = daemon.api_port()?;
    Ok((daemon, port))
}
