//! Any frame as a JPEG file holds its picture: luma, and chroma at half width and half height, BT.601 in full range.
//!
//! Most cameras give nearly that, so that a picture for people is made without going through red, green and blue: what
//! they cost is felt where somebody looks, ten times a second. Colours can be drawn in.

use super::draw::{Rect, Surface};
use super::frame::{Colour, Frame, Matrix, PixelFormat, Range};
use super::rgb::{self, RgbError};
use crate::hw::jpeg::{Decoder, Planes, Samples};

/// Chroma of what has no colour.
const NEUTRAL: u8 = 128;
/// What 1 is in whole numbers.
const ONE: i32 = 1 << BITS;
const BITS: u32 = 13;

/// A picture, whose memory is reused from one to the next.
#[derive(Debug, Default)]
pub struct Yuv {
    width: usize,
    height: usize,
    /// Luma, then U, then V; rows tightly packed. An odd last column or row of luma is there twice: the codec wants
    /// pairs.
    pixels: Vec<u8>,
}

impl Yuv {
    /// In pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// In pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Luma, U and V, rows tightly packed: those of chroma are half as wide and high, and luma has two of its own for
    /// each of theirs.
    #[must_use]
    pub fn planes(&self) -> [&[u8]; 3] {
        let (luma, chroma) = self.pixels.split_at(self.luma());
        let (u, v) = chroma.split_at(chroma.len() / 2);
        [luma, u, v]
    }

    fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let luma = self.luma();
        let (luma, chroma) = self.pixels.split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        [luma, u, v]
    }

    /// Bytes for which it has memory.
    pub(super) fn room(&self) -> usize {
        self.pixels.capacity()
    }

    /// Samples of luma.
    fn luma(&self) -> usize {
        let (columns, rows) = self.chroma();
        4 * columns * rows
    }

    /// Repeats an odd last column and row of luma.
    fn pad(&mut self) {
        let (width, height) = (self.width, self.height);
        let stride = 2 * self.chroma().0;
        let [luma, _, _] = self.planes_mut();
        if width < stride {
            luma.chunks_exact_mut(stride).for_each(|row| row[width] = row[width - 1]);
        }
        if height % 2 == 1 {
            luma.copy_within((height - 1) * stride..height * stride, height * stride);
        }
    }

    /// Columns and rows of chroma.
    fn chroma(&self) -> (usize, usize) {
        (self.width.div_ceil(2), self.height.div_ceil(2))
    }

    /// Makes it so large; what it then shows means nothing.
    fn reshape(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        let (columns, rows) = self.chroma();
        self.pixels.resize(6 * columns * rows, 0);
    }

    /// Makes `half` this picture at half its width and height, each sample the mean of four. An odd last column or row
    /// is left out.
    pub fn halve(&self, half: &mut Self) {
        half.reshape(self.width / 2, self.height / 2);
        let (old, new) = (self.chroma(), half.chroma());
        let luma = ((2 * old.0, 2 * old.1), (2 * new.0, 2 * new.1));
        let sizes = [luma, (old, new), (old, new)];
        for ((from, to), (old, new)) in self.planes().iter().zip(half.planes_mut()).zip(sizes) {
            halve(from, old, to, new);
        }
        half.pad();
    }

    /// Turns samples of `colour` into those of a JPEG file.
    fn recolour(&mut self, colour: Colour) {
        let [luma, u, v] = self.planes_mut();
        if colour.range == Range::Limited {
            luma.iter_mut().for_each(|sample| *sample = full_luma(*sample));
            u.iter_mut().for_each(|sample| *sample = full_chroma(*sample));
            v.iter_mut().for_each(|sample| *sample = full_chroma(*sample));
        }
        if colour.matrix == Matrix::Bt709 {
            let (change, (columns, _)) = (Change::from_709(), self.chroma());
            let [luma, u, v] = self.planes_mut();
            let chroma = u.chunks_exact_mut(columns).zip(v.chunks_exact_mut(columns));
            for (lines, (us, vs)) in luma.chunks_exact_mut(4 * columns).zip(chroma) {
                for line in lines.chunks_exact_mut(2 * columns) {
                    let pairs = line.as_chunks_mut::<2>().0.iter_mut();
                    for (pair, (u, v)) in pairs.zip(us.iter().zip(vs.iter())) {
                        let more = change.luma(*u, *v);
                        *pair = pair.map(|y| sample(i32::from(y) + more));
                    }
                }
                for (u, v) in us.iter_mut().zip(vs) {
                    (*u, *v) = change.chroma(*u, *v);
                }
            }
        }
    }

    /// Takes over packed red, green and blue.
    fn take_rgb(&mut self, rgb: &[u8], width: usize, height: usize) {
        self.reshape(width, height);
        let (columns, _) = self.chroma();
        let [luma, us, vs] = self.planes_mut();
        let pixels = rgb.as_chunks::<3>().0;
        for (row, pixels) in luma.chunks_exact_mut(2 * columns).zip(pixels.chunks(width)) {
            row.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = yuv_of(*pixel)[0]);
        }
        let chroma = us.chunks_exact_mut(columns).zip(vs.chunks_exact_mut(columns));
        for ((us, vs), lines) in chroma.zip(pixels.chunks(2 * width)) {
            let (upper, lower) = lines.split_at(width);
            let lower = if lower.is_empty() { upper } else { lower };
            let pairs = upper.chunks(2).zip(lower.chunks(2));
            for ((u, v), (upper, lower)) in us.iter_mut().zip(vs).zip(pairs) {
                let (a, b) = (upper[0], upper[upper.len() - 1]);
                let (c, d) = (lower[0], lower[lower.len() - 1]);
                let mean = std::array::from_fn(|n| {
                    let sum = [a, b, c, d].iter().map(|pixel| u16::from(pixel[n])).sum::<u16>();
                    ((sum + 2) / 4).to_le_bytes()[0]
                });
                [_, *u, *v] = yuv_of(mean);
            }
        }
        self.pad();
    }
}

