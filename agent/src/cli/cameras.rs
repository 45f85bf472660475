//! `vedette cameras`: what cameras the kernel shows, and one frame of any source.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::source::{SourceArgs, png};
use super::{complain, say};
use crate::disk;
use crate::hw::v4l2::{ControlInfo, Device, FormatInfo, Sizes, Values, VideoError, fourcc_text};
use crate::pipeline::frame::{Frame, PixelFormat};
use crate::pipeline::source::Next;
use crate::pipeline::source::v4l2::{CLASS, DEVICES, choose, identity};
use crate::report;
use crate::stop::Stop;
use crate::supervisor::exit;

/// Sizes that are listed with their rates in the table; all are in `--json`.
const SIZES_SHOWN: usize = 6;

/// Lists the cameras that are there, with their formats, sizes, rates and controls; or writes one frame of a source.
#[derive(Debug, Args)]
pub(super) struct Cameras {
    #[command(flatten)]
    source: SourceArgs,
    /// One JSON document instead of a table
    #[arg(long, conflicts_with = "preview")]
    json: bool,
    /// Write a frame of the named source to this file, as PNG
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// Frames before the one that is written: a camera's first are dark
    #[arg(long, value_name = "N", default_value_t = 3)]
    skip: u32,
}

impl Cameras {
    pub(super) fn run(self) -> u8 {
        let done = match &self.preview {
            Some(file) => self.preview(file),
            None => {
                self.list();
                return exit::OK;
            }
        };
        match done {
            Ok(said) => {
                say(&said);
                exit::OK
            }
            Err(message) => {
                complain(&message);
                exit::FAILED
            }
        }
    }

    fn preview(&self, file: &Path) -> Result<String, String> {
        let spec = self.source.spec()?;
        let (stop, mut frame) = (Stop::new(), Frame::default());
        let mut source = spec.open().map_err(|error| report::chain(&error))?;
        for number in 0..=self.skip {
            match source.next(&mut frame, &stop) {
                Ok(Next::Frame) => {}
                Ok(_) => return Err(format!("the source has {number} frames only")),
                Err(error) => return Err(report::chain(&error)),
            }
        }
        let bytes = png(&frame, &mut Vec::new())?;
        disk::replace(file, &bytes).map_err(|error| report::chain(&error))?;
        let Frame { width, height, .. } = frame;
        Ok(format!("a frame of {width} x {height} pixels, in `{}`", file.display()))
    }

    fn list(&self) {
        let found: Vec<Found> = match &self.source.device {
            Some(path) => vec![Found::look(path.clone(), None)],
            None => {
                let class = Path::new(CLASS);
                let devices = identity::list(class).into_iter();
                let look = |(name, _): (String, u32)| {
                    Found::look(Path::new(DEVICES).join(&name), identity::usb(&class.join(&name)))
                };
                devices.map(look).collect()
            }
        };
        if self.json {
            let list: Vec<Value> = found.iter().map(Found::json).collect();
            return say(&format!("{:#}", json!({ "cameras": list })));
        }
        if found.is_empty() {
            return say(
                "no cameras: the kernel shows no /dev/video (CSI, RTSP and HTTP cameras are not its)",
            );
        }
        say(&found.iter().map(Found::table).collect::<Vec<_>>().join("\n"));
    }
}

/// A device that the kernel shows.
struct Found {
    path: PathBuf,
    usb: Option<identity::Usb>,
    camera: Result<Camera, VideoError>,
}

struct Camera {
    about: crate::hw::v4l2::About,
    formats: Vec<Listed>,
    controls: Vec<ControlInfo>,
}

/// A format with the rates of each of its sizes.
struct Listed {
    info: FormatInfo,
    rates: Vec<((u32, u32), Vec<f64>)>,
}

impl Found {
    fn look(path: PathBuf, usb: Option<identity::Usb>) -> Self {
        let camera = look(&path);
        Self { path, usb, camera }
    }

    fn json(&self) -> Value {
        let usb =
            self.usb.as_ref().map(|usb| json!({ "product": usb.product, "serial": usb.serial }));
        let path = self.path.display().to_string();
        match &self.camera {
            Err(error) => json!({ "device": path, "usb": usb, "error": error.to_string() }),
            Ok(camera) => json!({
                "device": path,
                "usb": usb,
                "name": camera.about.card,
                "driver": camera.about.driver,
                "bus": camera.about.bus,
                "formats": camera.formats.iter().map(Listed::json).collect::<Vec<_>>(),
                "controls": camera.controls.iter().map(control_json).collect::<Vec<_>>(),
            }),
        }
    }

