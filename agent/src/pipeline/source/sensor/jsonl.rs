//! The `jsonl` source: samples from a file of JSON objects, one a line.

use super::super::SourceSpec;
use super::super::samples::Format;
use super::file;
use crate::kinds::Kind;

/// `kind = "jsonl"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "jsonl",
    summary: "samples from a file of JSON objects, as if a sensor gave them",
    example: r#"kind = "jsonl"
path = "vibration.jsonl"    # {"x": 0.1, "y": 0.2}, or packets {"x": [0.1, 0.3], "y": [0.2, 0.2]}
rate_hz = 1000              # samples a second; default: the model's
loop = true
pace = "real-time"          # recorded: with its time stamps too; free: as fast as possible
# time = "t"                # the key with each sample's time
# time_unit = "rfc3339"     # s, ms, us, ns, rfc3339
# gap_s = 0.25
# [channels.x]
# column = "ax"             # the key
# scale = 0.10197
"#,
    build: |section| Some(file::read(section, Format::Jsonl)),
};
