//! What a pipeline sees, for people: its next frame as a JPEG file with what was found drawn in, or a stream of them.
//!
//! A viewer costs the pipeline the copy of a frame each time one is asked for, and the API's own threads the encoding.
//! Viewers have a bound and streams a rate. A pipeline that infers fewer frames than that shows fewer: for who looks
//! at most one a second more is inferred (`pipeline/lookout`).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper::body::{Body as HttpBody, Frame};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::answer::Refusal;
use super::{Api, Pipeline};
use crate::pipeline::snapshot::Studio;
use crate::report;

/// Largest picture: it is looked at on a screen, and ten a second are 4 MB.
const PICTURE_BYTES_MAX: usize = 400 << 10;
/// Streams at one time: each is a person who looks, and keeps a picture and its file, 6 MB at 1080p.
const VIEWERS_MAX: usize = 4;
/// Pictures a second of a stream that does not say how many.
const RATE_DEFAULT_HZ: u32 = 5;
/// More are no better for a person, and the encoding would be felt.
const RATE_MAX_HZ: u32 = 15;
/// How long a frame is waited for: a camera that is plugged in again is back within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause of a stream after there was no picture.
const AGAIN: Duration = Duration::from_secs(1);
/// Who takes no picture for so long does not look any more: its place is another's.
const TAKES_WITHIN: Duration = Duration::from_secs(10);
/// Pictures in a row that a stream waits for in vain: a viewer that vanished without a word is not noticed while
/// nothing is sent, and must not keep a place for ever. A page asks again.
const VAIN_MAX: u32 = 6;
/// When it may go better: a camera is opened again after up to this.
const RETRY_S: u32 = 30;
/// What stands between two pictures.
const BOUNDARY: &str = "vedette-frame";

/// Places for those who watch a stream.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(VIEWERS_MAX))
}

/// The pipeline that a path names.
type Named = Result<Path<String>, PathRejection>;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/pipelines/{pipeline}/frame.jpg", get(frame))
        .route("/v1/pipelines/{pipeline}/live.mjpg", get(live))
}

async fn frame(State(api): State<Arc<Api>>, name: Named) -> Result<Response, Refusal> {
    let picture = picture(seen(&api, &name?.0)?, &mut Studio::default()).await?;
    let kind = HeaderValue::from_static("image/jpeg");
    Ok((StatusCode::OK, [(CONTENT_TYPE, kind)], picture).into_response())
}

/// The pipeline `name`, which has pictures.
fn seen<'a>(api: &'a Api, name: &str) -> Result<&'a Pipeline, Refusal> {
    let pipeline = api.pipeline(name)?;
    if pipeline.pictures {
        Ok(pipeline)
    } else {
        Err(Refusal::not_found(format!("pipeline `{name}` has samples, no pictures")))
    }
}

/// The next frame that is understood, as a JPEG file, made in `studio`.
async fn picture(pipeline: &Pipeline, studio: &mut Studio) -> Result<Vec<u8>, Refusal> {
    let waits = pipeline.open.door.picture().ok_or_else(|| {
        Refusal::busy("too many wait for a picture of this pipeline already: try again in a second")
    })?;
    let silent =
        || Refusal::unavailable(format!("no frame within {} s", PATIENCE.as_secs()), RETRY_S);
    let shot = tokio::time::timeout(PATIENCE, waits).await;
    let shot = shot.map_err(|_| silent())?.map_err(|_| silent())?;
    let mut own = std::mem::take(studio);
    let make = move || (own.snapshot(&shot, PICTURE_BYTES_MAX), own);
    match tokio::task::spawn_blocking(make).await {
        Ok((made, own)) => {
            *studio = own;
            let made = made.map_err(|error| Refusal::unavailable(report::chain(&error), RETRY_S));
            made.map(|snapshot| snapshot.jpeg)
        }
        Err(_) => Err(Refusal::unavailable("the daemon is ending", RETRY_S)),
    }
}

#[derive(Debug, Deserialize)]
struct Rate {
    fps: Option<u32>,
}

