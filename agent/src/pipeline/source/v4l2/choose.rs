//! Which of a camera's formats and sizes is taken. Pure: from what the driver lists to one of it, or to an error
//! that lists what there is.

use crate::hw::v4l2::{FormatInfo, Sizes, fourcc_text};
use crate::pipeline::frame::PixelFormat;

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wanted {
    pub(super) format: Option<PixelFormat>,
    pub(super) size: (u32, u32),
    pub(super) rate_hz: f64,
}

/// A format that the driver lists, in the wanted size, and the rates that it has there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Offer {
    pub(super) format: PixelFormat,
    pub(super) fourcc: u32,
    pub(super) rates_hz: Vec<f64>,
}

/// Rates that differ by less are the same: 29.97 is 30.
const SAME_RATE: f64 = 0.02;

/// The formats in which a picture of the wanted size may be asked for.
pub(super) fn fitting(
    formats: &[FormatInfo],
    wanted: &Wanted,
) -> Result<Vec<(PixelFormat, u32)>, String> {
    let known = |info: &&FormatInfo| {
        info.format.is_some_and(|format| wanted.format.is_none_or(|wanted| wanted == format))
    };
    if !formats.iter().any(|info| known(&info)) {
        let names: Vec<String> = formats.iter().map(name).collect();
        let asked = wanted.format.map_or("a format that is read here", name_of);
        return Err(format!("it does not give {asked}; it gives {}", names.join(", ")));
    }
    let fits: Vec<(PixelFormat, u32)> = formats
        .iter()
        .filter(known)
        .filter(|info| has(&info.sizes, wanted.size))
        .filter_map(|info| Some((info.format?, info.fourcc)))
        .collect();
    if fits.is_empty() {
        let sizes: Vec<String> = formats.iter().filter(known).map(listed).collect();
        let (width, height) = wanted.size;
        return Err(format!("it does not give {width} x {height}; it gives {}", sizes.join("; ")));
    }
    Ok(fits)
}

/// The best of `offers`, which are in the driver's order: one that is fast enough, in the format that costs least;
/// else the fastest.
pub(super) fn best(offers: &[Offer], wanted: &Wanted) -> Option<Offer> {
    let fastest = |offer: &Offer| offer.rates_hz.first().copied();
    // One that does not say may be fast enough.
    let enough = |offer: &&Offer| {
        fastest(offer).is_none_or(|rate| rate >= wanted.rate_hz * (1.0 - SAME_RATE))
    };
    let order = |offer: &&Offer| PREFERRED.iter().position(|format| *format == offer.format);
    let quick = offers.iter().filter(enough).min_by_key(order);
    let most = || {
        offers.iter().max_by(|a, b| {
            fastest(a).unwrap_or_default().total_cmp(&fastest(b).unwrap_or_default())
        })
    };
    quick.or_else(most).cloned()
}

/// The cheapest for preprocess first; JPEG is decoded, and last.
const PREFERRED: &[PixelFormat] = &[
    PixelFormat::Nv12,
    PixelFormat::I420,
    PixelFormat::Yuyv,
    PixelFormat::Rgb,
    PixelFormat::Bgr,
    PixelFormat::Mjpeg,
    PixelFormat::Grey,
];

fn has(sizes: &Sizes, (width, height): (u32, u32)) -> bool {
    let within = |side: u32, from: u32, to: u32, step: u32| {
        (from..=to).contains(&side) && (side - from).is_multiple_of(step.max(1))
    };
    match sizes {
        Sizes::Unknown => true,
        Sizes::Some(list) => list.contains(&(width, height)),
        Sizes::Range(from, to, step) => {
            within(width, from.0, to.0, step.0) && within(height, from.1, to.1, step.1)
        }
    }
}

fn name(info: &FormatInfo) -> String {
    info.format.map_or_else(|| fourcc_text(info.fourcc), |format| name_of(format).to_owned())
}

pub(super) fn name_of(format: PixelFormat) -> &'static str {
    let known = PixelFormat::NAMES.iter().find(|(_, known)| *known == format);
    known.map_or("", |(name, _)| name)
}

/// `yuyv 640x480 320x240`, or a range.
pub(crate) fn listed(info: &FormatInfo) -> String {
    let sizes = match &info.sizes {
        Sizes::Unknown => "any size".to_owned(),
        Sizes::Some(list) => {
            let sizes: Vec<String> = list.iter().map(|(w, h)| format!("{w}x{h}")).collect();
            sizes.join(" ")
        }
        Sizes::Range((w, h), (max_w, max_h), _) => format!("{w}x{h} to {max_w}x{max_h}"),
    };
    format!("{} {sizes}", name(info))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(format: PixelFormat, sizes: Sizes) -> FormatInfo {
        FormatInfo { format: Some(format), fourcc: 7, name: String::new(), sizes }
    }

    #[test]
    fn what_is_wanted_and_not_there_is_refused_with_what_is() {
        let formats = [
            info(PixelFormat::Yuyv, Sizes::Some(vec![(640, 480), (320, 240)])),
            info(PixelFormat::Mjpeg, Sizes::Range((16, 16), (1920, 1080), (2, 2))),
            FormatInfo {
                format: None,
                fourcc: 0x3436_3248,
                name: String::new(),
                sizes: Sizes::Unknown,
            },
        ];
        let (yuyv, mjpeg) = (Some(PixelFormat::Yuyv), Some(PixelFormat::Mjpeg));
        for (format, size, wanted) in [
            (None, (640, 480), Ok(2)),
            (None, (642, 480), Ok(1)),
            (yuyv, (640, 480), Ok(1)),
            (mjpeg, (640, 480), Ok(1)),
            (
                mjpeg,
                (641, 480),
                Err("it does not give 641 x 480; it gives mjpeg 16x16 to 1920x1080"),
            ),
            (yuyv, (1, 1), Err("it does not give 1 x 1; it gives yuyv 640x480 320x240")),
            (
                Some(PixelFormat::Nv12),
                (640, 480),
                Err("it does not give nv12; it gives yuyv, mjpeg, H264"),
            ),
        ] {
            let found = fitting(&formats, &Wanted { format, size, rate_hz: 30.0 });
            let found = found.map(|fits| fits.len());
            assert_eq!(found.as_ref().map_err(String::as_str), wanted.as_ref().map_err(|e| *e));
        }
    }

    #[test]
    fn a_format_that_is_fast_enough_is_taken_and_of_those_the_cheapest() {
        let offer = |format, rates: &[f64]| Offer { format, fourcc: 7, rates_hz: rates.to_vec() };
        let (yuyv, mjpeg, nv12) = (PixelFormat::Yuyv, PixelFormat::Mjpeg, PixelFormat::Nv12);
        for (offers, wanted) in [
            (vec![offer(mjpeg, &[30.0]), offer(yuyv, &[5.0])], mjpeg),
            (vec![offer(mjpeg, &[30.0]), offer(yuyv, &[29.97, 5.0])], yuyv),
            (vec![offer(mjpeg, &[]), offer(yuyv, &[5.0])], mjpeg),
            (vec![offer(yuyv, &[30.0]), offer(nv12, &[60.0])], nv12),
            (vec![offer(yuyv, &[15.0]), offer(nv12, &[10.0])], yuyv),
        ] {
            let asked = Wanted { format: None, size: (1, 1), rate_hz: 30.0 };
            assert_eq!(best(&offers, &asked).map(|best| best.format), Some(wanted));
        }
        let asked = Wanted { format: None, size: (1, 1), rate_hz: 30.0 };
        assert_eq!(best(&[], &asked), None);
    }
}
