//! The `csv` source: samples from a file of values, with a header or with `columns`.

use super::super::SourceSpec;
use super::super::samples::Format;
use super::file;
use crate::kinds::Kind;

/// `kind = "csv"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "csv",
    summary: "samples from a CSV file, as if a sensor gave them, for a model on windows",
    example: r#"kind = "csv"
path = "vibration.csv"      # relative to this file
rate_hz = 1000              # samples a second; default: the model's
loop = true                 # begin again at the end; without it, the source ends there
pace = "real-time"          # recorded: with its time stamps too; free: as fast as possible
# columns = ["t", "ax", "ay", "az"] # in order; without it, a first line names them, or they are the model's channels
# separator = ","           # also ";", tab, blank
# time = "t"                # the column with each sample's time; without it they are evenly spaced
# time_unit = "s"           # s, ms, us, ns, rfc3339
# gap_s = 0.25              # after a longer gap a window is begun anew
# [channels.x]              # a channel of the model: from which column, in which unit, value * scale + offset
# column = "ax"
# unit = "g"
# scale = 0.10197
# offset = 0.0
"#,
    build: |section| Some(file::read(section, Format::Csv)),
};
