//! The device's page and what it asks for: files, pictures, streams, charts, and a roll-back that needs the token.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Daemon, Folder, PATIENCE, http, onnx};

use crate::{api, daemon};

/// Half of how long a picture is waited for.
const SOON: std::time::Duration = std::time::Duration::from_secs(5);

#[test]
fn the_page_and_all_of_its_parts_come_from_the_device_alone() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "")?;
    let page = http::get(port, "/")?;
    assert_eq!(
        (page.status, page.headers["content-type"].as_str()),
        (200, "text/html; charset=utf-8")
    );
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    for part in ["page.css", "page.js", "icon.svg"] {
        assert!(page.text().contains(part), "{part}");
        let answer = http::get(port, &format!("/{part}"))?;
        assert_eq!(answer.status, 200, "{part}");
        let elsewhere = answer.text().matches("http").count();
        // The only address is the name of SVG's elements, which nobody asks for.
        let names = answer.text().matches("http://www.w3.org/2000/svg").count();
        assert_eq!(elsewhere, names, "{part} names another server");
    }
    for path in ["/v1/slow", "/v1/history", "/v1/log", "/v1/diagnostics"] {
        assert_eq!(http::get(port, path)?.status, 200, "{path}");
    }
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_viewer_sees_pictures_that_move_and_a_missing_pipeline_is_named() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "")?;
    let missing = http::get(port, "/v1/pipelines/roof/frame.jpg")?;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.error()?, "there is no pipeline `roof`; there are: door");
    let one = http::get(port, "/v1/pipelines/door/frame.jpg")?;
    assert_eq!((one.status, one.headers["content-type"].as_str()), (200, "image/jpeg"));
    assert!(one.body.starts_with(&[0xff, 0xd8]) && one.body.ends_with(&[0xff, 0xd9]));
    let refused = http::get(port, "/v1/pipelines/door/live.mjpg?fps=99")?;
    assert_eq!((refused.status, refused.error()?.as_str()), (400, "`fps` is 99: 1 to 15"));

    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut stream = Stream::open(port)?;
    stream.next(&mut first)?;
    stream.next(&mut second)?;
    assert!(first.starts_with(&[0xff, 0xd8]) && first != second);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_fifth_viewer_is_told_to_wait_and_gets_the_place_of_one_who_left() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "")?;
    let mut viewers = (0..4).map(|_| Stream::open(port)).collect::<Result<Vec<_>>>()?;
    let fifth = http::get(port, "/v1/pipelines/door/live.mjpg")?;
    assert_eq!((fifth.status, fifth.headers["retry-after"].as_str()), (429, "1"));
    viewers.pop();
    let began = std::time::Instant::now();
    while Stream::open(port).is_err() {
        ensure!(began.elapsed() < PATIENCE, "the place is not given to another");
        std::thread::yield_now();
    }
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn a_viewer_who_leaves_a_camera_that_is_away_gives_the_place_back_at_once() -> Result<()> {
    let folder = Folder::new()?;
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let source = "kind = \"replay\", path = \"missing\", rate_hz = 10";
    let door = bench::pipeline("door", BRIGHTNESS, source, "");
    let mut daemon = Daemon::start(&folder, &[bench::head(), api(""), model, door].concat())?;
    let port = daemon.api_port()?;
    let mut viewers = (0..4).map(|_| Stream::open(port)).collect::<Result<Vec<_>>>()?;
    ensure!(Stream::open(port).is_err(), "there is no bound");
    viewers.pop();
    let began = std::time::Instant::now();
    while Stream::open(port).is_err() {
        ensure!(began.elapsed() < SOON, "the place is kept for who left");
        std::thread::yield_now();
    }
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn nobody_rolls_back_without_the_token_or_what_takes_no_releases() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("token", "s3cret\n")?;
    tests::folder::set_mode(&folder.join("token"), 0o600)?;
    let (mut daemon, port) = daemon(&folder, "token_file = \"token\"")?;
    let path = "/v1/models/door/rollback";
    let ask = |headers: &[(&str, &str)]| http::ask(port, "POST", path, headers, b"");
    assert_eq!(ask(&[])?.status, 401);
    let known = ask(&[("Authorization", "Bearer s3cret")])?;
    assert_eq!(known.status, 404);
    assert!(known.error()?.contains("no model takes releases here"), "{}", known.text());
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

/// A stream of pictures.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(port: u16) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /v1/pipelines/door/live.mjpg?fps=15 HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut this = Self(BufReader::new(stream));
        let status = this.line()?;
        ensure!(status.contains("200"), "{status}");
        while !this.line()?.is_empty() {}
        Ok(this)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.0.read_line(&mut line)? > 0, "the stream ended");
        Ok(line.trim_end().to_owned())
    }

    /// The next picture: its length is among the lines of its head.
    fn next(&mut self, picture: &mut Vec<u8>) -> Result<()> {
        loop {
            let line = self.line()?;
            if let Some(length) = line.strip_prefix("Content-Length: ") {
                self.line()?;
                picture.resize(length.parse().context("no length")?, 0);
                return Ok(self.0.read_exact(picture)?);
            }
        }
    }
}

#[test]
fn a_pipeline_of_samples_has_no_pictures_and_says_so() -> Result<()> {
    let folder = Folder::new()?;
    let vibration =
        bench::model("vibration", &tests::places::model("vibration")?.display().to_string());
    let source = "kind = \"tcp\", address = \"127.0.0.1:9\"";
    let pump = bench::pipeline("pump", "vibration", source, "");
    let daemon = Daemon::start(&folder, &[bench::head(), api(""), vibration, pump].concat())?;
    let port = daemon.api_port()?;
    let status = http::get(port, "/v1/status")?.json()?;
    assert_eq!(status["pipelines"][0]["pictures"], false, "{status}");
    for part in ["frame.jpg", "live.mjpg"] {
        let answer = http::get(port, &format!("/v1/pipelines/pump/{part}"))?;
        assert_eq!(answer.status, 404);
        ensure!(answer.text().contains("`pump` has samples, no pictures"), "{}", answer.text());
    }
    Ok(())
}
