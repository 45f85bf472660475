//! Video4Linux: cameras as the kernel shows them. The one place that speaks to their drivers.
//!
//! Frames come in memory that driver and process share. [`Stream::newest`] gives the newest that the driver has
//! filled and hands it all older ones back unread, so that whoever was late does not see the past. Nothing here
//! waits longer than it is told, whatever a driver does, as far as the driver answers requests at all.
//!
//! Calls go through the C library, not to the kernel directly: the tests' stand-in for a driver is between them
//! (`tests/tests/cameras/`).
#![expect(unsafe_code, reason = "requests to drivers go by address")]

mod abi;
mod stream;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use self::abi::Zero as _;
pub use self::stream::{Stream, Taken};
use crate::pipeline::frame::{Colour, Matrix, PixelFormat, Range};

/// Most entries of any list that a driver gives: a driver whose list never ends must not hold us.
const LIST_MAX: u32 = 256;

/// Formats that are read here, the cheapest for preprocess first, and their names in the kernel.
const FORMATS: &[(PixelFormat, u32)] = &[
    (PixelFormat::Nv12, abi::fourcc(*b"NV12")),
    (PixelFormat::I420, abi::fourcc(*b"YU12")),
    (PixelFormat::Yuyv, abi::fourcc(*b"YUYV")),
    (PixelFormat::Grey, abi::fourcc(*b"GREY")),
    (PixelFormat::Rgb, abi::fourcc(*b"RGB3")),
    (PixelFormat::Bgr, abi::fourcc(*b"BGR3")),
    (PixelFormat::Mjpeg, abi::fourcc(*b"MJPG")),
    (PixelFormat::Mjpeg, abi::fourcc(*b"JPEG")),
];

/// What a driver refused, or does not have.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// It could not be opened.
    #[error("{}", opening(path, source))]
    Open {
        /// The device's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no camera.
    #[error("{0}")]
    Kind(String),
    /// A request failed.
    #[error("{}", refusal(request, source))]
    Request {
        /// Its name in the kernel.
        request: &'static str,
        /// What the driver said.
        source: io::Error,
    },
    /// Its memory could not be shared.
    #[error("its buffers cannot be used")]
    Map(#[source] io::Error),
}

/// Each of these has one fix.
fn opening(path: &Path, source: &io::Error) -> String {
    let path = path.display();
    match source.kind() {
        io::ErrorKind::NotFound => format!("there is no `{path}`: is the camera plugged in?"),
        io::ErrorKind::PermissionDenied => format!(
            "no permission for `{path}`: add the user to group video (`usermod -aG video vedette`)"
        ),
        _ if is_busy(source) => busy(),
        _ if is_gone(source) => format!("nothing is behind `{path}`: plug the camera in again"),
        _ => format!("`{path}` cannot be opened: {source}"),
    }
}

fn refusal(request: &str, source: &io::Error) -> String {
    match source.raw_os_error() {
        _ if is_busy(source) => busy(),
        _ if is_gone(source) => "it was unplugged".to_owned(),
        Some(libc::EIO) => {
            "its driver reports an error (EIO): cable, power supply or USB bandwidth".to_owned()
        }
        Some(libc::ENOSPC) => {
            "its USB bus has no bandwidth left: fewer cameras on it, or a smaller size".to_owned()
        }
        Some(libc::ENOTTY) => "it is no camera: it does not know Video4Linux".to_owned(),
        _ => format!("{request} was refused: {source}"),
    }
}

fn busy() -> String {
    "another program uses it: `fuser -v /dev/video*` says which".to_owned()
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its driver, such as `uvcvideo`.
    pub driver: String,
    /// What it is called.
    pub card: String,
    /// Where it is plugged in.
    pub bus: String,
}

/// Sizes that a format has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    /// The driver does not say.
    Unknown,
    /// These.
    Some(Vec<(u32, u32)>),
    /// Any from the first to the second, in steps of the third.
    Range((u32, u32), (u32, u32), (u32, u32)),
}

/// A format that a device has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatInfo {
    /// The same by our name, where it is read here.
    pub format: Option<PixelFormat>,
    /// Its four letters in the kernel.
    pub fourcc: u32,
    /// What the driver calls it.
    pub name: String,
    /// Its sizes.
    pub sizes: Sizes,
}

