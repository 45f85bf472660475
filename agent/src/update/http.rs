//! A repository behind a web server.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE,
    RANGE, RETRY_AFTER,
};
use reqwest::{Certificate, Client, Identity, Response, StatusCode, redirect};

use super::settings::LinkSettings;
use super::transport::{Body, Coming, Pieces, Transport, TransportError};
use crate::disk;

/// A server that does not even accept within this is not there.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence in an answer.
const SILENCE: Duration = Duration::from_secs(20);
/// Longest time for one metadata file, of some kilobytes.
const METADATA_TIME: Duration = Duration::from_secs(60);
/// A mirror may send us on, but not around in circles.
const REDIRECTS_MAX: usize = 5;
/// Longest that a server may ask to be left alone.
const RETRY_AFTER_MAX_S: u64 = 3600;
/// Largest certificate, key or token file.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Why the link could not be set up: the configuration's files.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    File {
        /// Which.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A certificate, key or token is none.
    #[error("cannot use `{path}`: {what}")]
    Secret {
        /// Which file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The library could not be set up.
    #[error("cannot set up the connection")]
    Client(#[source] reqwest::Error),
}

/// What is wrong with `text` as the address of a repository, if anything is.
pub(super) fn address_mistake(text: &str) -> Option<String> {
    let why = match reqwest::Url::parse(text) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) => "it is neither http nor https",
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "what is behind `?` or `#` cannot stay: file names are put behind it"
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "a password belongs into the `token_file`"
        }
        Ok(_) => return None,
        Err(error) => return Some(format!("`{text}` is no address ({error}): {ADDRESS}")),
    };
    Some(format!("`{text}` cannot be used, {why}: {ADDRESS}"))
}

/// How an address is written.
const ADDRESS: &str = "https://HOST[:PORT][/PATH]";

/// See the module.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    metadata: String,
    targets: String,
    token: Option<HeaderValue>,
}

