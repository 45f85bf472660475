//! The `csi` source: a camera on a Jetson's CSI connector, by NVIDIA's camera service.
//!
//! Written for JetPack's plugins and never run on a board yet. `nvarguscamerasrc` can fail at its second start until
//! its service is restarted, and can play without ever giving a frame: both end by the frame clock and a new process.

use super::child::{AtEnd, Candidate, Open, Request};
use super::live::Live;
use super::{Source, SourceError, SourceSpec};
use crate::config::Section;
use crate::kinds::Kind;
use crate::pipeline::frame::SIDE_MAX;

/// Most cameras of a board.
const SENSOR_MAX: u32 = 15;
/// Most modes of a sensor.
const MODE_MAX: u32 = 31;

/// `kind = "csi"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "csi",
    summary: "a camera on a Jetson's CSI connector (nvarguscamerasrc), in a process of its own",
    example: r#"kind = "csi"
sensor = 0                  # which of the board's cameras
width = 1920
height = 1080
rate_hz = 30                # whole frames a second
# mode = 2                  # the sensor's mode; without it, the one that fits best
# flip = "rotate-180"       # none, clockwise, rotate-180, counterclockwise, horizontal, vertical
# silence_s = 2.5           # without a frame for so long it has failed, and is begun again
# start_s = 15              # how long the first frame may take
"#,
    build: read,
};

/// `flip-method` of `nvvidconv`, by its names here.
const FLIPS: &[(&str, u32)] = &[
    ("none", 0),
    ("counterclockwise", 1),
    ("rotate-180", 2),
    ("clockwise", 3),
    ("horizontal", 4),
    ("vertical", 6),
];

/// A configured camera.
#[derive(Debug)]
struct Csi {
    sensor: u32,
    request: Request,
    live: Live,
}

/// Reads the table of such a source.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let sensor = section.integer("sensor", 0..=SENSOR_MAX).unwrap_or(0);
    let side = |key, default| section.integer(key, 16..=SIDE_MAX).unwrap_or(default);
    let (width, height) = (side("width", 1920), side("height", 1080));
    let live = Live::read(section);
    if live.rate_hz.fract() != 0.0 {
        section.mistake("rate_hz", format!("{} is no whole number", live.rate_hz));
    }
    let mode = section.integer("mode", 0..=MODE_MAX);
    let flip = section.choice("flip", FLIPS).unwrap_or(0);
    let text = pipeline(sensor, mode, (width, height), live.rate_hz, flip);
    let candidate = Candidate { needs: Vec::new(), text };
    let request = Request { candidates: vec![candidate], set: Vec::new() };
    Some(Box::new(Csi { sensor, request, live }))
}

fn pipeline(sensor: u32, mode: Option<u32>, size: (u32, u32), rate_hz: f64, flip: u32) -> String {
    let mode = mode.map_or_else(|| "-1".to_owned(), |mode| mode.to_string());
    let (width, height) = size;
    format!(
        "nvarguscamerasrc sensor-id={sensor} sensor-mode={mode} ! \
         video/x-raw(memory:NVMM),width={width},height={height},framerate={rate_hz}/1,format=NV12 ! \
         nvvidconv flip-method={flip} ! video/x-raw,format=NV12"
    )
}

impl SourceSpec for Csi {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        let what = format!("the CSI camera {}", self.sensor);
        Ok(Box::new(Open::start(&what, &self.request, self.live, AtEnd::Fail)?))
    }

    fn rate_hz(&self) -> Option<f64> {
        Some(self.live.rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_the_pipeline_that_nvidia_documents() {
        let text = pipeline(1, Some(2), (1920, 1080), 30.0, 2);
        assert_eq!(
            text,
            "nvarguscamerasrc sensor-id=1 sensor-mode=2 ! video/x-raw(memory:NVMM),width=1920,height=1080,\
             framerate=30/1,format=NV12 ! nvvidconv flip-method=2 ! video/x-raw,format=NV12"
        );
    }
}
