//! Paints a scene straight in a camera's format: gradient and noise first, then the shapes over them.
//!
//! Every plane is painted by one kernel, [`paint`], eight samples or more at a time where the compiler sees
//! to it: a sample is the gradient's value for its column plus that for its row plus noise, in fixed point.
//! Noise is of brightness (alike in each channel, so that chroma has none), lies over gradient and shapes,
//! and comes from one table that every row of every frame reads from another place.
//!
//! Chroma that several pixels share is the mean of what they are painted with, as cameras and scalers make
//! it; where two shapes meet within such a block, the later one is mixed over the earlier ones.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "pixel arithmetic: float to i16 saturates, i16 is clamped before it becomes a byte"
)]

use super::outline::Span;
use super::random::Random;
use super::scene::{Rgb, Scene, Shape};
use crate::pipeline::frame::{Colour, Matrix, PixelFormat, Plane, Range};

/// Greatest noise, of 255.
const NOISE: i16 = 6;

/// Places in the noise table where a row may begin, two pixels apart so that all formats begin at the same.
const NOISE_PLACES: u32 = 4093;

/// Fraction bits of a sample in the making; 255 and its noise just fit an `i16`, which saturates.
const BITS: i16 = 7;

/// Samples after which each format's pattern of channels repeats (1, 2, 3 or 4), and a full vector.
const LANES: usize = 48;

/// A value for each of [`LANES`] neighbouring samples.
type Lanes = [i16; LANES];

/// What a sample is: its channel, and its middle, in half pixels from the group's left edge.
type Sample = (usize, u32);

/// One plane: groups of samples, each for `across` x `down` pixels.
#[derive(Debug, Clone, Copy)]
struct Layout {
    group: &'static [Sample],
    across: usize,
    down: usize,
}

impl Layout {
    /// Samples for two neighbouring pixels.
    fn pair(&self) -> usize {
        2 * self.group.len() / self.across
    }
}

const fn layout(group: &'static [Sample], across: usize, down: usize) -> Layout {
    Layout { group, across, down }
}

/// The planes of a format. Channels of YUV formats and of grey are Y, U, V.
fn layouts(format: PixelFormat) -> &'static [Layout] {
    const LUMA: Layout = layout(&[(0, 1)], 1, 1);
    match format {
        PixelFormat::Nv12 => const { &[LUMA, layout(&[(1, 2), (2, 2)], 2, 2)] },
        PixelFormat::I420 => const { &[LUMA, layout(&[(1, 2)], 2, 2), layout(&[(2, 2)], 2, 2)] },
        PixelFormat::Yuyv => const { &[layout(&[(0, 1), (1, 2), (0, 3), (2, 2)], 2, 1)] },
        PixelFormat::Rgb | PixelFormat::Mjpeg => {
            const { &[layout(&[(0, 1), (1, 1), (2, 1)], 1, 1)] }
        }
        PixelFormat::Bgr => const { &[layout(&[(2, 1), (1, 1), (0, 1)], 1, 1)] },
        PixelFormat::Grey | PixelFormat::Samples => const { &[LUMA] },
    }
}

/// What is painted on one plane.
#[derive(Debug)]
struct Canvas {
    layout: Layout,
    /// The gradient's part for each sample of a row.
    columns: Vec<i16>,
    /// Noise for each sample of a row, from whichever place on.
    noise: Vec<i16>,
}

/// Paints pictures of one size and format.
#[derive(Debug)]
pub(super) struct Painter {
    width: usize,
    height: usize,
    format: PixelFormat,
    colour: Colour,
    seed: u64,
    /// The gradient's two colours, as the format has them.
    ground: [[f32; 3]; 2],
    canvases: Vec<Canvas>,
    zeros: Vec<i16>,
    cover: Vec<u8>,
}

impl Painter {
    /// For pictures of that size. MJPEG is painted as RGB, to be encoded by the caller.
    pub(super) fn new(
        (width, height): (u32, u32),
        format: PixelFormat,
        colour: Colour,
        seed: u64,
    ) -> Self {
        let (width, height) = (width as usize, height as usize);
        let gain = match (format, colour.range) {
            (PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuyv, Range::Limited) => {
                219.0 / 255.0
            }
            _ => 1.0,
        };
        let canvases: Vec<Canvas> = layouts(format)
            .iter()
            .map(|&layout| {
                let samples = width.div_ceil(layout.across) * layout.group.len();
                let noise = noise(layout, format, samples, gain);
                Canvas { layout, columns: vec![0; samples], noise }
            })
            .collect();
        let longest = canvases.iter().map(|canvas| canvas.columns.len()).max().unwrap_or(0);
        let (zeros, cover) = (vec![0; longest], vec![0; width.div_ceil(2)]);
        let ground = [[0.0; 3]; 2];
        Self { width, height, format, colour, seed, ground, canvases, zeros, cover }
    }