/// What a control may be set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Whole numbers from, to, in steps of.
    Integer(i32, i32, i32),
    /// 0 or 1.
    Flag,
    /// One of these, by number and name.
    Menu(Vec<(i32, String)>),
}

/// A control of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlInfo {
    id: u32,
    /// Its name, as `v4l2-ctl` writes it: `exposure_time_absolute`.
    pub name: String,
    /// What it may be set to.
    pub values: Values,
    /// What it is without being set.
    pub default: i32,
    /// Whether another control decides it now, such as automatic exposure.
    pub inactive: bool,
}

/// The picture that a device was set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from row to row of the first plane; 0 for JPEG.
    pub stride: u32,
    /// Most bytes of a picture.
    pub bytes: u32,
    /// How to read YUV samples.
    pub colour: Colour,
}

/// An open device.
#[derive(Debug)]
pub struct Device {
    file: File,
}

impl Device {
    /// Opens the device at `path`.
    ///
    /// # Errors
    /// [`VideoError::Open`].
    pub fn open(path: &Path) -> Result<Self, VideoError> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let file = options
            .open(path)
            .map_err(|source| VideoError::Open { path: path.to_owned(), source })?;
        Ok(Self { file })
    }

    /// What it is.
    ///
    /// # Errors
    /// It is no camera whose frames can be read here.
    pub fn about(&self) -> Result<About, VideoError> {
        let mut found = abi::Capability::ZERO;
        self.ask(abi::QUERYCAP, &mut found)?;
        let all = found.capabilities;
        let can = if all & abi::HAS_DEVICE_CAPS != 0 { found.device_caps } else { all };
        let card = text(&found.card);
        let refused = |why: &str| Err(VideoError::Kind(format!("`{card}` {why}")));
        if can & abi::CAN_CAPTURE == 0 && can & abi::CAN_CAPTURE_PLANES != 0 {
            return refused(
                "gives its planes apart (multi-planar): use the source `gstreamer` with v4l2src",
            );
        }
        if can & abi::CAN_CAPTURE == 0 {
            return refused("gives no frames: another /dev/video of the same camera does");
        }
        if can & abi::CAN_STREAM == 0 {
            return refused("does not share its memory: use the source `gstreamer` with v4l2src");
        }
        Ok(About { driver: text(&found.driver), card, bus: text(&found.bus_info) })
    }

    /// The formats that it has.
    ///
    /// # Errors
    /// It was unplugged meanwhile.
    pub fn formats(&self) -> Result<Vec<FormatInfo>, VideoError> {
        let mut formats = Vec::new();
        for index in 0..LIST_MAX {
            let mut found = abi::FormatDescription {
                index,
                r#type: abi::CAPTURE,
                ..abi::FormatDescription::ZERO
            };
            if !self.list(abi::ENUM_FMT, &mut found)? {
                break;
            }
            let known = FORMATS.iter().find(|(_, fourcc)| *fourcc == found.pixelformat);
            formats.push(FormatInfo {
                format: known.map(|(format, _)| *format),
                fourcc: found.pixelformat,
                name: text(&found.description),
                sizes: self.sizes(found.pixelformat)?,
            });
        }
        Ok(formats)
    }

    fn sizes(&self, pixel_format: u32) -> Result<Sizes, VideoError> {
        let mut sizes = Vec::new();
        for index in 0..LIST_MAX {
            let mut found = abi::SizeEnum { index, pixel_format, ..abi::SizeEnum::ZERO };
            if !self.list(abi::ENUM_FRAMESIZES, &mut found)? {
                break;
            }
            let [a, b, c, d, e, f] = found.size;
            if found.r#type != abi::DISCRETE {
                return Ok(Sizes::Range((a, d), (b, e), (c, f)));
            }
            sizes.push((a, b));
        }
        Ok(if sizes.is_empty() { Sizes::Unknown } else { Sizes::Some(sizes) })
    }

    /// Frames a second that it has for a format of a size, the fastest first; of a range, its ends. Empty where
    /// the driver does not say.
    ///
    /// # Errors
    /// It was unplugged meanwhile.
    pub fn rates_hz(&self, pixel_format: u32, size: (u32, u32)) -> Result<Vec<f64>, VideoError> {
        let mut rates = Vec::new();
        for index in 0..LIST_MAX {
            let (width, height) = size;
            let mut found =
                abi::IntervalEnum { index, pixel_format, width, height, ..abi::IntervalEnum::ZERO };
            if !self.list(abi::ENUM_FRAMEINTERVALS, &mut found)? {
                break;
            }
            let [num, den, max_num, max_den, ..] = found.interval;
            rates.push(rate(num, den));
            if found.r#type != abi::DISCRETE {
                rates.push(rate(max_num, max_den));
                break;
            }
        }
        rates.retain(|rate| rate.is_finite() && *rate > 0.0);
        rates.sort_by(|a, b| b.total_cmp(a));
        Ok(rates)
    }

    /// Sets format and size, and says what came of it.
    ///
    /// # Errors
    /// It is busy, or does not know the format at all.
    pub fn set_format(&self, pixel_format: u32, size: (u32, u32)) -> Result<Set, VideoError> {
        let mut format = abi::Format { r#type: abi::CAPTURE, ..abi::Format::ZERO };
        format.fmt.pixelformat = pixel_format;
        (format.fmt.width, format.fmt.height) = size;
        format.fmt.field = abi::FIELD_ANY;
        self.ask(abi::S_FMT, &mut format)?;
        let picture = format.fmt;
        if picture.pixelformat != pixel_format {
            let letters = fourcc_text(pixel_format);
            return Err(VideoError::Kind(format!("it does not give {letters}")));
        }
        Ok(Set {
            width: picture.width,
            height: picture.height,
            stride: picture.bytesperline,
            bytes: picture.sizeimage,
            colour: colour(&picture),
        })
    }

    /// Asks for a rate, and says which it is, where the driver does.
    ///
    /// # Errors
    /// It was unplugged meanwhile.
    #[expect(clippy::as_conversions, reason = "a thousandth of a rate of at most 1000")]
    #[expect(clippy::cast_possible_truncation, reason = "a thousandth of a rate of at most 1000")]
    #[expect(clippy::cast_sign_loss, reason = "a rate is positive")]
    pub fn set_rate(&self, rate_hz: f64) -> Result<Option<f64>, VideoError> {
        let mut asked = abi::StreamParameters {
            r#type: abi::CAPTURE,
            numerator: 1000,
            denominator: (rate_hz * 1000.0).round() as u32,
            ..abi::StreamParameters::ZERO
        };
        if !self.list(abi::S_PARM, &mut asked)? {
            return Ok(None);
        }
        Ok(Some(rate(asked.numerator, asked.denominator)).filter(|rate| rate.is_finite()))
    }

    /// Its controls.
    ///
    /// # Errors
    /// It was unplugged meanwhile.
    pub fn controls(&self) -> Result<Vec<ControlInfo>, VideoError> {
        let (mut controls, mut last) = (Vec::new(), 0);
        for _ in 0..LIST_MAX {
            let mut found =
                abi::QueryControl { id: last | abi::NEXT_CONTROL, ..abi::QueryControl::ZERO };
            if !self.list(abi::QUERYCTRL, &mut found)? || found.id <= last {
                break;
            }
            last = found.id;
            let dead = abi::CONTROL_DISABLED | abi::CONTROL_READ_ONLY;
            let values = match found.r#type {
                _ if found.flags & dead != 0 => continue,
                abi::TYPE_INTEGER => Values::Integer(found.minimum, found.maximum, found.step),
                abi::TYPE_BOOLEAN => Values::Flag,
                abi::TYPE_MENU | abi::TYPE_INTEGER_MENU => Values::Menu(self.menu(&found)?),
                _ => continue,
            };
            controls.push(ControlInfo {
                id: found.id,
                name: control_name(&text(&found.name)),
                values,
                default: found.default_value,
                inactive: found.flags & abi::CONTROL_INACTIVE != 0,
            });
        }
        Ok(controls)
    }

    fn menu(&self, control: &abi::QueryControl) -> Result<Vec<(i32, String)>, VideoError> {
        let mut entries = Vec::new();
        for number in (control.minimum..=control.maximum).take(64) {
            let index = u32::try_from(number).unwrap_or_default();
            let mut found = abi::QueryMenu { id: control.id, index, ..abi::QueryMenu::ZERO };
            // Menus have holes.
            if self.list(abi::QUERYMENU, &mut found)? {
                let name = match control.r#type {
                    abi::TYPE_MENU => text(&found.name),
                    _ => i64::from_le_bytes(found.name.first_chunk().copied().unwrap_or_default())
                        .to_string(),
                };
                entries.push((number, name));
            }
        }
        Ok(entries)
    }

    /// Sets a control.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn set_control(&self, control: &ControlInfo, value: i32) -> Result<(), VideoError> {
        self.ask(abi::S_CTRL, &mut abi::Control { id: control.id, value })
    }

    /// Sends a request. What it is about may be gone, busy or unknown.
    fn ask<T>(&self, request: abi::Request<T>, argument: &mut T) -> Result<(), VideoError> {
        self.send(&request, argument)
            .map_err(|source| VideoError::Request { request: request.name, source })
    }

    /// Sends a request for an entry of a list, or for something that a driver need not know. False where there is
    /// none.
    fn list<T>(&self, request: abi::Request<T>, argument: &mut T) -> Result<bool, VideoError> {
        match self.send(&request, argument) {
            Ok(()) => Ok(true),
            Err(error) if is_gone(&error) => {
                Err(VideoError::Request { request: request.name, source: error })
            }
            Err(_) => Ok(false),
        }
    }

    fn send<T>(&self, request: &abi::Request<T>, argument: &mut T) -> io::Result<()> {
        loop {
            let argument: *mut T = argument;
            // SAFETY: the argument is of the structure whose size the request's number has (its type says so); the
            // driver writes nothing beyond it.
            let done = unsafe { libc::ioctl(self.file.as_raw_fd(), request.number, argument) };
            match done {
                -1 => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
                _ => return Ok(()),
            }
        }
    }
}

