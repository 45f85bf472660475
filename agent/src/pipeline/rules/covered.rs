//! The camera sees one surface: something lies on its lens, or hangs before it.

use super::RuleSpec;
use super::below::Below;
use crate::config::Section;
use crate::kinds::Kind;

/// Standard deviation over the places of a picture, in levels of 255: scenes have twenty and more.
const LIMIT_DEFAULT: f64 = 5.0;
/// How much more it must be to be over.
const CLEAR_ABOVE: f64 = 3.0;

/// `kind = "covered"`.
pub const KIND: Kind<dyn RuleSpec> = Kind {
    name: "covered",
    summary: "the camera's picture is the same everywhere: something covers it",
    example: "kind = \"covered\"\nlimit = 5                   # how much its places differ, levels of 255\n\
              clear = 8                   # over again above so much\nfor_ms = 2000\n",
    build: |section: &Section<'_>| {
        let (range, contrast) = (0.0..=127.0, |luma: &super::Luma| luma.contrast);
        Some(Below::read(section, contrast, range, LIMIT_DEFAULT, CLEAR_ABOVE))
    },
};
