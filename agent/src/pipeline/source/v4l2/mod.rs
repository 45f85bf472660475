//! The `v4l2` source: USB cameras, HDMI adapters, and whatever else the kernel shows as `/dev/video`.
//!
//! Frames are taken from memory that is shared with the driver, the newest always, and copied into the pipeline's
//! own: the driver gets its buffer back at once, so that a slow model does not starve it. Health is the frame clock:
//! a driver that stops delivering has failed, whatever it says of itself.

pub(crate) mod choose;
mod controls;
pub(crate) mod identity;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::choose::{Offer, Wanted, best, fitting, name_of};
use self::controls::Setting;
use self::identity::Identity;
use super::live::{LOOK_EVERY, Live};
use super::when::{captured, monotonic_ns};
use super::{Next, Returns, Source, SourceError, SourceSpec, returned};
use crate::config::Section;
use crate::hw::jpeg::{Header, JpegError};
use crate::hw::v4l2::{Device, Set, Sizes, Stream, VideoError};
use crate::kinds::Kind;
use crate::pipeline::frame::{Colour, Frame, FrameError, PixelFormat, Plane, SIDE_MAX, check_size};
use crate::stop::Stop;

/// Frames a second below which a size is for still pictures.
const VIDEO_HZ: f64 = 9.0;
/// Where the kernel lists video devices, and where their files are.
pub(crate) const CLASS: &str = "/sys/class/video4linux";
pub(crate) const DEVICES: &str = "/dev";

/// `kind = "v4l2"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "v4l2",
    summary: "a USB or other camera of the kernel's, by its file or by its plug",
    example: r#"kind = "v4l2"
device = "/dev/video0"      # or a link of /dev/v4l/by-id; or, instead of it, usb = "046d:0825" (vendor and
                            # product), usb = "046d:0825:A1B2C3" (with serial number)
width = 1280
height = 720
rate_hz = 30                # 0.05 to 1000
# format = "mjpeg"          # nv12, i420, yuyv, mjpeg, rgb, bgr, grey; without it, the cheapest that is fast enough
# controls = { brightness = 128, auto_exposure = "Manual Mode", exposure_time_absolute = 100 }
# silence_s = 2.5           # without a frame for so long it has failed, and is opened again
# start_s = 15              # how long the first frame may take
"#,
    build: read,
};

/// A configured camera.
#[derive(Debug)]
struct V4l2 {
    identity: Identity,
    wanted: Wanted,
    controls: Vec<Setting>,
    live: Live,
}

/// Why a camera gives no frames.
#[derive(Debug, thiserror::Error)]
enum CameraError {
    /// The driver.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// There is no such camera, format, size or control.
    #[error("{0}")]
    Wanted(String),
    /// The frame clock stands still.
    #[error("no frame came for {} s{}", after.as_secs_f32(), broken(*damaged))]
    Silent {
        /// So long.
        after: Duration,
        /// Frames that came and cannot be used.
        damaged: u32,
    },
    /// The driver set a size that cannot be.
    #[error("its driver set an impossible size")]
    Size(#[from] FrameError),
}

fn broken(damaged: u32) -> String {
    match damaged {
        0 => String::new(),
        count => format!(" but {count} damaged ones: cable, power supply or USB bandwidth"),
    }
}

/// Reads the table of such a source.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let (device, usb) = (section.path("device"), section.text("usb"));
    let identity = match (device, usb) {
        (Some(_), Some(_)) => {
            section.mistake("usb", "and `device` are two ways to name a camera: keep one");
            None
        }
        (Some(path), None) => Some(Identity::Path(path)),
        (None, Some(usb)) => {
            let identity = Identity::usb(&usb);
            if identity.is_none() {
                let advice = "expected VENDOR:PRODUCT[:SERIAL], such as 046d:0825";
                section.mistake("usb", format!("`{usb}` is no USB device; {advice}"));
            }
            identity
        }
        (None, None) => {
            section.mistake("device", "is missing: a file such as /dev/video0, or `usb`");
            None
        }
    };
    let side = |key, default| section.integer(key, 1..=SIDE_MAX).unwrap_or(default);
    let size = (side("width", 1280), side("height", 720));
    if let Err(error) = check_size(size.0, size.1) {
        section.mistake("width", error.to_string());
    }
    let format = section.choice("format", PixelFormat::NAMES);
    let live = Live::read(section);
    let controls = controls::read(section);
    let wanted = Wanted { format, size, rate_hz: live.rate_hz };
    Some(Box::new(V4l2 { identity: identity?, wanted, controls, live }))
}

impl V4l2 {
    fn try_open(&self, path: &Path) -> Result<Open, CameraError> {
        let device = Device::open(path)?;
        let about = device.about()?;
        let formats = device.formats()?;
        let fits = fitting(&formats, &self.wanted).map_err(CameraError::Wanted)?;
        let mut offers = Vec::with_capacity(fits.len());
        for (format, fourcc) in fits {
            let rates_hz = device.rates_hz(fourcc, self.wanted.size)?;
            offers.push(Offer { format, fourcc, rates_hz });
        }
        let nothing = || CameraError::Wanted("it gives nothing".to_owned());
        let offer = best(&offers, &self.wanted).ok_or_else(nothing)?;
        let set = device.set_format(offer.fourcc, self.wanted.size)?;
        check_size(set.width, set.height)?;
        let (width, height) = self.wanted.size;
        if (set.width, set.height) != (width, height) {
            let (is_w, is_h) = (set.width, set.height);
            let refused = format!("it gives {is_w} x {is_h} instead of {width} x {height}");
            return Err(CameraError::Wanted(refused));
        }
        let rate_hz = device.set_rate(self.wanted.rate_hz)?;
        controls::apply(&device, &self.controls)?;
        tracing::info!(
            camera = about.card,
            driver = about.driver,
            bus = about.bus,
            format = name_of(offer.format),
            width,
            height,
            rate_hz,
            "camera opened"
        );
        let stream = device.start()?;
        Ok(Open {
            path: path.to_owned(),
            stream,
            format: offer.format,
            set,
            live: self.live,
            seq: 0,
        })
    }
}

