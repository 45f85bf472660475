//! `vedette annotate`: what a model sees in one picture, drawn on it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::open::{OpenArgs, Opened};
use super::source::{described, encode};
use super::{complain, say};
use crate::config::Section;
use crate::config::section::Mistakes;
use crate::config::tree::At;
use crate::disk;
use crate::kinds;
use crate::pipeline::frame::Frame;
use crate::pipeline::postprocess::{Findings, ModelFacts};
use crate::pipeline::preprocess::Preprocess;
use crate::pipeline::source::Next;
use crate::pipeline::{draw, rgb};
use crate::report;
use crate::stop::Stop;
use crate::supervisor::exit;

/// Takes one frame from a source, runs the model on it, and writes the picture with what was found.
#[derive(Debug, Args)]
pub(super) struct Annotate {
    #[command(flatten)]
    open: OpenArgs,
    /// A picture, a folder of pictures or a Motion-JPEG file; otherwise the pattern source
    #[arg(long, value_name = "PATH", conflicts_with = "pattern")]
    picture: Option<PathBuf>,
    /// Size of the pattern source's picture
    #[arg(long, value_name = "WxH", default_value = "1280x720")]
    pattern: String,
    /// Seed of the pattern source
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
    /// Which of the source's frames, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    frame: u32,
    /// Where to write the picture, as PNG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Annotate {
    pub(super) fn run(self) -> u8 {
        match self.open.open().and_then(|opened| self.annotate(&opened)) {
            Ok(found) => {
                say(&format!("{found} found; wrote `{}`", self.out.display()));
                exit::OK
            }
            Err(message) => {
                complain(&message);
                exit::FAILED
            }
        }
    }

    fn annotate(&self, opened: &Opened) -> Result<usize, String> {
        let frame = self.frame()?;
        let folder = &opened.folder;
        let picture = folder
            .picture
            .as_ref()
            .ok_or("the model takes no pictures: no [picture] in its model.toml")?;
        let mistakes = Mistakes::new();
        let place = At::File(self.out.as_path().into(), 1);
        let section = Section::top(&folder.postprocess, place, Path::new("."), &mistakes);
        let spec = kinds::build(kinds::POSTPROCESSES, section)
            .ok_or("the model has no usable [postprocess]")?;
        let facts = ModelFacts {
            signature: opened.engine.signature(),
            labels: &folder.labels,
            input_width: picture.width,
            input_height: picture.height,
            input_index: folder.input,
        };
        let mut postprocess = spec.build(&facts).map_err(|error| report::chain(&error))?;
        let mut preprocess = Preprocess::new(picture).map_err(|error| report::chain(&error))?;
        let mut lane = opened.engine.lane(1).map_err(|error| report::chain(&error))?;
        let input = lane.input_mut(folder.input).map_err(|error| report::chain(&error))?;
        let placement = preprocess.run(&frame, input).map_err(|error| report::chain(&error))?;
        lane.run().map_err(|error| report::chain(&error))?;
        let mut findings = Findings::default();
        postprocess
            .run(lane.as_ref(), 0, &placement, &mut findings)
            .map_err(|error| report::chain(&error))?;
        let mut pixels = Vec::new();
        rgb::to_rgb(&frame, &mut pixels).map_err(|error| report::chain(&error))?;
        draw::annotate(&mut pixels, frame.width, frame.height, &findings.detections);
        let png = encode(&pixels, frame.width, frame.height).map_err(|error| error.to_string())?;
        disk::replace(&self.out, &png).map_err(|error| report::chain(&error))?;
        Ok(findings.detections.len())
    }

    /// The source's frame number `self.frame`.
    fn frame(&self) -> Result<Frame, String> {
        let text = match &self.picture {
            Some(path) => format!(
                "kind = \"replay\"\npath = {:?}\npace = \"free\"\n",
                path.display().to_string()
            ),
            None => {
                let sides = self.pattern.split_once('x');
                let number = |side: &str| side.parse::<u32>().ok();
                let (width, height) = sides
                    .and_then(|(width, height)| number(width).zip(number(height)))
                    .ok_or_else(|| format!("`{}` is no size: expected WxH", self.pattern))?;
                let seed = self.seed;
                format!(
                    "kind = \"pattern\"\nwidth = {width}\nheight = {height}\nseed = {seed}\npace = \"free\"\n"
                )
            }
        };
        let spec = described(&text)?;
        let (stop, mut frame) = (Stop::new(), Frame::default());
        let mut source = spec.open().map_err(|error| report::chain(&error))?;
        for number in 0..=self.frame {
            match source.next(&mut frame, &stop) {
                Ok(Next::Frame) => {}
                Ok(_) => return Err(format!("the source has {number} frames only")),
                Err(error) => return Err(report::chain(&error)),
            }
        }
        Ok(frame)
    }
}
