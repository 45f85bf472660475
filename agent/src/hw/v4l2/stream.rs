//! Frames from a driver, in memory that is shared with it.

use std::io;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::time::Duration;

use super::abi::Zero as _;
use super::{Device, VideoError, abi};

/// Buffers that the driver fills in turn: one that is read, one that is filled, and two for a late reader.
const BUFFERS: u32 = 4;
/// Fewest with which a driver can go on while one is read.
const BUFFERS_MIN: u32 = 2;
/// Largest buffer: 64 megapixels of four bytes.
const BUFFER_BYTES_MAX: u32 = 256 << 20;

/// A device whose driver fills buffers.
#[derive(Debug)]
pub struct Stream {
    buffers: Vec<Shared>,
    device: Device,
}

/// A buffer that is shared with the driver.
#[derive(Debug)]
struct Shared {
    data: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; who may write to it is said by the driver.
unsafe impl Send for Shared {}

/// What [`Stream::newest`] took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Which of the buffers.
    index: u32,
    /// Bytes that the driver filled.
    used: usize,
    /// Whether the driver says that it is damaged.
    pub damaged: bool,
    /// When it was captured, in microseconds of the kernel's monotonic clock, where the driver says so.
    pub captured_us: Option<u64>,
    /// The driver's count of frames, those included that it lost.
    pub sequence: u32,
    /// Older frames that were given back unread.
    pub skipped: u32,
}

impl Device {
    /// Begins to stream.
    ///
    /// # Errors
    /// It is busy, or has no memory to share.
    pub fn start(self) -> Result<Stream, VideoError> {
        let mut wanted = abi::RequestBuffers {
            count: BUFFERS,
            r#type: abi::CAPTURE,
            memory: abi::MMAP,
            ..abi::RequestBuffers::ZERO
        };
        self.ask(abi::REQBUFS, &mut wanted)?;
        if wanted.count < BUFFERS_MIN {
            let few = io::Error::other(format!("its driver has only {} buffers", wanted.count));
            return Err(VideoError::Map(few));
        }
        let mut stream = Stream { device: self, buffers: Vec::new() };
        for index in 0..wanted.count.min(BUFFERS) {
            let mut buffer = described(index);
            stream.device.ask(abi::QUERYBUF, &mut buffer)?;
            let shared = Shared::map(&stream.device, buffer.m, buffer.length);
            stream.buffers.push(shared.map_err(VideoError::Map)?);
            stream.give_back_index(index)?;
        }
        let mut capture = abi::CAPTURE;
        stream.device.ask(abi::STREAMON, &mut capture)?;
        Ok(stream)
    }
}

impl Stream {
    /// Waits until the driver has something to say, or for `patience`. True where it has.
    ///
    /// # Errors
    /// The system refuses.
    pub fn wait(&self, patience: Duration) -> Result<bool, VideoError> {
        let events = libc::POLLIN;
        let mut polled = libc::pollfd { fd: self.device.file.as_raw_fd(), events, revents: 0 };
        let limit = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one structure, ours.
        match unsafe { libc::poll(&raw mut polled, 1, limit) } {
            -1 => {
                let source = io::Error::last_os_error();
                if source.kind() == io::ErrorKind::Interrupted {
                    return Ok(false);
                }
                Err(VideoError::Request { request: "poll", source })
            }
            count => Ok(count > 0),
        }
    }

    /// The newest frame that the driver has filled, if any; older ones go back to it. It is the driver's again
    /// with [`Stream::give_back`].
    ///
    /// # Errors
    /// The driver failed, or the device is gone.
    pub fn newest(&mut self) -> Result<Option<Taken>, VideoError> {
        let mut newest: Option<Taken> = None;
        // Each buffer once: a driver that is faster than this loop must not hold us.
        for _ in 0..self.buffers.len() {
            let mut buffer = described(0);
            match self.device.send(&abi::DQBUF, &mut buffer) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(source) => {
                    return Err(VideoError::Request { request: abi::DQBUF.name, source });
                }
            }
            let skipped = newest.map_or(0, |older| older.skipped + 1);
            if let Some(older) = newest.take() {
                self.give_back(older)?;
            }
            newest = Some(taken(&buffer, skipped));
        }
        Ok(newest)
    }

    /// The bytes of a frame that was taken.
    #[must_use]
    pub fn bytes(&self, taken: &Taken) -> &[u8] {
        let index = usize::try_from(taken.index).unwrap_or(usize::MAX);
        let Some(shared) = self.buffers.get(index) else { return &[] };
        let used = taken.used.min(shared.length);
        // SAFETY: the driver does not write to a buffer that was taken from it; it is mapped as long as `self`
        // lives, and no longer than it is.
        unsafe { std::slice::from_raw_parts(shared.data.as_ptr(), used) }
    }

    /// Lets the driver fill it again.
    ///
    /// # Errors
    /// The device is gone.
    pub fn give_back(&mut self, taken: Taken) -> Result<(), VideoError> {
        self.give_back_index(taken.index)
    }

    fn give_back_index(&mut self, index: u32) -> Result<(), VideoError> {
        self.device.ask(abi::QBUF, &mut described(index))
    }
}

fn described(index: u32) -> abi::Buffer {
    abi::Buffer { index, r#type: abi::CAPTURE, memory: abi::MMAP, ..abi::Buffer::ZERO }
}

fn taken(buffer: &abi::Buffer, skipped: u32) -> Taken {
    let monotonic = buffer.flags & abi::TIMESTAMP_MASK == abi::TIMESTAMP_MONOTONIC;
    let [seconds, micros] = buffer.timestamp.map(|part| u64::try_from(part).ok());
    let at = seconds.zip(micros).map(|(s, us)| s.saturating_mul(1_000_000).saturating_add(us));
    Taken {
        index: buffer.index,
        used: usize::try_from(buffer.bytesused).unwrap_or(usize::MAX),
        damaged: buffer.flags & abi::BUFFER_ERROR != 0,
        captured_us: at.filter(|at| monotonic && *at > 0),
        sequence: buffer.sequence,
        skipped,
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A device that is gone has stopped.
        let mut capture = abi::CAPTURE;
        if let Err(error) = self.device.send(&abi::STREAMOFF, &mut capture) {
            tracing::debug!(%error, "a camera does not stop");
        }
    }
}

impl Shared {
    /// The low half of `place` is where in the device's memory the buffer is.
    fn map(device: &Device, place: u64, length: u32) -> io::Result<Self> {
        let offset = i64::try_from(place & 0xFFFF_FFFF).unwrap_or_default();
        if length == 0 || length > BUFFER_BYTES_MAX {
            return Err(io::Error::other(format!("a buffer of {length} bytes is impossible")));
        }
        let length = usize::try_from(length).unwrap_or_default();
        let (access, way) = (libc::PROT_READ, libc::MAP_SHARED);
        let file = device.file.as_raw_fd();
        // SAFETY: a new mapping at a place that the kernel chooses.
        let data = unsafe { libc::mmap(std::ptr::null_mut(), length, access, way, file, offset) };
        match NonNull::new(data.cast::<u8>()) {
            Some(data) if data.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { data, length }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by us, once, and nothing borrows from it any more.
        if unsafe { libc::munmap(self.data.as_ptr().cast(), self.length) } != 0 {
            tracing::debug!("a camera's buffer is still mapped");
        }
    }
}
