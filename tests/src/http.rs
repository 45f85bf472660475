//! A small HTTP client that says exactly what a test wants said, mistakes included.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// How long an answer may take: longer than any limit of the API that tests set.
const ANSWER: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its code.
    pub status: u16,
    /// Its headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Its body, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body, as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("answer {} is no JSON: {}", self.status, self.text()))
    }

    /// What its error object says.
    ///
    /// # Errors
    /// It has none.
    pub fn error(&self) -> Result<String> {
        let json = self.json()?;
        let error = json.get("error").and_then(serde_json::Value::as_str);
        Ok(error.with_context(|| format!("no error in {json}"))?.to_owned())
    }
}

/// Asks `GET path` of whoever listens on `port` of this machine.
///
/// # Errors
/// There is no answer.
pub fn get(port: u16, path: &str) -> Result<Answer> {
    ask(port, "GET", path, &[], b"")
}

/// Sends `body` with `POST path`.
///
/// # Errors
/// There is no answer.
pub fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
    ask(port, "POST", path, headers, body)
}

/// Sends one request on a connection of its own and reads the answer to its end.
///
/// # Errors
/// There is no answer.
pub fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !own {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    let mut stream = connect(port)?;
    stream.write_all(head.as_bytes())?;
    // Who refuses a body early need not read it.
    let sent = stream.write_all(body);
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    ensure!(!bytes.is_empty(), "no answer to {method} {path}: {sent:?}, {read:?}");
    parse(&bytes)
}

/// Sends `body` with `POST path` on a connection that stays, and reads its answer.
///
/// # Errors
/// There is no answer.
pub fn post_on(stream: &mut TcpStream, path: &str, body: &[u8]) -> Result<Answer> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the connection ended in the middle of an answer to {path}");
        bytes.extend_from_slice(&buffer[..count]);
        if let Ok(answer) = parse(&bytes) {
            let length = answer.headers.get("content-length").context("no Content-Length")?;
            if answer.body.len() >= length.parse()? {
                return Ok(answer);
            }
        }
    }
}

/// A connection to `port` of this machine.
///
/// # Errors
/// Nobody listens there.
pub fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).context("nobody listens")?;
    stream.set_read_timeout(Some(ANSWER))?;
    Ok(stream)
}

/// Takes an answer apart.
///
/// # Errors
/// It is none.
pub fn parse(bytes: &[u8]) -> Result<Answer> {
    let end =
        bytes.windows(4).position(|four| four == b"\r\n\r\n").context("no end of the head")?;
    let (head, body) = (String::from_utf8_lossy(&bytes[..end]), bytes[end + 4..].to_vec());
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    Ok(Answer {
        status: status.parse().context("no status")?,
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        body,
    })
}