    /// Prepares for a scene's gradient: needed after each cut.
    pub(super) fn prepare(&mut self, scene: &Scene) {
        self.ground = scene.ground().map(|rgb| self.channels(rgb));
        let [first, last] = self.ground;
        for Canvas { layout, columns, .. } in &mut self.canvases {
            let groups = columns.chunks_exact_mut(layout.group.len());
            for (group, left) in groups.zip((0..).step_by(layout.across)) {
                for (column, &(channel, halves)) in group.iter_mut().zip(layout.group) {
                    let middle = (left as f32 + halves as f32 / 2.0) / self.width as f32;
                    let step = last[channel] - first[channel];
                    *column = fixed(first[channel] + step * middle / 2.0);
                }
            }
        }
    }

    /// Paints a scene, with the noise of frame `frame`, into tightly packed planes.
    pub(super) fn paint(
        &mut self,
        scene: &Scene,
        frame: u64,
        planes: &[Plane; 3],
        pixels: &mut [u8],
    ) {
        for index in 0..self.canvases.len() {
            let (Some(plane), Some(canvas)) = (planes.get(index), self.canvases.get(index)) else {
                break;
            };
            let (stride, down) = (plane.stride, canvas.layout.down);
            let rows = pixels.get_mut(plane.offset..).unwrap_or_default().chunks_exact_mut(stride);
            for (row, out) in rows.take(self.height.div_ceil(down)).enumerate() {
                self.row(scene, frame, index, row, out);
            }
        }
    }

    fn row(&mut self, scene: &Scene, frame: u64, index: usize, row: usize, out: &mut [u8]) {
        let Some(Canvas { layout, columns, noise }) = self.canvases.get(index) else { return };
        let first_row = row * layout.down;
        let middle = (first_row as f32 + layout.down as f32 / 2.0) / self.height as f32;
        let [first, last] = self.ground;
        let down = lanes(layout, |channel| {
            fixed((last[channel] - first[channel]) * middle / 2.0) + (1 << (BITS - 1))
        });
        let place = Random::new(self.seed, frame, row as u64).below(NOISE_PLACES) as usize;
        let noise = noise.get(place * layout.pair()..).unwrap_or_default();
        paint(out, columns, &down, noise);
        for shape in scene.shapes() {
            let rows = shape.outline.rows();
            if first_row + layout.down <= rows.start || first_row >= rows.end {
                continue;
            }
            let channels = channels(self.format, self.colour, shape.colour);
            let brush = Brush {
                layout: *layout,
                zeros: &self.zeros,
                lanes: lanes(layout, |channel| fixed(channels[channel]) + (1 << (BITS - 1))),
                channels,
                noise,
                width: self.width,
            };
            match (layout.across, layout.down) {
                (1, _) => {
                    for span in shape.outline.spans(first_row).iter() {
                        brush.groups(out, span);
                    }
                }
                (_, 1) => {
                    for span in shape.outline.spans(first_row).iter() {
                        brush.pairs(out, span);
                    }
                }
                _ => brush.blocks(out, shape, first_row, self.height, &mut self.cover),
            }
        }
    }

    fn channels(&self, rgb: Rgb) -> [f32; 3] {
        channels(self.format, self.colour, rgb)
    }
}

/// One shape's colour, for one row of one plane.
struct Brush<'a> {
    layout: Layout,
    zeros: &'a [i16],
    lanes: Lanes,
    channels: [f32; 3],
    noise: &'a [i16],
    width: usize,
}

impl Brush<'_> {
    /// Fills whole groups.
    fn groups(&self, out: &mut [u8], (from, to): Span) {
        let size = self.layout.group.len();
        let (from, to) = (from * size, to * size);
        if let (Some(out), Some(noise)) = (out.get_mut(from..to), self.noise.get(from..)) {
            paint(out, self.zeros, &self.lanes, noise);
        }
    }

    /// Fills pixels of a format in which two neighbours of a row share their chroma (Y0 U Y1 V).
    fn pairs(&self, out: &mut [u8], (from, to): Span) {
        // The last pixel of an odd row has its pair for itself.
        let to = if to == self.width { to.next_multiple_of(2) } else { to };
        self.groups(out, (from.div_ceil(2), to / 2));
        for (alone, pixel) in [(from % 2 == 1, from), (to % 2 == 1, to.saturating_sub(1))] {
            let (group, at) = (4 * (pixel / 2), 2 * pixel);
            let Some(&noise) = self.noise.get(at).filter(|_| alone) else { continue };
            if let Some(luma) = out.get_mut(at) {
                *luma = sample(self.lanes[0].saturating_add(noise));
            }
            for (offset, channel) in [(1, 1), (3, 2)] {
                self.mix(out, group + offset, channel, 1, 2);
            }
        }
    }

    /// Fills groups that two rows and two columns share, each by the share of its pixels that is covered.
    fn blocks(&self, out: &mut [u8], shape: &Shape, row: usize, height: usize, cover: &mut [u8]) {
        let (left, right) = shape.outline.columns();
        let (left, right) = (left / 2, right.min(self.width).div_ceil(2));
        let Some(cover) = cover.get_mut(left..right) else { return };
        cover.fill(0);
        let rows = row..height.min(row + 2);
        let deep = rows.len() as u8;
        for (from, to) in rows.flat_map(|row| shape.outline.spans(row).iter()) {
            for column in from..to.min(self.width) {
                if let Some(count) = cover.get_mut((column / 2).wrapping_sub(left)) {
                    *count += 1;
                }
            }
        }
        let size = self.layout.group.len();
        for (group, &covered) in (left..).zip(&*cover) {
            let wide = if 2 * group + 1 < self.width { 2 } else { 1 };
            for (at, &(channel, _)) in (group * size..).zip(self.layout.group) {
                self.mix(out, at, channel, covered, deep * wide);
            }
        }
    }

    /// Mixes `part` of `whole` of a channel's colour into the sample at `at`.
    fn mix(&self, out: &mut [u8], at: usize, channel: usize, part: u8, whole: u8) {
        if let Some(sample) = out.get_mut(at) {
            let share = f32::from(part) / f32::from(whole);
            let mixed = f32::from(*sample) * (1.0 - share) + self.channels[channel] * share;
            *sample = to_byte(mixed);
        }
    }
}