    fn table(&self) -> String {
        let mut text = self.path.display().to_string();
        if let Some(usb) = &self.usb {
            let serial = usb.serial.as_ref().map(|serial| format!(":{serial}")).unwrap_or_default();
            text += &format!("  usb = \"{}{serial}\"", usb.product);
        }
        let camera = match &self.camera {
            Err(error) => return format!("{text}\n    {error}"),
            Ok(camera) => camera,
        };
        text += &format!("  {} ({}, {})", camera.about.card, camera.about.driver, camera.about.bus);
        for Listed { info, rates } in &camera.formats {
            let note = if info.format.is_none() { "  (not read here)" } else { "" };
            if rates.is_empty() {
                text += &format!("\n    {}{note}", choose::listed(info));
            }
            for ((width, height), rates) in rates.iter().take(SIZES_SHOWN) {
                let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.4}")).collect();
                let rates: Vec<&str> = rates.iter().map(|text| trimmed(text)).collect();
                let name = format_name(info);
                text += &format!("\n    {name} {width}x{height} at {} Hz{note}", rates.join(", "));
            }
            if rates.len() > SIZES_SHOWN {
                text += &format!("\n    … {} more sizes (--json)", rates.len() - SIZES_SHOWN);
            }
        }
        for control in &camera.controls {
            text += &format!("\n    {} = {}", control.name, values(control));
        }
        text
    }
}

/// `30.0000` as `30`, `29.9700` as `29.97`.
fn trimmed(rate: &str) -> &str {
    rate.trim_end_matches('0').trim_end_matches('.')
}

fn format_name(info: &FormatInfo) -> String {
    let known = info.format.and_then(|format| {
        PixelFormat::NAMES.iter().find(|(_, known)| *known == format).map(|(name, _)| *name)
    });
    known.map_or_else(|| fourcc_text(info.fourcc), str::to_owned)
}

impl Listed {
    fn json(&self) -> Value {
        let sizes: Vec<Value> = self
            .rates
            .iter()
            .map(|((width, height), rates)| {
                json!({ "width_px": width, "height_px": height, "rates_hz": rates })
            })
            .collect();
        let range = match &self.info.sizes {
            Sizes::Range(from, to, step) => json!({ "from": from, "to": to, "step": step }),
            _ => Value::Null,
        };
        json!({
            "format": format_name(&self.info),
            "readable": self.info.format.is_some(),
            "name": self.info.name,
            "sizes": sizes,
            "size_range": range,
        })
    }
}

fn control_json(control: &ControlInfo) -> Value {
    let values = match &control.values {
        Values::Integer(from, to, step) => json!({ "from": from, "to": to, "step": step }),
        Values::Flag => json!([false, true]),
        Values::Menu(entries) => json!(entries.iter().map(|(_, name)| name).collect::<Vec<_>>()),
    };
    json!({ "name": control.name, "default": control.default, "values": values })
}

fn values(control: &ControlInfo) -> String {
    match &control.values {
        Values::Integer(from, to, step) => {
            format!("{from} to {to} by {step} (default {})", control.default)
        }
        Values::Flag => format!("true, false (default {})", control.default != 0),
        Values::Menu(entries) => {
            let names: Vec<String> = entries.iter().map(|(_, name)| format!("{name:?}")).collect();
            let default = entries.iter().find(|(number, _)| *number == control.default);
            let default = default.map_or("", |(_, name)| name);
            format!("{} (default {default:?})", names.join(", "))
        }
    }
}

fn look(path: &Path) -> Result<Camera, VideoError> {
    let device = Device::open(path)?;
    let about = device.about()?;
    let mut formats = Vec::new();
    for info in device.formats()? {
        let mut rates = Vec::new();
        if let Sizes::Some(sizes) = &info.sizes {
            for size in sizes {
                rates.push((*size, device.rates_hz(info.fourcc, *size)?));
            }
        }
        formats.push(Listed { info, rates });
    }
    Ok(Camera { about, formats, controls: device.controls()? })
}
