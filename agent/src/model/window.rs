//! `[window]` of a `model.toml`: the window of samples that a model of sensors wants.

use std::sync::Arc;

use super::folder::{filled, narrow};
use crate::config::section::Section;
use crate::pipeline::engine::Signature;
use crate::pipeline::frame::SIDE_MAX;
use crate::pipeline::tensor::{Dim, Element, TensorSpec};
use crate::pipeline::window::{Cut, RATES_HZ, WindowSpec};

/// Most channels: more than any board of sensors has, and few enough for one line of CSV.
const CHANNELS_MAX: usize = 256;
/// Longest window and hop, in seconds: a week.
const SECONDS: std::ops::RangeInclusive<f64> = 1e-6..=604_800.0;

/// The input that the source fills and the window that it is; `None` where the table is not there, and no window
/// where a mistake was noted.
pub(super) fn read(
    top: &Section<'_>,
    signature: &Signature,
) -> Option<(usize, Option<WindowSpec>)> {
    let section = top.section("window")?;
    if top.has("picture") {
        section.mistake("", "stands beside [picture]: a model is shown the one or the other");
    }
    let index = filled(&section, signature);
    let window = signature.inputs.get(index).and_then(|input| window(&section, input));
    section.finish();
    Some((index, window))
}

fn window(section: &Section<'_>, input: &TensorSpec) -> Option<WindowSpec> {
    let channels = names(section, "channels");
    if !section.has("channels") {
        section.mistake("channels", "is missing: their names, such as [\"x\", \"y\", \"z\"]");
    }
    let units = names(section, "units");
    if !units.is_empty() && units.len() != channels.len() {
        let (found, wanted) = (units.len(), channels.len());
        section.mistake("units", format!("has {found} units for {wanted} channels"));
    }
    let rate_hz = section.number("rate_hz", RATES_HZ);
    if !section.has("rate_hz") {
        section.mistake("rate_hz", "is missing: samples a second");
    }
    let length = extent(section, ("length", "length_s"), rate_hz);
    if length.is_none() && !section.has("length") && !section.has("length_s") {
        section.mistake("length", "is missing: samples of a window, or seconds as `length_s`");
    }
    let hop = extent(section, ("hop", "hop_s"), rate_hz).or(length);
    let mean = numbers(section, "mean", channels.len(), 0.0);
    let std = numbers(section, "std", channels.len(), 1.0);
    if std.contains(&0.0) {
        section.mistake("std", "divides by zero");
    }
    let spectrum = section.flag("spectrum").unwrap_or(false);
    let cut = Cut { channels, units, rate_hz: rate_hz?, length: length?, hop: hop? };
    let spec = WindowSpec { cut, mean, std, spectrum, element: input.element };
    fits(section, input, &spec);
    Some(spec)
}

/// Whether the window fills the input.
fn fits(section: &Section<'_>, input: &TensorSpec, spec: &WindowSpec) {
    let (channels, width) = (spec.cut.channels.len(), spec.width());
    if input.dims.get(1..) != Some(&[Dim::Fixed(channels), Dim::Fixed(width)]) {
        let what = if spec.spectrum { "a spectrum" } else { "a window" };
        section.mistake(
            "input",
            format!("{input} is not {what} of {channels} channels: expected [batch, {channels}, {width}]"),
        );
    }
    if !matches!(spec.element, Element::F32 | Element::F16) {
        section.mistake("input", format!("{input} must be f32 or f16: samples are numbers"));
    }
}

fn names(section: &Section<'_>, key: &'static str) -> Vec<Arc<str>> {
    let names = section.texts(key).unwrap_or_default();
    if names.len() > CHANNELS_MAX || (section.has(key) && names.is_empty()) {
        section.mistake(key, format!("has {} names: 1 to {CHANNELS_MAX}", names.len()));
    }
    if let Some((_, name)) =
        names.iter().enumerate().find(|(at, name)| key == "channels" && names[..*at].contains(name))
    {
        section.mistake(key, format!("two are called `{name}`"));
    }
    names.into_iter().map(Arc::from).collect()
}