/// The kernel: writes `columns + lanes + noise` to each sample of a row, clamped to a byte.
fn paint(out: &mut [u8], columns: &[i16], lanes: &Lanes, noise: &[i16]) {
    let (outs, last_out) = out.as_chunks_mut::<LANES>();
    let (columns, last_columns) = columns.split_at(columns.len().min(outs.len() * LANES));
    let (noise, last_noise) = noise.split_at(noise.len().min(outs.len() * LANES));
    let inputs = columns.as_chunks::<LANES>().0.iter().zip(noise.as_chunks::<LANES>().0);
    for (out, (columns, noise)) in outs.iter_mut().zip(inputs) {
        for index in 0..LANES {
            let level = columns[index].saturating_add(lanes[index]).saturating_add(noise[index]);
            out[index] = sample(level);
        }
    }
    let rest = last_columns.iter().zip(last_noise).zip(lanes);
    for (out, ((column, noise), lane)) in last_out.iter_mut().zip(rest) {
        *out = sample(column.saturating_add(*lane).saturating_add(*noise));
    }
}

#[expect(clippy::cast_sign_loss, reason = "clamped to 0 to 255")]
fn sample(level: i16) -> u8 {
    (level >> BITS).clamp(0, 255) as u8
}

#[expect(clippy::cast_sign_loss, reason = "float to u8 saturates")]
fn to_byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// A value of 0 to 255 in fixed point.
fn fixed(value: f32) -> i16 {
    (value * f32::from(1_i16 << BITS)).round() as i16
}

fn lanes(layout: &Layout, value: impl Fn(usize) -> i16) -> Lanes {
    let mut lanes = [0; LANES];
    for (lane, &(channel, _)) in lanes.iter_mut().zip(layout.group.iter().cycle()) {
        *lane = value(channel);
    }
    lanes
}

/// A row's noise from any of [`NOISE_PLACES`] on: the same for all samples of a pixel, none for chroma.
fn noise(layout: Layout, format: PixelFormat, samples: usize, gain: f32) -> Vec<i16> {
    let is_rgb = matches!(format, PixelFormat::Rgb | PixelFormat::Bgr | PixelFormat::Mjpeg);
    let mut random = Random::new(0, 0, 0);
    let mut noise = Vec::new();
    let mut of_pixel = 0;
    while noise.len() < samples + NOISE_PLACES as usize * layout.pair() + LANES {
        for (index, &(channel, _)) in layout.group.iter().enumerate() {
            let is_luma = channel == 0 && !is_rgb;
            if is_luma || (is_rgb && index == 0) {
                let level = random.below(2 * NOISE.unsigned_abs() as u32 + 1) as i16 - NOISE;
                of_pixel = fixed(f32::from(level) * gain);
            }
            noise.push(if is_luma || is_rgb { of_pixel } else { 0 });
        }
    }
    noise
}

/// A colour as a format has it: red, green, blue; or Y, U, V; grey is full-range BT.601 luma.
pub(super) fn channels(format: PixelFormat, colour: Colour, rgb: Rgb) -> [f32; 3] {
    let [red, green, blue] = rgb.map(f32::from);
    let Colour { matrix, range } = match format {
        PixelFormat::Rgb | PixelFormat::Bgr | PixelFormat::Mjpeg => return [red, green, blue],
        PixelFormat::Grey | PixelFormat::Samples => Colour::JPEG,
        PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuyv => colour,
    };
    let (of_red, of_blue) = match matrix {
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    };
    let luma = of_red * red + (1.0 - of_red - of_blue) * green + of_blue * blue;
    let (u, v) = ((blue - luma) / (2.0 - 2.0 * of_blue), (red - luma) / (2.0 - 2.0 * of_red));
    match range {
        Range::Limited => [
            16.0 + luma * (219.0 / 255.0),
            128.0 + u * (224.0 / 255.0),
            128.0 + v * (224.0 / 255.0),
        ],
        Range::Full => [luma, 128.0 + u, 128.0 + v],
    }
}
