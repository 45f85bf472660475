//! Takes in a request's body: never more than it may have, and never more of all bodies together
//! than there is room for.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;

/// What room is given out in.
const UNIT_BYTES: usize = 1 << 10;
/// Where a tensor begins, so that it is run from where it arrived: a whole line of the processor's cache, and more than
/// `hw/ort/request.rs` asks for.
const ALIGN: usize = 64;
/// Bodies of the largest size for which there is room at one time. More would be a board's memory.
const LARGEST_AT_ONCE: usize = 4;

/// The room for bodies.
#[derive(Debug, Clone)]
pub(super) struct Room {
    units: Arc<Semaphore>,
    largest_bytes: usize,
}

/// A body, and its room, which is given back with it.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    /// To be held for as long as the bytes, or what was made of them, are.
    pub(super) room: OwnedSemaphorePermit,
}

impl Room {
    /// Room for bodies of at most `largest_bytes`.
    pub(super) fn new(largest_bytes: usize) -> Self {
        let units = LARGEST_AT_ONCE * largest_bytes.div_ceil(UNIT_BYTES);
        Self { units: Arc::new(Semaphore::new(units)), largest_bytes }
    }

    /// All of `body`, in one piece, whose part behind the first `head` bytes begins where a tensor may: where the length is
    /// told beforehand, as clients do. Behind a body in chunks a tensor may be copied for its run.
    ///
    /// # Errors
    /// It is too large, there is no room for it now, or it broke off.
    pub(super) async fn take(&self, body: Body, head: usize) -> Result<Taken, Refusal> {
        let largest = self.largest_bytes;
        let too_large = || {
            Refusal::too_large(format!("the body is larger than {largest} bytes (`api.body_mb`)"))
        };
        // A body that does not say how long it is gets the room of the largest.
        let hint = body.size_hint();
        let length = hint.upper().map_or(Ok(largest), usize::try_from);
        let length = length.ok().filter(|length| *length <= largest).ok_or_else(too_large)?;
        let units = u32::try_from(length.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let room = self.units.clone().try_acquire_many_owned(units);
        let room = room.map_err(|_| Refusal::busy("too many large requests at one time"))?;
        // Its memory is of use only once it is written to: a promise of many bytes takes none.
        let known = hint.exact().map_or(0, |_| length);
        let mut bytes = Vec::<u8>::with_capacity(known + ALIGN);
        let begin = bytes.as_ptr().wrapping_add(head).align_offset(ALIGN).min(ALIGN);
        bytes.resize(begin, 0);
        let mut body = Limited::new(body, largest);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    frame.data_ref().into_iter().for_each(|data| bytes.extend_from_slice(data))
                }
                Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
                Err(error) => return Err(Refusal::bad(format!("the body broke off: {error}"))),
            }
        }
        Ok(Taken { bytes: Bytes::from(bytes).slice(begin..), room })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[tokio::test]
    async fn a_body_that_is_too_large_or_one_too_many_is_refused() {
        let room = Room::new(2 * UNIT_BYTES);
        let body = |bytes: usize| Body::from(vec![0_u8; bytes]);
        let mut held = Vec::new();
        for _ in 0..LARGEST_AT_ONCE {
            held.push(room.take(body(2 * UNIT_BYTES), 0).await.unwrap());
        }
        assert_eq!(held[0].bytes.len(), 2 * UNIT_BYTES);
        let refused = room.take(body(1), 0).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        held.pop();
        assert!(room.take(body(1), 0).await.is_ok());
        let refused = room.take(body(2 * UNIT_BYTES + 1), 0).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn what_is_behind_the_head_begins_where_a_tensor_may() {
        let room = Room::new(1 << 10);
        for head in [0, 1, 63, 64, 200] {
            let sent: Vec<u8> = (0..=255).collect();
            let taken = room.take(Body::from(sent.clone()), head).await.unwrap();
            assert_eq!(taken.bytes, sent);
            assert_eq!(taken.bytes.slice(head..).as_ptr().align_offset(ALIGN), 0, "{head}");
        }
    }
}