async fn live(
    State(api): State<Arc<Api>>,
    name: Named,
    rate: Result<Query<Rate>, QueryRejection>,
) -> Result<Response, Refusal> {
    let pipeline = seen(&api, &name?.0)?.clone();
    let rate = rate?.fps.unwrap_or(RATE_DEFAULT_HZ);
    if !(1..=RATE_MAX_HZ).contains(&rate) {
        return Err(Refusal::bad(format!("`fps` is {rate}: 1 to {RATE_MAX_HZ}")));
    }
    let place = api.viewers.clone().try_acquire_owned().map_err(|_| {
        Refusal::busy(format!("{VIEWERS_MAX} streams are watched already: close one of them"))
    })?;
    // One picture ahead: a viewer who is slow gets fewer, and none are kept for him.
    let (parts, body) = mpsc::channel(1);
    let stop = api.view.stop.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with its viewer, and nobody misses it")]
    tokio::spawn(async move {
        tokio::select! {
            () = stop.heard() => {}
            () = parts.closed() => {}
            () = show(&pipeline, Duration::from_secs(1) / rate, &parts, place) => {}
        }
    });
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    let kind = HeaderValue::try_from(kind)
        .unwrap_or_else(|_| HeaderValue::from_static("multipart/x-mixed-replace"));
    let body = Body::new(Parts(body));
    Ok((StatusCode::OK, [(CONTENT_TYPE, kind)], body).into_response())
}

/// Sends pictures until nobody takes them, or there will be none. Where there is none now, the next one is waited for.
async fn show(
    pipeline: &Pipeline,
    period: Duration,
    parts: &mpsc::Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    let (mut due, mut vain, mut studio) = (Instant::now(), 0, Studio::default());
    while !pipeline.open.health.has_ended() && vain < VAIN_MAX {
        let pause = match picture(pipeline, &mut studio).await {
            Ok(jpeg) => {
                vain = 0;
                let head = format!(
                    "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                    jpeg.len()
                );
                let part = [head.as_bytes(), &jpeg, b"\r\n"].concat();
                let taken = tokio::time::timeout(TAKES_WITHIN, parts.send(part.into())).await;
                if !matches!(taken, Ok(Ok(()))) {
                    return;
                }
                period
            }
            Err(_) => {
                vain += 1;
                AGAIN
            }
        };
        due = (due + pause).max(Instant::now());
        tokio::time::sleep_until(due).await;
    }
}

/// A body of pictures as they come.
struct Parts(mpsc::Receiver<Bytes>);

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::view::tests::pipeline;
    use crate::pipeline::frame::{Frame, PixelFormat};

    #[tokio::test(start_paused = true)]
    async fn a_stream_waits_for_a_camera_that_is_away_for_longer_than_a_picture_is_waited_for() {
        let pipeline = pipeline(Some(10.0), None);
        let (parts, mut body) = mpsc::channel(1);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let camera = async {
            tokio::time::sleep(5 * PATIENCE / 2).await;
            let mut frame = Frame::default();
            frame.reshape(PixelFormat::Grey, 64, 48).unwrap();
            pipeline.open.door.show(frame, &[]);
            let part: Bytes = body.recv().await.unwrap();
            assert!(part.windows(2).any(|two| two == [0xff, 0xd8]), "no JPEG");
            pipeline.open.health.end();
        };
        // It ends by itself: there will be no more pictures.
        tokio::join!(camera, show(&pipeline, Duration::from_millis(100), &parts, place));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_gives_its_place_back() {
        let pipeline = pipeline(Some(10.0), None);
        let (parts, _body) = mpsc::channel(1);
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let camera = async {
            loop {
                let mut frame = Frame::default();
                frame.reshape(PixelFormat::Grey, 64, 48).unwrap();
                pipeline.open.door.show(frame, &[]);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let shown = show(&pipeline, Duration::from_millis(100), &parts, place);
        let bounded = tokio::time::timeout(3 * TAKES_WITHIN, shown);
        tokio::select! {
            () = camera => {}
            shown = bounded => shown.unwrap(),
        }
        assert_eq!(places.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_pictures_gives_its_place_back() {
        let pipeline = pipeline(Some(10.0), None);
        let (parts, _body) = mpsc::channel(1);
        let places = Arc::new(Semaphore::new(1));
        let place = places.clone().try_acquire_owned().unwrap();
        let shown = show(&pipeline, Duration::from_millis(100), &parts, place);
        tokio::time::timeout(2 * VAIN_MAX * PATIENCE, shown).await.unwrap();
        assert_eq!(places.available_permits(), 1);
    }
}
