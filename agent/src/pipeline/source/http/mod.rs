//! The `http` source: a camera that gives Motion-JPEG, or one picture each time it is asked.
//!
//! Which of both the server says by its content type. In a stream the pictures are found by their own markers, not by
//! the parts' headers, which cameras get wrong; one that is cut off is skipped. Health is the frame
//! clock: each picture has a time within which all of it must come, however slowly it drips.

mod client;

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::client::{Address, Body, HttpError, Web, address_mistake};
use super::live::Live;
use super::login::{Login, read_url};
use super::pace::{Pace, Ticker};
use super::reach::{host_and_port, reach};
use super::replay::{Found, PictureError, Stream, picture};
use super::{Next, Returns, Source, SourceError, SourceSpec, returned};
use crate::config::Section;
use crate::kinds::Kind;
use crate::pipeline::frame::Frame;
use crate::stop::Stop;

/// Largest picture that is asked for: as with files.
const PICTURE_BYTES_MAX: u64 = 64 << 20;

/// `kind = "http"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "http",
    summary: "a camera's web server: a Motion-JPEG stream, or a picture each time it is asked",
    example: r#"kind = "http"
url = "http://camera.local/video.mjpg"
rate_hz = 10                # of a stream, what is expected; else how often a picture is asked for
# user = "viewer"
# password_file = "camera-password" # its first line; "credential:NAME" is systemd's LoadCredential=NAME:…
# ca_file = "camera.pem"    # to believe beside the system's authorities
# silence_s = 2.5           # without a picture for so long it has failed, and is opened again
# start_s = 15              # how long the first may take
"#,
    build: read,
};

/// A configured camera.
#[derive(Debug)]
struct Http {
    address: Address,
    login: Login,
    live: Live,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
enum WebError {
    /// The server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The connection, in the middle of something.
    #[error("the connection broke")]
    Broke(#[source] io::Error),
    /// The frame clock stands still.
    #[error("no whole picture came for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// The stream came to its end.
    #[error("the camera ended the stream")]
    End,
    /// It is something else.
    #[error("`{0}` is no picture: `url` is to be a Motion-JPEG stream, a JPEG or a PNG picture")]
    Kind(String),
    /// It cannot be used.
    #[error("its picture cannot be used")]
    Picture(#[source] PictureError),
}

/// Reads the table of such a source.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let (url, login) = (read_url(section, address_mistake), Login::read(section));
    let ca_file: Option<PathBuf> = section.path("ca_file");
    let live = Live::read(section);
    Some(Box::new(Http { address: Address { url, ca_file }, login, live }))
}

impl SourceSpec for Http {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        let what = format!("the camera `{}`", self.address.url);
        let open = |source| SourceError::Open { what: what.clone(), source };
        let login = self.login.now().map_err(|error| open(error.into()))?;
        let web = Web::new(&self.address, login).map_err(|error| open(error.into()))?;
        let ticker = Ticker::new(Pace::Hz(self.live.rate_hz));
        let (live, way, buffer) = (self.live, Way::Unknown, Vec::new());
        Ok(Box::new(Open { what, web, way, live, ticker, buffer, seq: 0 }))
    }

    fn rate_hz(&self) -> Option<f64> {
        Some(self.live.rate_hz)
    }

    fn returns(&self, stop: &Stop) -> Option<Returns> {
        let port = if self.address.url.starts_with("https") { 443 } else { 80 };
        let (host, port) = host_and_port(&self.address.url, port)?;
        let (host, stop) = (host.to_owned(), stop.clone());
        Some(returned(move || reach(&host, port, &stop).is_ok()))
    }
}

/// What the server turned out to give.
#[derive(Debug)]
enum Way {
    Unknown,
    Stream(Box<Stream<Body>>),
    Pictures,
}

/// A camera that is being read.
#[derive(Debug)]
struct Open {
    what: String,
    web: Web,
    way: Way,
    live: Live,
    ticker: Ticker,
    buffer: Vec<u8>,
    seq: u64,
}

impl Open {
    fn read(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, WebError> {
        let patience = self.live.patience(self.seq);
        if matches!(self.way, Way::Pictures) && self.ticker.wait(stop) {
            return Ok(Next::Stopped);
        }
        let deadline = Instant::now() + patience;
        if !matches!(self.way, Way::Stream(_)) {
            let answer = self.web.get(patience, stop)?;
            let kind =
                answer.kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            match kind.as_str() {
                "multipart/x-mixed-replace" | "video/x-motion-jpeg" | "video/x-mjpeg" => {
                    self.way = Way::Stream(Box::new(Stream::new(answer.body)));
                }
                "image/jpeg" | "image/jpg" | "image/png" => {
                    if matches!(self.way, Way::Unknown) && self.ticker.wait(stop) {
                        return Ok(Next::Stopped);
                    }
                    self.way = Way::Pictures;
                    let mut body = answer.body;
                    body.until(deadline);
                    self.buffer.clear();
                    let read = body.take(PICTURE_BYTES_MAX).read_to_end(&mut self.buffer);
                    read.map_err(|error| broke(error, patience))?;
                    picture::decode(&mut self.buffer, frame).map_err(WebError::Picture)?;
                    return Ok(Next::Frame);
                }
                _ => return Err(WebError::Kind(answer.kind)),
            }
        }
        let Way::Stream(stream) = &mut self.way else { return Err(WebError::End) };
        stream.input().until(deadline);
        loop {
            match stream.next(&mut self.buffer).map_err(|error| broke(error, patience))? {
                Found::Picture => match picture::jpeg(&mut self.buffer, frame) {
                    Ok(()) => return Ok(Next::Frame),
                    Err(error) => tracing::debug!(%error, "a picture is skipped"),
                },
                Found::Bad(error) => tracing::debug!(%error, "a picture is skipped"),
                Found::End => return Err(WebError::End),
            }
        }
    }
}

fn broke(error: io::Error, patience: Duration) -> WebError {
    let stopped = error.get_ref().and_then(|inner| inner.downcast_ref::<HttpError>());
    match (stopped, error.kind()) {
        (Some(HttpError::Stopped), _) => WebError::Http(HttpError::Stopped),
        (_, io::ErrorKind::TimedOut) => WebError::Silent(patience),
        _ => WebError::Broke(error),
    }
}

impl Source for Open {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        match self.read(frame, stop) {
            Ok(Next::Frame) => {
                (frame.captured, frame.ts) = (Instant::now(), Timestamp::now());
                (frame.seq, frame.truth) = (self.seq, None);
                self.seq += 1;
                Ok(Next::Frame)
            }
            Ok(other) => Ok(other),
            Err(WebError::Http(HttpError::Stopped)) => Ok(Next::Stopped),
            Err(error) => Err(SourceError::Read { what: self.what.clone(), source: error.into() }),
        }
    }
}
