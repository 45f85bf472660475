//! Everything that can be plugged in, on one page.
//!
//! One file and one line here adds a source, a postprocess, a rule or a sink. `vedette kinds` prints these tables, an
//! unknown name in a configuration lists them, and one loop tests every example.

use crate::config::Section;
use crate::config::section::unknown;
use crate::hw;
use crate::pipeline::engine::EngineSpec;
use crate::pipeline::postprocess::{PostprocessSpec, anomaly, classify, detect, raw};
use crate::pipeline::rules::{
    RuleSpec, anomaly as over, count, covered, crossing, dark, frozen, in_zone, moved,
};
use crate::pipeline::shadow;
use crate::pipeline::sink::{self, SinkSpec};
use crate::pipeline::source::{
    SourceSpec, csi, gstreamer, http, mqtt, pattern, replay, rtsp, sensor, v4l2,
};

/// One kind of something.
#[derive(Debug)]
pub struct Kind<S: ?Sized + 'static> {
    /// Its name in configurations.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// A table that configures it, in TOML, `kind` included.
    pub example: &'static str,
    /// Reads such a table. `None` only where a mistake was noted. Must ask for every key it knows; the caller
    /// has asked for `kind` and calls `finish`.
    pub build: fn(&Section<'_>) -> Option<Box<S>>,
}

/// Where frames come from.
pub const SOURCES: &[Kind<dyn SourceSpec>] = &[
    Kind {
        name: "pattern",
        summary: "moving shapes with known ground truth, any size, rate and pixel format",
        example: r#"kind = "pattern"
width = 1280
height = 720
format = "nv12"             # nv12, i420, yuyv, mjpeg, rgb, bgr, grey
colour = "bt601-limited"    # or -full, or bt709: how nv12, i420 and yuyv are made
rate_hz = 30                # 0.1 to 1000; 0, or pace = "free": as fast as possible
seed = 1                    # decides everything that is drawn
cut = 150                   # another scene after so many frames; 0: never
# shapes = 4                # always so many; 3 to 6 without it
# frames = 900              # ends after so many; never without it
"#,
        build: pattern::read,
    },
    Kind {
        name: "replay",
        summary: "pictures from files: a folder of JPEG and PNG, one picture, or a Motion-JPEG file",
        example: r#"kind = "replay"
path = "pictures"           # relative to this file
rate_hz = 10                # 0.1 to 1000; 0, or pace = "free": as fast as possible
loop = true                 # begin again at the end; without it, the source ends there
# pace = "recorded"         # what `vedette record` wrote, at its times and with its time stamps
"#,
        build: replay::read,
    },
    v4l2::KIND,
    rtsp::KIND,
    csi::KIND,
    http::KIND,
    mqtt::KIND,
    gstreamer::KIND,
    sensor::csv::KIND,
    sensor::jsonl::KIND,
    sensor::serial::KIND,
    sensor::tcp::KIND,
    sensor::mqtt::KIND,
    sensor::iio::KIND,
    sensor::stdin::KIND,
];

/// What runs models.
pub const ENGINES: &[Kind<dyn EngineSpec>] = &[
    Kind {
        name: "onnxruntime",
        summary: "ONNX Runtime, with the best of its providers that works on this machine",
        example: hw::ort::EXAMPLE,
        build: hw::ort::Options::build,
    },
    Kind {
        name: "shadow",
        summary: "waits as long as an accelerator would, and infers nothing; for benchmarks",
        example: shadow::EXAMPLE,
        build: shadow::Shadow::build,
    },
];

/// How outputs are understood.
pub const POSTPROCESSES: &[Kind<dyn PostprocessSpec>] = &[
    Kind {
        name: "classify",
        summary: "what a picture shows as a whole: the most likely classes",
        example: "kind = \"classify\"\nactivation = \"softmax\"\ntop_k = 5\n",
        build: classify::read,
    },
    Kind {
        name: "detect",
        summary: "where which objects are: families yolov5, yolov8, yolov10, rtdetr, ssd",
        example: "kind = \"detect\"\nfamily = \"yolov8\"\nscore_threshold = 0.4\niou_threshold = 0.5\n\
                  nms = \"by-class\"\nmax_detections = 50\n",
        build: detect::read,
    },
    Kind {
        name: "anomaly",
        summary: "how unusual an input is: by reconstruction, or by the model's own score",
        example: "kind = \"anomaly\"\nscore = \"reconstruction\"\nthreshold = 0.01\n",
        build: anomaly::read,
    },
    Kind {
        name: "raw",
        summary: "the outputs as they are, as far as a message holds them",
        example: "kind = \"raw\"\nmax_elements = 100\n",
        build: raw::read,
    },
];

/// What a pipeline can wait for.
pub const RULES: &[Kind<dyn RuleSpec>] = &[
    in_zone::KIND,
    count::KIND,
    crossing::KIND,
    over::KIND,
    dark::KIND,
    covered::KIND,
    frozen::KIND,
    moved::KIND,
];

/// Where observations go.
pub const SINKS: &[Kind<dyn SinkSpec>] =
    &[sink::console::KIND, sink::jsonl::KIND, sink::mqtt::KIND];

/// Builds what `section` configures: one of `kinds`, by its key `kind`. `None` only where a mistake was noted.
pub fn build<S: ?Sized>(kinds: &'static [Kind<S>], section: Section<'_>) -> Option<Box<S>> {
    let name = section.required_text("kind");
    // Without a kind its keys mean nothing.
    let built = (find(kinds, &name, "kind", &section)?.build)(&section);
    section.finish();
    built
}

/// The one of `kinds` that `name` names, which stands under `key` of `section`. `None` where a mistake was noted.
pub fn find<S: ?Sized>(
    kinds: &'static [Kind<S>],
    name: &str,
    key: &'static str,
    section: &Section<'_>,
) -> Option<&'static Kind<S>> {
    let found = kinds.iter().find(|kind| kind.name == name);
    if found.is_none() && !name.is_empty() {
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
        section.mistake(key, unknown(name, &names));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    fn check_all<S: ?Sized>(what: &str, kinds: &[Kind<S>]) {
        for (index, kind) in kinds.iter().enumerate() {
            let name = kind.name;
            assert!(!kinds[..index].iter().any(|other| other.name == name), "two {what} {name}");
            assert!(!kind.summary.is_empty() && !kind.summary.contains('\n'), "{what} {name}");
            let mistakes = check(kind.example, |section| {
                assert_eq!(section.text("kind").as_deref(), Some(name), "{what} {name}");
                assert!((kind.build)(section).is_some(), "{what} {name}");
            });
            assert_eq!(mistakes, [""; 0], "{what} {name}");
            let uncommented = kind.example.replace("\n# ", "\n");
            let mistakes = check(&uncommented, |section| {
                section.text("kind");
                (kind.build)(section);
            });
            assert_eq!(mistakes, [""; 0], "{what} {name}, with what is commented out");
        }
    }

    #[test]
    fn every_example_is_read_without_a_mistake() {
        check_all("source", SOURCES);
        check_all("engine", ENGINES);
        check_all("postprocess", POSTPROCESSES);
        check_all("rule", RULES);
        check_all("sink", SINKS);
    }
}
