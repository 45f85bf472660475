//! Requests to a camera's web server: the one file of the data path that names `reqwest`.
//!
//! A capture thread waits for it like for any other source, so that each open source has a small runtime of its own,
//! which works only while that thread waits.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Response, StatusCode};
use tokio::runtime::{Builder, Runtime};

use super::super::live::LOOK_EVERY;
use crate::disk;
use crate::stop::Stop;

/// A camera that does not even accept within this is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// Largest file of authorities.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Why a camera's web server gives no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The request could not be prepared.
    #[error("the connection cannot be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nobody answered, or the connection broke.
    #[error("{0}")]
    Unreachable(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refuses us.
    #[error("the camera refuses user or password: look at `user` and `password_file`")]
    Login,
    /// It wants a way to log in that is not spoken here.
    #[error("the camera wants {0} authentication: allow `basic` in its settings (over https)")]
    LoginKind(String),
    /// There is no such page.
    #[error("the camera has no such page (404): look at the path in `url`")]
    Missing,
    /// The server has something else to say.
    #[error("the camera answers {0}")]
    Status(u16),
    /// The answer did not come in time.
    #[error("the camera does not answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// Told to stop.
    #[error("told to stop")]
    Stopped,
}

/// How to ask.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) ca_file: Option<PathBuf>,
}

/// What is wrong with an address, if anything is.
pub(super) fn address_mistake(text: &str) -> Option<String> {
    match reqwest::Url::parse(text) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) => {
            Some(format!("`{}` is no scheme of a web server: http or https", url.scheme()))
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("has a user in it: use `user` and `password_file`".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(format!("`{text}` is no address ({error}): http://HOST[:PORT]/PATH")),
    }
}

/// A camera's web server.
#[derive(Debug, Clone)]
pub(super) struct Web {
    runtime: Arc<Runtime>,
    client: Client,
    url: String,
    login: Option<(String, String)>,
}

impl Web {
    pub(super) fn new(
        address: &Address,
        login: Option<(String, String)>,
    ) -> Result<Self, HttpError> {
        let setup = |error: Box<dyn std::error::Error + Send + Sync>| HttpError::Setup(error);
        let runtime = Builder::new_current_thread().enable_all().build();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("vedette/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &address.ca_file {
            let pem =
                disk::read_bounded(path, CA_BYTES_MAX).map_err(|error| setup(error.into()))?;
            let authorities =
                Certificate::from_pem_bundle(&pem).map_err(|error| setup(error.into()))?;
            for authority in authorities {
                builder = builder.add_root_certificate(authority);
            }
        }
        Ok(Self {
            runtime: Arc::new(runtime.map_err(|error| setup(error.into()))?),
            client: builder.build().map_err(|error| setup(error.into()))?,
            url: address.url.clone(),
            login,
        })
    }

    /// Asks, and waits for the answer's head.
    pub(super) fn get(&self, patience: Duration, stop: &Stop) -> Result<Answer, HttpError> {
        let mut request = self.client.get(&self.url).header(ACCEPT_ENCODING, "identity");
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        let response = self.runtime.block_on(async {
            tokio::select! {
                response = request.send() => response.map_err(unreachable),
                () = tokio::time::sleep(patience) => Err(HttpError::Late(patience)),
                () = stop.heard() => Err(HttpError::Stopped),
            }
        })?;
        accepted(&response)?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        let deadline = Instant::now() + patience;
        let (runtime, stop, chunk) = (self.runtime.clone(), stop.clone(), Bytes::new());
        Ok(Answer { kind, body: Body { runtime, response, chunk, deadline, stop } })
    }
}

fn accepted(response: &Response) -> Result<(), HttpError> {
    match response.status() {
        status if status.is_success() => Ok(()),
        StatusCode::UNAUTHORIZED => {
            let ways = response.headers().get_all(WWW_AUTHENTICATE).iter();
            let mut ways = ways.filter_map(|way| way.to_str().ok()?.split(' ').next());
            let first = ways.next().unwrap_or("Basic").to_owned();
            let basic = std::iter::once(first.as_str())
                .chain(ways)
                .any(|way| way.eq_ignore_ascii_case("basic"));
            Err(if basic { HttpError::Login } else { HttpError::LoginKind(first) })
        }
        StatusCode::FORBIDDEN => Err(HttpError::Login),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(HttpError::Missing),
        status => Err(HttpError::Status(status.as_u16())),
    }
}

/// Which of the ways not to be there.
fn unreachable(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut what = "the camera cannot be reached: is it on, and the address in `url` right?";
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            what = match io.kind() {
                io::ErrorKind::ConnectionRefused => {
                    "nothing listens there: is the camera's service on, and the port in `url` right?"
                }
                _ => what,
            };
        }
        if error.to_string().contains("dns error") {
            what = "the host's name is not known: look at `url` and the name server";
        }
        cause = error.source();
    }
    HttpError::Unreachable(what, error.into())
}

/// An answer whose head came.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its content type.
    pub(super) kind: String,
    pub(super) body: Body,
}

/// What comes after the head, as it comes.
#[derive(Debug)]
pub(super) struct Body {
    runtime: Arc<Runtime>,
    response: Response,
    chunk: Bytes,
    deadline: Instant,
    stop: Stop,
}

impl Body {
    /// What is to come, is to come until then.
    pub(super) fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Read for Body {
    /// Fails with `TimedOut` at the deadline, and with `Other` where it was told to stop.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            if self.stop.said() {
                return Err(io::Error::other(HttpError::Stopped));
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let response = &mut self.response;
            let coming =
                async { tokio::time::timeout(left.min(LOOK_EVERY), response.chunk()).await };
            match self.runtime.block_on(coming) {
                Err(_) => {}
                Ok(Ok(Some(chunk))) => self.chunk = chunk,
                Ok(Ok(None)) => return Ok(0),
                Ok(Err(error)) => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        error.without_url(),
                    ));
                }
            }
        }
        let count = self.chunk.len().min(into.len());
        let part = self.chunk.split_to(count);
        into.get_mut(..count).unwrap_or_default().copy_from_slice(&part);
        Ok(count)
    }
}