impl SourceSpec for V4l2 {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        let found = self.identity.find(Path::new(CLASS), Path::new(DEVICES));
        let path = found.map_err(|why| SourceError::Open {
            what: "the camera".to_owned(),
            source: CameraError::Wanted(why).into(),
        })?;
        let open = self.try_open(&path);
        let failed =
            |error: CameraError| SourceError::Open { what: what(&path), source: error.into() };
        Ok(Box::new(open.map_err(failed)?))
    }

    fn rate_hz(&self) -> Option<f64> {
        Some(self.live.rate_hz)
    }

    fn returns(&self, _stop: &Stop) -> Option<Returns> {
        let identity = self.identity.clone();
        Some(returned(move || {
            identity.find(Path::new(CLASS), Path::new(DEVICES)).is_ok_and(|path| path.exists())
        }))
    }
}

/// The largest size that a camera gives often enough to be called video.
pub(crate) fn largest(path: &Path) -> Result<(u32, u32), Box<dyn std::error::Error + Send + Sync>> {
    let device = Device::open(path)?;
    device.about()?;
    let mut best = (0, 0);
    for info in device.formats()? {
        let sizes = match (&info.format, info.sizes) {
            (None, _) | (_, Sizes::Unknown) => Vec::new(),
            (_, Sizes::Some(sizes)) => sizes,
            (_, Sizes::Range(_, most, _)) => vec![most],
        };
        for size in sizes {
            let rates = device.rates_hz(info.fourcc, size)?;
            let area = |(w, h): (u32, u32)| u64::from(w) * u64::from(h);
            let quick = rates.first().is_none_or(|rate| *rate >= VIDEO_HZ);
            if quick && area(size) > area(best) {
                best = size;
            }
        }
    }
    let nothing = || CameraError::Wanted("it gives no video that is read here".to_owned());
    if best == (0, 0) { Err(nothing().into()) } else { Ok(best) }
}

fn what(path: &Path) -> String {
    format!("the camera `{}`", path.display())
}

/// An open camera.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    stream: Stream,
    format: PixelFormat,
    set: Set,
    live: Live,
    seq: u64,
}

/// Why one frame cannot be used; the next may be whole.
#[derive(Debug)]
enum Unusable {
    Damaged,
    Jpeg(#[expect(dead_code, reason = "for the log")] JpegError),
}

impl Open {
    fn read(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, CameraError> {
        let patience = self.live.patience(self.seq);
        let (deadline, mut damaged) = (Instant::now() + patience, 0);
        loop {
            if stop.said() {
                return Ok(Next::Stopped);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CameraError::Silent { after: patience, damaged });
            }
            if !self.stream.wait(left.min(LOOK_EVERY))? {
                continue;
            }
            let Some(taken) = self.stream.newest()? else { continue };
            let filled = match taken.damaged {
                true => Err(Unusable::Damaged),
                false => fill(frame, self.stream.bytes(&taken), self.format, &self.set),
            };
            self.stream.give_back(taken)?;
            if let Err(unusable) = filled {
                tracing::debug!(?unusable, sequence = taken.sequence, "a frame cannot be used");
                damaged += 1;
                continue;
            }
            let now_ns = monotonic_ns();
            let at_ns = taken.captured_us.map_or(now_ns, |us| us.saturating_mul(1000));
            (frame.captured, frame.ts) = captured(at_ns);
            (frame.seq, frame.truth) = (self.seq, None);
            self.seq += 1;
            return Ok(Next::Frame);
        }
    }
}

impl Source for Open {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        let next = self.read(frame, stop);
        next.map_err(|error| SourceError::Read { what: what(&self.path), source: error.into() })
    }
}

/// Copies a driver's picture into `frame`.
fn fill(frame: &mut Frame, bytes: &[u8], format: PixelFormat, set: &Set) -> Result<(), Unusable> {
    if format == PixelFormat::Mjpeg {
        let (width, height) = Header::read(bytes).map_err(Unusable::Jpeg)?;
        frame
            .reshape(format, width, height)
            .map_err(|_| Unusable::Damaged)?
            .extend_from_slice(bytes);
        frame.colour = Colour::JPEG;
        return Ok(());
    }
    (frame.format, frame.width, frame.height) = (format, set.width, set.height);
    (frame.colour, frame.planes) = (set.colour, planes(format, set));
    let own = frame.own();
    own.clear();
    if own.capacity() < bytes.len() {
        *own = crate::hw::pages::with_room(bytes.len());
    }
    own.extend_from_slice(bytes);
    frame.check().map_err(|_| Unusable::Damaged)
}

/// Where the planes lie: the driver says how far rows are apart, and the planes follow each other.
#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
fn planes(format: PixelFormat, set: &Set) -> [Plane; 3] {
    let (stride, height) = (set.stride as usize, set.height as usize);
    let (first, half) = (stride * height, height.div_ceil(2));
    let plane = |offset, stride| Plane { offset, stride };
    match format {
        PixelFormat::Nv12 => [plane(0, stride), plane(first, stride), Plane::default()],
        PixelFormat::I420 => {
            let chroma = stride / 2;
            [plane(0, stride), plane(first, chroma), plane(first + chroma * half, chroma)]
        }
        _ => [plane(0, stride), Plane::default(), Plane::default()],
    }
}