impl Surface for Yuv {
    fn extent(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Chroma that a pixel of `rect` shares with its neighbours is theirs, too.
    fn fill(&mut self, rect: Rect, colour: [u8; 3]) {
        let Rect { left, top, .. } = rect;
        if left >= rect.right.min(self.width) || top >= rect.bottom.min(self.height) {
            return;
        }
        let (columns, rows) = self.chroma();
        // What is there twice is drawn on twice.
        let edge =
            |end: usize, side: usize| if end < side { end } else { side.next_multiple_of(2) };
        let (right, bottom) = (edge(rect.right, self.width), edge(rect.bottom, self.height));
        let luma = (2 * columns, left..right, top..bottom);
        let chroma = (columns, left / 2..right.div_ceil(2), top / 2..bottom.div_ceil(2).min(rows));
        let parts = [luma, chroma.clone(), chroma].into_iter().zip(yuv_of(colour));
        for (plane, ((stride, across, down), value)) in self.planes_mut().into_iter().zip(parts) {
            for row in plane.chunks_exact_mut(stride).take(down.end).skip(down.start) {
                row.get_mut(across.clone()).unwrap_or_default().fill(value);
            }
        }
    }
}

/// What frames are read with, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    decoder: Option<Decoder>,
    planes: Planes,
    rgb: Vec<u8>,
}

impl Reader {
    /// Makes `to` what `frame` shows. A JPEG picture that is wider than `width_max` may be read at a half, a quarter or
    /// an eighth of its size, which is quicker, but not so small that halving would have stopped before.
    ///
    /// # Errors
    /// [`RgbError`]; what `to` then shows means nothing.
    #[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target")]
    pub fn read(&mut self, frame: &Frame, width_max: u32, to: &mut Yuv) -> Result<(), RgbError> {
        frame.check().map_err(RgbError::Frame)?;
        let (width, height) = (frame.width as usize, frame.height as usize);
        match frame.format {
            PixelFormat::Mjpeg => return self.decode(frame, width_max, to),
            PixelFormat::Rgb | PixelFormat::Bgr | PixelFormat::Samples => {
                rgb::to_rgb(frame, &mut self.rgb)?;
                to.take_rgb(&self.rgb, width, height);
                return Ok(());
            }
            PixelFormat::Grey | PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuyv => {}
        }
        to.reshape(width, height);
        let (columns, _) = to.chroma();
        let stride = 2 * columns;
        let rows = |plane: usize| {
            let plane = frame.planes[plane];
            move |y: usize| frame.pixels.get(plane.offset + y * plane.stride..).unwrap_or_default()
        };
        let (first, [luma, us, vs]) = (rows(0), to.planes_mut());
        if frame.format != PixelFormat::Yuyv {
            copy(luma, stride, height, first);
        }
        let chroma = us.chunks_exact_mut(columns).zip(vs.chunks_exact_mut(columns)).enumerate();
        match frame.format {
            PixelFormat::Nv12 => {
                let second = rows(1);
                for (y, (us, vs)) in chroma {
                    let pairs = second(y).as_chunks::<2>().0;
                    for ((u, v), pair) in us.iter_mut().zip(vs).zip(pairs) {
                        [*u, *v] = *pair;
                    }
                }
            }
            PixelFormat::I420 => {
                copy(us, columns, usize::MAX, rows(1));
                copy(vs, columns, usize::MAX, rows(2));
            }
            PixelFormat::Yuyv => {
                for (y, row) in luma.chunks_exact_mut(stride).enumerate().take(height) {
                    let pairs = first(y).as_chunks::<2>().0;
                    row.iter_mut().zip(pairs).for_each(|(to, [luma, _])| *to = *luma);
                }
                for (y, (us, vs)) in chroma {
                    let upper = first(2 * y).as_chunks::<4>().0;
                    let lower = first((2 * y + 1).min(height - 1)).as_chunks::<4>().0;
                    for ((u, v), (upper, lower)) in
                        us.iter_mut().zip(vs).zip(upper.iter().zip(lower))
                    {
                        *u = u8::midpoint(upper[1], lower[1]);
                        *v = u8::midpoint(upper[3], lower[3]);
                    }
                }
            }
            _ => {
                us.fill(NEUTRAL);
                vs.fill(NEUTRAL);
                to.pad();
                return Ok(());
            }
        }
        to.pad();
        to.recolour(frame.colour);
        Ok(())
    }

