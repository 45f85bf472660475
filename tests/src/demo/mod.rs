//! The demonstration: what `scripts/demo` shows, counts and judges.
//!
//! It starts a broker and the daemon as any user would, hears what the daemon publishes, and holds it to the
//! model's own card. [`Tally`] counts one pipeline, [`Screen`] shows it, [`judge`] decides
//! whether the demonstration succeeded.

#[cfg(feature = "demo")]
pub mod broker;
mod card;
mod releases;
mod score;
mod screen;
mod stage;
mod tally;
mod verdict;

pub use card::Card;
pub use releases::releases;
pub use score::Score;
pub use screen::Screen;
pub use stage::{Pipeline, Stage, annotate, configuration};
pub use tally::Tally;
pub use verdict::{Check, Facts, judge};

/// `count` as a number to divide by or into.
fn real(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// `part` of `whole`; `None` of nothing.
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| real(part) / real(whole))
}

/// `value` with three decimals, or a dash.
fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}
