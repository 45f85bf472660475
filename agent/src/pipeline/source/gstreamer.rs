//! The `gstreamer` source: any pipeline description that ends in pictures.

use super::child::{AtEnd, Candidate, Open, Request};
use super::live::Live;
use super::{Source, SourceError, SourceSpec};
use crate::config::Section;
use crate::kinds::Kind;

/// Longest description: far more than anybody writes by hand.
const PIPELINE_BYTES_MAX: usize = 16 << 10;

/// `kind = "gstreamer"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "gstreamer",
    summary: "any GStreamer pipeline that ends in raw video or JPEG, in a process of its own",
    example: r#"kind = "gstreamer"
pipeline = "videotestsrc is-live=true ! video/x-raw,width=1280,height=720,framerate=30/1"
rate_hz = 30                # what is expected; 0.05 to 1000
# ends = true               # it reads a file, whose end is its end; without it, it is begun again
# silence_s = 2.5           # without a frame for so long it has failed, and is begun again
# start_s = 15              # how long the first frame may take
"#,
    build: read,
};

/// A configured pipeline.
#[derive(Debug)]
struct Gstreamer {
    request: Request,
    live: Live,
    at_end: AtEnd,
}

/// Reads the table of such a source.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let text = section.required_text("pipeline");
    let live = Live::read(section);
    // A camera that hangs up is at an end too, and GStreamer does not tell that from a file's.
    let at_end = if section.flag("ends") == Some(true) { AtEnd::End } else { AtEnd::Fail };
    let text = text.trim();
    if text.len() > PIPELINE_BYTES_MAX {
        section.mistake("pipeline", format!("is longer than {PIPELINE_BYTES_MAX} bytes"));
    }
    if text.ends_with('!') || text.contains('\0') {
        section.mistake("pipeline", "is to end in an element or its caps; the sink is added");
    }
    let candidate = Candidate { needs: Vec::new(), text: text.to_owned() };
    let request = Request { candidates: vec![candidate], set: Vec::new() };
    (!text.is_empty()).then(|| {
        let spec: Box<dyn SourceSpec> = Box::new(Gstreamer { request, live, at_end });
        spec
    })
}

impl SourceSpec for Gstreamer {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Open::start("the pipeline", &self.request, self.live, self.at_end)?))
    }

    fn rate_hz(&self) -> Option<f64> {
        Some(self.live.rate_hz)
    }
}
