//! What the API does with whoever asks too much, too slowly, wrongly, or in secret.

use std::io::{ErrorKind, Read as _, Write as _};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::certificates::Authority;
use tests::{Folder, http, places};

use crate::daemon;

/// How long an answer does not come that would be there at once.
const UNANSWERED: Duration = Duration::from_millis(500);

#[test]
fn what_is_not_there_is_an_error_object_and_so_is_a_wrong_method() -> Result<()> {
    let folder = Folder::new()?;
    let (_daemon, port) = daemon(&folder, "")?;
    let answer = http::get(port, "/v1/nothing")?;
    assert_eq!((answer.status, answer.error()?.as_str()), (404, "there is no `/v1/nothing` here"));
    let answer = http::post(port, "/metrics", &[], b"")?;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.error()?, "`/metrics` does not take this method");
    assert_eq!(answer.headers.get("x-content-type-options").map(String::as_str), Some("nosniff"));
    Ok(())
}

#[test]
fn connections_over_the_bound_wait_and_are_served_when_there_is_a_place() -> Result<()> {
    let folder = Folder::new()?;
    let (_daemon, port) = daemon(&folder, "connections = 1")?;
    // It holds the only place, without a word.
    let first = http::connect(port)?;
    let mut second = http::connect(port)?;
    second.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let patience = second.read_timeout()?;
    second.set_read_timeout(Some(UNANSWERED))?;
    let early = second.read(&mut [0]).map_err(|error| error.kind());
    ensure!(matches!(early, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{early:?}");
    drop(first);
    second.set_read_timeout(patience)?;
    let mut answer = String::new();
    second.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

#[test]
fn a_request_that_takes_longer_than_it_may_is_told_so() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "timeout_s = 1")?;
    // Its body never comes.
    let mut stream = http::connect(port)?;
    stream.write_all(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let answer = http::parse(&bytes)?;
    assert_eq!(
        (answer.status, answer.error()?.as_str()),
        (408, "not done within 1 s (`api.timeout_s`)")
    );
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn what_no_route_can_read_of_an_address_is_an_error_object() -> Result<()> {
    let folder = Folder::new()?;
    let token = folder.write("token", "s3cret\n")?;
    tests::folder::set_mode(&token, 0o600)?;
    let (_daemon, port) = daemon(&folder, "token_file = \"token\"")?;
    for (method, path) in [
        ("GET", "/v1/pipelines/%FF/frame.jpg"),
        ("GET", "/v1/pipelines/door/live.mjpg?fps=many"),
        ("GET", "/v1/pipelines/door/live.mjpg?fps=-1"),
        ("POST", "/v1/models/%FF/rollback"),
        ("GET", "/v2/models/%FF"),
        ("POST", "/v1/predict?pipeline=%FF&pipeline=door"),
    ] {
        let answer = http::ask(port, method, path, &[("Authorization", "Bearer s3cret")], b"")?;
        let error = answer.error()?;
        // Of the address, and not of the picture that is missing too.
        let is_of_it = !error.is_empty() && !error.contains("JPEG");
        ensure!(answer.status == 400 && is_of_it, "{path}: {}", answer.text());
    }
    Ok(())
}

#[test]
fn garbage_ends_its_connection_and_nothing_else() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "")?;
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"GET\r\n\r\n", &[b'x'; 100_000]] {
        let mut stream = http::connect(port)?;
        // It may be refused before it was all said.
        drop(stream.write_all(garbage));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        ensure!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(http::get(port, "/healthz")?.status, 200);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn with_a_certificate_it_speaks_tls_and_nothing_else() -> Result<()> {
    let (folder, authority) = (Folder::new()?, Authority::new("API")?);
    let pair = authority.sign("device", "DNS:localhost,IP:127.0.0.1", 1)?;
    let (cert, key) = (pair.certificate.display(), pair.key.display());
    let more = format!("cert_file = \"{cert}\"\nkey_file = \"{key}\"");
    let (_daemon, port) = daemon(&folder, &more)?;
    let curl = Command::new(places::program("curl")?)
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
        .arg(authority.certificate())
        .arg(format!("https://127.0.0.1:{port}/healthz"))
        .output()
        .context("curl")?;
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "ok\n", "{curl:?}");
    ensure!(http::get(port, "/healthz").is_err(), "it answers without TLS");
    Ok(())
}