    fn decode(&mut self, frame: &Frame, width_max: u32, to: &mut Yuv) -> Result<(), RgbError> {
        let Self { decoder, planes, .. } = self;
        let decoder = match decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new().map_err(RgbError::Jpeg)?),
        };
        let mut least = (frame.width, frame.height);
        while least.0 > width_max {
            least = (least.0 / 2, least.1 / 2);
        }
        let header = decoder.decode_planes(&frame.pixels, least, planes).map_err(RgbError::Jpeg)?;
        let (found, promised) = ((header.width, header.height), (frame.width, frame.height));
        if found != promised {
            return Err(RgbError::Size { found, promised });
        }
        to.take_planes(planes, width_max);
        Ok(())
    }
}

impl Yuv {
    /// Takes over what a JPEG decoder gave. A last column that is one too many, as where half of an odd width was
    /// rounded up, is left out.
    #[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target")]
    fn take_planes(&mut self, from: &Planes, width_max: u32) {
        let (width, height) = (from.width as usize, from.height as usize);
        if from.samples == Samples::Rgb {
            self.take_rgb(&from.pixels, width, height);
            return;
        }
        self.reshape(if from.width == width_max + 1 { width - 1 } else { width }, height);
        let (columns, _) = self.chroma();
        let rows = |plane: usize| {
            let (offset, stride) = from.planes[plane];
            let pixels = &from.pixels;
            move |y: usize| pixels.get(offset + y * stride..).unwrap_or_default()
        };
        let [luma, us, vs] = self.planes_mut();
        copy(luma, 2 * columns, height, rows(0));
        for (plane, to) in [(1, us), (2, vs)] {
            let line = rows(plane);
            match from.samples {
                Samples::Yuv { shift_x: 1, shift_y: 1 } => copy(to, columns, usize::MAX, line),
                // Most cameras.
                Samples::Yuv { shift_x: 1, shift_y: 0 } => {
                    for (y, row) in to.chunks_exact_mut(columns).enumerate() {
                        let (upper, lower) = (line(2 * y), line((2 * y + 1).min(height - 1)));
                        for (to, (upper, lower)) in row.iter_mut().zip(upper.iter().zip(lower)) {
                            *to = u8::midpoint(*upper, *lower);
                        }
                    }
                }
                Samples::Yuv { shift_x, shift_y } => {
                    for (y, row) in to.chunks_exact_mut(columns).enumerate() {
                        let line = line((2 * y) >> shift_y);
                        for (x, to) in row.iter_mut().enumerate() {
                            *to = line.get((2 * x) >> shift_x).copied().unwrap_or(NEUTRAL);
                        }
                    }
                }
                _ => to.fill(NEUTRAL),
            }
        }
        self.pad();
    }
}

/// At most `rows` rows of `width` bytes, from lines that may be longer, or one byte shorter.
fn copy<'a>(to: &mut [u8], width: usize, rows: usize, from: impl Fn(usize) -> &'a [u8]) {
    for (y, row) in to.chunks_exact_mut(width).enumerate().take(rows) {
        row.iter_mut().zip(from(y)).for_each(|(to, from)| *to = *from);
    }
}

