//! The camera sees nothing: it is dark.

use super::RuleSpec;
use super::below::Below;
use crate::config::Section;
use crate::kinds::Kind;

/// Mean level, of 255: 16 is black in most cameras' range.
const LIMIT_DEFAULT: f64 = 24.0;
/// How much brighter it must be to be over.
const CLEAR_ABOVE: f64 = 8.0;

/// `kind = "dark"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "dark",
    summary: "the camera's picture is dark as a whole",
    example: "kind = \"dark\"\nlimit = 24                  # mean level, 0 to 255\n\
              clear = 32                  # over again above so much\nfor_ms = 2000\n",
    build: |section: &Section<'_>| {
        let (range, mean) = (0.0..=255.0, |luma: &super::Luma| luma.mean);
        Some(Below::read(section, mean, range, LIMIT_DEFAULT, CLEAR_ABOVE))
    },
};