/// A number of samples, given as that or as a time.
fn extent(
    section: &Section<'_>,
    (samples, seconds): (&'static str, &'static str),
    rate_hz: Option<f64>,
) -> Option<usize> {
    let most = usize::try_from(SIDE_MAX).unwrap_or(usize::MAX);
    let counted = section.integer(samples, 1..=most);
    let time = section.number(seconds, SECONDS);
    if section.has(samples) && section.has(seconds) {
        section.mistake(seconds, format!("stands beside `{samples}`: one of the two will do"));
    }
    let timed = time.zip(rate_hz).and_then(|(time, rate)| {
        let found = whole(time * rate).filter(|found| (1..=most).contains(found));
        if found.is_none() {
            let found = time * rate;
            section.mistake(seconds, format!("is {found:.0} samples: 1 to {most}"));
        }
        found
    });
    counted.or(timed)
}

#[expect(clippy::as_conversions, reason = "a float becomes an integer, and is looked at before")]
#[expect(clippy::cast_possible_truncation, reason = "a float becomes an integer, see above")]
#[expect(clippy::cast_sign_loss, reason = "a float becomes an integer, see above")]
fn whole(number: f64) -> Option<usize> {
    let number = number.round();
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number as usize)
}

/// A number for each channel; one number serves all.
fn numbers(section: &Section<'_>, key: &'static str, count: usize, default: f32) -> Vec<f32> {
    match section.numbers(key).as_deref() {
        None => vec![default; count],
        Some([one]) => vec![narrow(*one); count],
        Some(many) => {
            if many.len() != count {
                let found = many.len();
                section.mistake(key, format!("has {found} numbers for {count} channels"));
            }
            many.iter().copied().map(narrow).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    fn signature(width: usize) -> Signature {
        let dims = vec![Dim::Free("batch".to_owned()), Dim::Fixed(2), Dim::Fixed(width)];
        let input = TensorSpec { name: "window".to_owned(), element: Element::F32, dims };
        Signature { inputs: vec![input], outputs: Vec::new() }
    }

    #[test]
    fn a_window_is_given_by_count_or_by_time() {
        let wanted = Cut {
            channels: vec!["x".into(), "y".into()],
            units: Vec::new(),
            rate_hz: 50.0,
            length: 100,
            hop: 25,
        };
        for (text, width) in [
            ("length = 100\nhop = 25", 100),
            ("length_s = 2\nhop_s = 0.5", 100),
            ("length = 100\nhop_s = 0.5\nspectrum = true", 51),
        ] {
            let text =
                format!("[window]\nchannels = ['x', 'y']\nrate_hz = 50\nstd = [2]\n{text}\n");
            let mistakes = check(&text, |top| {
                let (index, spec) = read(top, &signature(width)).unwrap();
                let spec = spec.unwrap();
                assert_eq!((index, &spec.cut), (0, &wanted));
                assert_eq!((spec.mean, spec.std), (vec![0.0; 2], vec![2.0; 2]));
            });
            assert_eq!(mistakes, [""; 0], "{text}");
        }
    }

    #[test]
    fn every_mistake_in_a_window_is_named() {
        let text = "[window]\ninput = 'windw'\nchannels = ['x', 'x']\nunits = ['g']\nlength = 9\nlength_s = 1\n\
                    mean = [1, 2, 3]\nstd = [0]\nhopp = 1\n[picture]\n";
        let found = check(text, |top| {
            read(top, &signature(9));
            top.section("picture");
        });
        assert_eq!(
            found,
            [
                "line 1: `window`: stands beside [picture]: a model is shown the one or the other",
                "line 2: `window.input`: unknown value `windw`; did you mean `window`?",
                "line 3: `window.channels`: two are called `x`",
                "line 4: `window.units`: has 1 units for 2 channels",
                "line 1: `window.rate_hz`: is missing: samples a second",
                "line 6: `window.length_s`: stands beside `length`: one of the two will do",
                "line 7: `window.mean`: has 3 numbers for 2 channels",
                "line 8: `window.std`: divides by zero",
                "line 9: `window.hopp`: unknown key; did you mean `hop`?",
            ]
        );
        let found = check("[window]\nchannels = ['x', 'y']\nrate_hz = 1\nlength = 8", |top| {
            read(top, &signature(9));
        });
        let wanted = "line 1: `window.input`: `window` f32 [batch, 2, 9] is not a window of 2 channels: \
                      expected [batch, 2, 8]";
        assert_eq!(found, [wanted]);
    }
}
