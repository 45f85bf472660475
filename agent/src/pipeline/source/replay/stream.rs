//! A Motion-JPEG file, or a camera's answer: JPEG pictures one after the other, read as they are needed.

use std::io::{self, Read, Seek};

use super::markers::{Markers, Step};
use super::picture::{FILE_BYTES_MAX, PictureError};
use crate::hw::jpeg::JpegError;

/// How much is read at a time: large enough that reading is not felt, and a cheap buffer.
const READ_BYTES: usize = 64 << 10;

/// What a stream had next.
#[derive(Debug)]
pub(in crate::pipeline::source) enum Found {
    /// A picture, in the buffer that was given.
    Picture,
    /// One that cannot be used: cut off, damaged, or too long.
    Bad(PictureError),
    /// Its end.
    End,
}

/// A file that is being read. Memory is bounded: one read and one picture.
#[derive(Debug)]
pub(in crate::pipeline::source) struct Stream<R> {
    input: R,
    markers: Markers,
    read: Box<[u8]>,
    /// The part of `read` that was not looked at.
    from: usize,
    to: usize,
    is_inside: bool,
}

impl<R: Read> Stream<R> {
    /// Reads `input` from where it is.
    pub(in crate::pipeline::source) fn new(input: R) -> Self {
        let read = vec![0; READ_BYTES].into_boxed_slice();
        Self { input, markers: Markers::default(), read, from: 0, to: 0, is_inside: false }
    }

    /// What is read.
    pub(in crate::pipeline::source) fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Reads on to the end of a picture, and puts its bytes into `picture`, whose memory is reused. What it
    /// holds is kept for the next call after [`Found::Bad`]; pass the same buffer.
    ///
    /// # Errors
    /// What the system says.
    pub(in crate::pipeline::source) fn next(&mut self, picture: &mut Vec<u8>) -> io::Result<Found> {
        loop {
            if self.from == self.to {
                self.to = self.input.read(&mut self.read)?;
                self.from = 0;
                if self.to == 0 {
                    let was_inside = std::mem::replace(&mut self.is_inside, false);
                    return Ok(if was_inside { cut_off() } else { Found::End });
                }
            }
            let unread = self.read.get(self.from..self.to).unwrap_or_default();
            let (taken, step) = self.markers.walk(unread);
            let part = unread.get(..taken).unwrap_or_default();
            self.from += taken;
            match step {
                Step::Junk => {}
                Step::Begun => {
                    picture.clear();
                    picture.extend([0xFF, 0xD8]);
                    if std::mem::replace(&mut self.is_inside, true) {
                        return Ok(cut_off());
                    }
                }
                Step::Part | Step::Whole => {
                    picture.extend_from_slice(part);
                    if picture.len() > FILE_BYTES_MAX {
                        (self.markers, self.is_inside) = (Markers::default(), false);
                        return Ok(Found::Bad(PictureError::Long));
                    }
                    if step == Step::Whole {
                        self.is_inside = false;
                        return Ok(Found::Picture);
                    }
                }
                Step::Broken => {
                    self.is_inside = false;
                    return Ok(Found::Bad(PictureError::Segment));
                }
            }
        }
    }
}

impl<R: Read + Seek> Stream<R> {
    /// Goes back to the beginning.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.input.rewind()?;
        (self.markers, self.from, self.to, self.is_inside) = (Markers::default(), 0, 0, false);
        Ok(())
    }
}

fn cut_off() -> Found {
    Found::Bad(PictureError::Jpeg(JpegError::Truncated))
}