fn rate(numerator: u32, denominator: u32) -> f64 {
    f64::from(denominator) / f64::from(numerator)
}

/// Text of a field that is filled up with zeros.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).trim().to_owned()
}

/// Four letters of a pixel format.
#[must_use]
pub fn fourcc_text(fourcc: u32) -> String {
    text(&fourcc.to_le_bytes())
}

/// As `v4l2-ctl` makes names: small letters and digits, and one `_` for whatever is between.
fn control_name(name: &str) -> String {
    let mut made = String::new();
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            made.push(letter.to_ascii_lowercase());
        } else if !made.ends_with('_') && !made.is_empty() {
            made.push('_');
        }
    }
    made.trim_end_matches('_').to_owned()
}

/// `V4L2_COLORSPACE_REC709`, `_JPEG`; `V4L2_YCBCR_ENC_601`, `_709`; `V4L2_QUANTIZATION_FULL_RANGE`.
fn colour(picture: &abi::Picture) -> Colour {
    let matrix = match (picture.ycbcr_enc, picture.colorspace) {
        (2, _) | (0, 3) => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = match (picture.quantization, picture.colorspace) {
        (1, _) | (0, 7) => Range::Full,
        _ => Range::Limited,
    };
    Colour { matrix, range }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_called_as_v4l2_ctl_calls_them() {
        for (driver, wanted) in [
            ("Brightness", "brightness"),
            ("Exposure Time, Absolute", "exposure_time_absolute"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Power Line Frequency", "power_line_frequency"),
            ("  odd (name) ", "odd_name"),
        ] {
            assert_eq!(control_name(driver), wanted);
        }
    }

    #[test]
    fn what_a_driver_says_is_said_with_what_to_do() {
        let open = |code| VideoError::Open {
            path: "/dev/video0".into(),
            source: io::Error::from_raw_os_error(code),
        };
        let request = |code| VideoError::Request {
            request: "VIDIOC_S_FMT",
            source: io::Error::from_raw_os_error(code),
        };
        for (error, wanted) in [
            (open(libc::ENOENT), "is the camera plugged in?"),
            (open(libc::EACCES), "add the user to group video"),
            (open(libc::EBUSY), "another program uses it"),
            (open(libc::ENODEV), "plug the camera in again"),
            (request(libc::EBUSY), "another program uses it"),
            (request(libc::ENODEV), "it was unplugged"),
            (request(libc::EIO), "cable, power supply or USB bandwidth"),
            (request(libc::ENOSPC), "fewer cameras on it"),
            (request(libc::EINVAL), "VIDIOC_S_FMT was refused: Invalid argument"),
        ] {
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }
}
