//! A client that is asked to cost little: one connection that stays, requests that are written beforehand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(60);
/// Room for an answer: the detector's has 67 KB.
const ANSWER_BYTES: usize = 1 << 20;

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, until the next one.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) head: &'a str,
    pub(super) body: &'a [u8],
}

impl Client {
    pub(super) fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: vec![0; ANSWER_BYTES] }
    }

    /// Sends `request`, which is whole, and takes its answer.
    pub(super) fn ask(&mut self, request: &[u8]) -> Answer<'_> {
        self.stream.write_all(request).unwrap();
        let (mut have, mut whole) = (0, None);
        while whole.is_none_or(|(_, end)| have < end) {
            let count = self.stream.read(&mut self.buffer[have..]).unwrap();
            assert!(count > 0, "the connection broke off");
            have += count;
            whole = whole.or_else(|| extent(&self.buffer[..have]));
        }
        let (body, end) = whole.unwrap();
        let head = std::str::from_utf8(&self.buffer[..body]).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: &self.buffer[body..end] }
    }

    /// Begins a stream, whose parts come until it is let go of.
    pub(super) fn watch(mut self, request: &[u8]) -> TcpStream {
        self.stream.write_all(request).unwrap();
        self.stream
    }
}

/// Where an answer's body begins and ends, once its head is there.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let body = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..body]).unwrap();
    Some((body, body + header(head, "content-length").unwrap()))
}

/// The number behind `name` of a head.
pub(super) fn header(head: &str, name: &str) -> Option<usize> {
    let line = head.lines().find(|line| {
        line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
    })?;
    line.split_once(':')?.1.trim().parse().ok()
}

/// `GET path`.
pub(super) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}

/// An inference request with binary tensors, as NVIDIA's client writes it.
pub(super) fn infer(model: &str, input: &str, output: &str, shape: &[usize], x: &[u8]) -> Vec<u8> {
    let json = serde_json::json!({
        "inputs": [{
            "name": input, "shape": shape, "datatype": "FP32",
            "parameters": { "binary_data_size": x.len() },
        }],
        "outputs": [{ "name": output, "parameters": { "binary_data": true } }],
    });
    let json = json.to_string();
    let head = format!(
        "POST /v2/models/{model}/infer HTTP/1.1\r\nHost: bench\r\n\
         Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {}\r\n\
         Content-Length: {}\r\n\r\n",
        json.len(),
        json.len() + x.len()
    );
    [head.as_bytes(), json.as_bytes(), x].concat()
}