impl Http {
    /// The repository below `url`.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(url: &str, link: &LinkSettings) -> Result<Self, HttpError> {
        let base = url.trim_end_matches('/');
        Self::with_bases(&format!("{base}/metadata"), &format!("{base}/targets"), link)
    }

    /// A repository whose two halves are at addresses of their own.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn with_bases(
        metadata: &str,
        targets: &str,
        link: &LinkSettings,
    ) -> Result<Self, HttpError> {
        let plain = redirect::Policy::custom(|attempt| {
            let secure = attempt.previous().iter().any(|url| url.scheme() == "https");
            if attempt.previous().len() > REDIRECTS_MAX {
                attempt.error("too many redirects")
            } else if attempt.url().scheme() == "http" && secure {
                attempt.error("a redirect from https to plain http")
            } else {
                attempt.follow()
            }
        });
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .redirect(plain)
            .user_agent(concat!("vedette/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &link.ca_file {
            let wrong = |error: reqwest::Error| secret(path, error);
            let certificates = Certificate::from_pem_bundle(&read(path)?).map_err(wrong)?;
            if certificates.is_empty() {
                return Err(secret(path, "it has no certificate"));
            }
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let (Some(certificate), Some(key)) = (&link.cert_file, &link.key_file) {
            let pem = [read(certificate)?, read(key)?].concat();
            let identity = Identity::from_pem(&pem).map_err(|error| secret(key, error))?;
            builder = builder.identity(identity);
        }
        let token = link.token_file.as_deref().map(token).transpose()?;
        Ok(Self {
            client: builder.build().map_err(HttpError::Client)?,
            metadata: metadata.trim_end_matches('/').to_owned(),
            targets: targets.trim_end_matches('/').to_owned(),
            token,
        })
    }

    async fn get(
        &self,
        url: &str,
        range: Option<(u64, Option<&str>)>,
    ) -> Result<Response, TransportError> {
        let mut request = self.client.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        if let Some((offset, etag)) = range {
            request = request.header(RANGE, format!("bytes={offset}-"));
            if let Some(etag) = etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        let response = request.send().await.map_err(|error| unreachable(url, error))?;
        if let Some(encoding) = response.headers().get(CONTENT_ENCODING)
            && encoding != "identity"
        {
            let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
            return Err(TransportError::Encoded { url: url.to_owned(), encoding });
        }
        Ok(response)
    }
}

impl Transport for Http {
    fn metadata<'a>(&'a self, name: &'a str, max: u64) -> Coming<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let url = format!("{}/{name}", self.metadata);
            let whole = async {
                let mut response = self.get(&url, None).await?;
                match response.status() {
                    StatusCode::OK => {}
                    // What object stores without a right to list say of what is not there, too.
                    StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE => {
                        return Ok(None);
                    }
                    _ => return Err(status(&url, &response)),
                }
                let mut bytes = Vec::new();
                while let Some(piece) =
                    response.chunk().await.map_err(|error| unreachable(&url, error))?
                {
                    bytes.extend_from_slice(&piece);
                    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
                        return Err(TransportError::Endless { url: url.clone(), max });
                    }
                }
                Ok(Some(bytes))
            };
            let slow =
                |_| TransportError::Stalled { url: url.clone(), bytes: 0, within: METADATA_TIME };
            tokio::time::timeout(METADATA_TIME, whole).await.map_err(slow)?
        })
    }

    fn target<'a>(&'a self, name: &'a str, offset: u64, etag: Option<&'a str>) -> Coming<'a, Body> {
        Box::pin(async move {
            let url = format!("{}/{name}", self.targets);
            let range = (offset > 0).then_some((offset, etag));
            let response = self.get(&url, range).await?;
            let begins = match response.status() {
                StatusCode::OK => 0,
                StatusCode::PARTIAL_CONTENT => {
                    let found = response.headers().get(CONTENT_RANGE);
                    let found = found.and_then(|value| value.to_str().ok()).unwrap_or_default();
                    let begin = found.strip_prefix("bytes ").and_then(|rest| rest.split_once('-'));
                    if begin.and_then(|(begin, _)| begin.parse().ok()) != Some(offset) {
                        return Err(TransportError::Range { url, found: found.to_owned() });
                    }
                    offset
                }
                StatusCode::NOT_FOUND | StatusCode::GONE => {
                    return Err(TransportError::Missing { url });
                }
                _ => return Err(status(&url, &response)),
            };
            let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok());
            // A weak one does not promise the same bytes.
            let etag = etag.filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
            Ok(Body { offset: begins, etag, pieces: Box::new(Stream { url, response }) })
        })
    }

    fn address(&self) -> String {
        self.metadata.trim_end_matches("/metadata").to_owned()
    }
}

struct Stream {
    url: String,
    response: Response,
}

impl Pieces for Stream {
    fn next(&mut self) -> Coming<'_, Option<Bytes>> {
        Box::pin(async move {
            self.response.chunk().await.map_err(|error| unreachable(&self.url, error))
        })
    }
}

fn unreachable(url: &str, error: reqwest::Error) -> TransportError {
    TransportError::Unreachable { url: url.to_owned(), source: Box::new(error.without_url()) }
}

fn status(url: &str, response: &Response) -> TransportError {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = seconds.and_then(|text| text.parse::<u64>().ok());
    TransportError::Status {
        url: url.to_owned(),
        status: response.status().as_u16(),
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_MAX_S))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, HttpError> {
    disk::read_bounded(path, SECRET_BYTES_MAX)
        .map_err(|source| HttpError::File { path: path.display().to_string(), source })
}

fn secret(path: &Path, error: impl std::fmt::Display) -> HttpError {
    HttpError::Secret { path: path.display().to_string(), what: error.to_string() }
}

fn token(path: &Path) -> Result<HeaderValue, HttpError> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    let mut value = HeaderValue::from_str(&format!("Bearer {line}"))
        .map_err(|_| secret(path, "its first line is no token"))?;
    value.set_sensitive(true);
    Ok(value)
}