/// One plane at half its width and height. Where half of it is more than whole pairs, its edge is repeated.
fn halve(from: &[u8], old: (usize, usize), to: &mut [u8], new: (usize, usize)) {
    let line = |y: usize| from.get(y * old.0..(y + 1) * old.0).unwrap_or_default();
    if new.0 == 0 {
        return;
    }
    for (y, row) in to.chunks_exact_mut(new.0).enumerate() {
        let (upper, lower) = (line(2 * y), line((2 * y + 1).min(old.1 - 1)));
        let (uppers, odd_upper) = upper.as_chunks::<2>();
        let (lowers, odd_lower) = lower.as_chunks::<2>();
        for (to, (upper, lower)) in row.iter_mut().zip(uppers.iter().zip(lowers)) {
            let four = [upper[0], upper[1], lower[0], lower[1]].map(u16::from);
            *to = ((four.iter().sum::<u16>() + 2) / 4).to_le_bytes()[0];
        }
        if let ([upper], [lower], Some(to)) = (odd_upper, odd_lower, row.get_mut(uppers.len())) {
            *to = u8::midpoint(*upper, *lower);
        }
    }
}

/// From 16 to 235, to 0 to 255; less than six tenths of a step off.
fn full_luma(sample: u8) -> u8 {
    // 149 / 128 is 255 / 219, and 16 bits are wide enough.
    ((u16::from(sample.saturating_sub(16)) * 149 + 64) >> 7).min(255).to_le_bytes()[0]
}

/// From 16 to 240, to 0 to 255 about the same middle; at most a step off.
fn full_chroma(sample: u8) -> u8 {
    // 146 / 128 is 255 / 224.
    ((u16::from(sample) * 146 + 64).saturating_sub(18 * 128) >> 7).min(255).to_le_bytes()[0]
}

/// What a JPEG file holds of a colour.
fn yuv_of([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = [red, green, blue].map(i32::from);
    let part = |r_part: i32, g_part: i32, b_part: i32, from: i32| {
        sample(from + ((r_part * r + g_part * g + b_part * b + ONE / 2) >> BITS))
    };
    [part(2449, 4809, 934, 0), part(-1382, -2714, 4096, 128), part(4096, -3430, -666, 128)]
}

fn sample(value: i32) -> u8 {
    value.clamp(0, 255).to_le_bytes()[0]
}

/// From BT.709 to BT.601 in full range: what chroma adds to luma, and what becomes of itself, in parts of [`ONE`].
struct Change {
    y_of_u: i32,
    y_of_v: i32,
    u_of_u: i32,
    u_of_v: i32,
    v_of_u: i32,
    v_of_v: i32,
}

impl Change {
    fn from_709() -> Self {
        // What red, green and blue are above luma, for one step of chroma.
        let (of_red, of_blue) = Matrix::Bt709.shares();
        let above = |u: f64, v: f64| {
            let (red, blue) = (2.0 * (1.0 - of_red) * v, 2.0 * (1.0 - of_blue) * u);
            let green = -(of_red * red + of_blue * blue) / (1.0 - of_red - of_blue);
            (red, green, blue)
        };
        let (new_red, new_blue) = Matrix::Bt601.shares();
        let new = |u: f64, v: f64| {
            let (red, green, blue) = above(u, v);
            let luma = new_red * red + (1.0 - new_red - new_blue) * green + new_blue * blue;
            let u = (blue - luma) / (2.0 * (1.0 - new_blue));
            [luma, u, (red - luma) / (2.0 * (1.0 - new_red))]
        };
        let ([y_of_u, u_of_u, v_of_u], [y_of_v, u_of_v, v_of_v]) =
            (new(1.0, 0.0).map(parts), new(0.0, 1.0).map(parts));
        Self { y_of_u, y_of_v, u_of_u, u_of_v, v_of_u, v_of_v }
    }

    fn luma(&self, u: u8, v: u8) -> i32 {
        mixed(self.y_of_u, self.y_of_v, u, v)
    }

    fn chroma(&self, u: u8, v: u8) -> (u8, u8) {
        let of = |by_u, by_v| sample(mixed(by_u, by_v, u, v) + i32::from(NEUTRAL));
        (of(self.u_of_u, self.u_of_v), of(self.v_of_u, self.v_of_v))
    }
}

fn mixed(by_u: i32, by_v: i32, u: u8, v: u8) -> i32 {
    let above = |chroma: u8| i32::from(chroma) - i32::from(NEUTRAL);
    (by_u * above(u) + by_v * above(v) + ONE / 2) >> BITS
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a factor below 2")]
fn parts(factor: f64) -> i32 {
    (factor * f64::from(ONE)).round() as i32
}

#[cfg(test)]
mod tests;
