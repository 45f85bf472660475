//! The pass itself: tensor row by tensor row, from the picture's rows to the tensor's elements.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ahead::Ahead;
use super::kernel::{Kernel, Line};
use super::pixel::Pixel;
use super::plan::{Plan, RowTap};
use super::view::View;
use super::{Channels, Layout, Margin, PictureSpec};
use crate::hw::second::Second;

/// Marks a slot that holds no row.
const NONE: u32 = u32::MAX;

/// What a pass works from.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) spec: &'a PictureSpec,
    pub(super) kernel: Kernel,
    pub(super) plan: &'a Plan,
    pub(super) view: View<'a>,
}

/// Bands of a tensor that two threads share: so many that the last one is short, and so few that the rows at
/// their edges, which both read, are few.
const BANDS: usize = 8;
/// Elements of a tensor below which a second thread is not woken: alone it takes less than waking does.
const SHARED_MIN: usize = 100_000;

/// The memory of a pass: a few rows for each of two threads.
#[derive(Debug, Default)]
pub(super) struct Filler {
    hands: [Mutex<Hand>; 2],
}

/// The memory of one thread of a pass.
#[derive(Debug, Default)]
struct Hand {
    rows: Rows,
    /// Elements of one row, channel by channel.
    channels: Vec<f32>,
    /// Elements of one row, pixel by pixel.
    woven: Vec<f32>,
}

impl Filler {
    /// Makes room for the rows of `plan`.
    pub(super) fn fit(&mut self, plan: &Plan, depth: usize) {
        for hand in &mut self.hands {
            let hand = hand.get_mut().unwrap_or_else(PoisonError::into_inner);
            hand.rows.fit(plan);
            hand.channels.resize(depth * plan.x.count, 0.0);
            hand.woven.resize(depth * plan.x.count, 0.0);
        }
    }

    /// Fills `out`, which has exactly the elements of the tensor and, by `margin`, may have its padding; with
    /// help from `second`, where there is one.
    pub(super) fn fill<P: Pixel>(
        &mut self,
        pass: Pass<'_>,
        out: &mut [P],
        margin: &mut Margin,
        second: Option<&mut Second>,
    ) {
        if margin.0 != pass.plan.id {
            pad(&pass, out);
            margin.0 = pass.plan.id;
        }
        let second = second.filter(|_| out.len() >= SHARED_MIN);
        let height = pass.plan.y.count.div_ceil(if second.is_some() { BANDS } else { 1 });
        let bands = Mutex::new(Bands::new(&pass, out, height));
        let hands = Mutex::new(self.hands.iter());
        let work = || {
            let Some(hand) = lock(&hands).next() else { return };
            let mut hand = lock(hand);
            hand.rows.held = [[NONE; 2]; 3];
            loop {
                // The lock is not held while a band is filled.
                let band = lock(&bands).next();
                let Some(band) = band else { return };
                hand.band(&pass, band);
            }
        };
        match second {
            Some(second) => second.share(&work),
            None => work(),
        }
    }
}

/// Some rows of a tensor that the picture covers: of each plane those rows, as wide as the tensor.
struct Band<'a, P> {
    first: usize,
    count: usize,
    planes: [&'a mut [P]; 3],
}

/// What is left of a tensor, to be taken band by band.
struct Bands<'a, P> {
    left: Band<'a, P>,
    /// Elements of a row of a plane.
    width: usize,
    /// Rows of a band.
    height: usize,
}

impl<'a, P: Pixel> Bands<'a, P> {
    /// All of `out`, in bands of `height` rows.
    fn new(pass: &Pass<'_>, out: &'a mut [P], height: usize) -> Self {
        let (depth, rows) = (pass.spec.depth(), pass.plan.y);
        let (planes, width) = match pass.spec.layout {
            Layout::Nchw => (depth, extent(pass.spec.width)),
            Layout::Nhwc => (1, depth * extent(pass.spec.width)),
        };
        let mut planes = out.chunks_exact_mut(out.len() / planes);
        let covered = rows.first * width..(rows.first + rows.count) * width;
        let planes = [(); 3].map(|()| match planes.next() {
            Some(plane) => &mut plane[covered.clone()],
            None => &mut [],
        });
        Self { left: Band { first: 0, count: rows.count, planes }, width, height }
    }
}

impl<'a, P> Iterator for Bands<'a, P> {
    type Item = Band<'a, P>;

    fn next(&mut self) -> Option<Band<'a, P>> {
        let (first, count) = (self.left.first, self.left.count.min(self.height));
        if count == 0 {
            return None;
        }
        (self.left.first, self.left.count) = (first + count, self.left.count - count);
        let planes = self.left.planes.each_mut().map(|plane| {
            let all = std::mem::take(plane);
            let length = all.len().min(count * self.width);
            let (now, later) = all.split_at_mut(length);
            *plane = later;
            now
        });
        Some(Band { first, count, planes })
    }
}

impl Hand {
    /// Fills one band.
    fn band<P: Pixel>(&mut self, pass: &Pass<'_>, band: Band<'_, P>) {
        let Band { first, count, mut planes } = band;
        let (depth, x) = (pass.spec.depth(), pass.plan.x);
        let width = extent(pass.spec.width);
        for row in 0..count {
            let begin = row * width + x.first;
            match pass.spec.layout {
                Layout::Nchw => {
                    let mut rows = planes
                        .each_mut()
                        .map(|plane| plane.get_mut(begin..begin + x.count).unwrap_or_default());
                    self.planar(pass, first + row, &mut rows);
                }
                Layout::Nhwc => {
                    let elements = begin * depth..(begin + x.count) * depth;
                    self.woven(pass, first + row, &mut planes[0][elements]);
                }
            }
        }
    }

    /// One row as separate channels.
    fn planar<P: Pixel>(&mut self, pass: &Pass<'_>, index: usize, out: &mut [&mut [P]; 3]) {
        let floats = out.each_mut().map(|row| P::floats(row));
        if let [Some(a), Some(b), Some(c)] = floats {
            self.rows.elements(pass, index, [a, b, c]);
            return;
        }
        self.rows.elements(pass, index, split(&mut self.channels, pass.plan.x.count));
        for (values, out) in self.channels.chunks_exact(pass.plan.x.count).zip(out) {
            P::convert(values, out);
        }
    }

    /// One row, pixel by pixel.
    fn woven<P: Pixel>(&mut self, pass: &Pass<'_>, index: usize, out: &mut [P]) {
        self.rows.elements(pass, index, split(&mut self.channels, pass.plan.x.count));
        let mut channels = self.channels.chunks_exact(pass.plan.x.count);
        match (channels.next(), channels.next(), channels.next()) {
            (Some(a), Some(b), Some(c)) => {
                pass.kernel.weave([a, b, c], &mut self.woven);
                P::convert(&self.woven, out);
            }
            _ => P::convert(&self.channels, out),
        }
    }
}

/// The samples of the picture's rows that are between hands: two of each component.
#[derive(Debug, Default)]
struct Rows {
    samples: Vec<i16>,
    /// Samples of a slot.
    padded: usize,
    /// Which row each slot holds, by component.
    held: [[u32; 2]; 3],
}

impl Rows {
    fn fit(&mut self, plan: &Plan) {
        self.padded = plan.tables.iter().map(|taps| taps.padded()).max().unwrap_or(0);
        self.samples.resize(2 * plan.parts.len() * self.padded, 0);
    }

    /// The elements of tensor row `row`, in the channels' order.
    fn elements(&mut self, pass: &Pass<'_>, row: usize, mut out: [&mut [f32]; 3]) {
        if pass.spec.channels == Channels::Bgr {
            out.swap(0, 2);
        }
        let parts = pass.plan.parts.len();
        // Two rows of each component, and their elements.
        let mut ahead = Ahead::of(pass, row, 2 * parts + 1);
        let mut slots = [(0, 0, 0); 3];
        for (index, slots) in slots.iter_mut().enumerate().take(parts) {
            let RowTap { near, far, weight } = pass.plan.rows[pass.plan.parts[index].rows][row];
            ahead.step(pass);
            let near_slot = self.slot(pass, index, near, far);
            ahead.step(pass);
            *slots = (near_slot, self.slot(pass, index, far, near), weight);
        }
        ahead.step(pass);
        let row = |slot: usize| &self.samples[slot * self.padded..(slot + 1) * self.padded];
        let lines =
            slots.map(|(near, far, weight)| Line { near: row(near), far: row(far), weight });
        pass.kernel.elements(&pass.plan.blend, &lines[..parts], &mut out[..pass.spec.depth()]);
    }

    /// The slot that holds `row` of component `index`; filled where none does, but not the one that holds `kept`.
    fn slot(&mut self, pass: &Pass<'_>, index: usize, row: u32, kept: u32) -> usize {
        let held = &mut self.held[index];
        if let Some(slot) = held.iter().position(|&held| held == row) {
            return 2 * index + slot;
        }
        let slot = usize::from(held[0] == kept);
        held[slot] = row;
        let part = pass.plan.parts[index];
        let taps = &pass.plan.tables[part.table];
        let bytes = pass.view.row(&part.component, row, taps.row_bytes());
        let begin = (2 * index + slot) * self.padded;
        pass.kernel.samples(taps, bytes, &mut self.samples[begin..begin + self.padded]);
        2 * index + slot
    }
}

/// Rows of `count` elements, one after the other in `all`; empty where there are no more.
fn split(all: &mut [f32], count: usize) -> [&mut [f32]; 3] {
    let mut rows = all.chunks_exact_mut(count);
    [(); 3].map(|()| rows.next().unwrap_or_default())
}

/// Writes the padding around the picture, all of it.
fn pad<P: Pixel>(pass: &Pass<'_>, out: &mut [P]) {
    let depth = pass.spec.depth();
    let padding = pass.spec.padding().map(P::of);
    let (width, plane) = (extent(pass.spec.width), out.len() / depth);
    match pass.spec.layout {
        Layout::Nchw => {
            for (plane, value) in out.chunks_exact_mut(plane).zip(padding) {
                around(pass.plan, plane, width, 1, |pixels| pixels.fill(value));
            }
        }
        Layout::Nhwc => around(pass.plan, out, width, depth, |pixels| {
            repeat(&padding[..depth], pixels);
        }),
    }
}

/// Writes `pixel` again and again, by copying what is there already, as long as that is in the cache.
fn repeat<P: Pixel>(pixel: &[P], out: &mut [P]) {
    if out.len() < pixel.len() {
        return;
    }
    let mut done = pixel.len();
    out[..done].copy_from_slice(pixel);
    while done < out.len() {
        let more = done.min(pixel.len() * 1024).min(out.len() - done);
        out.copy_within(..more, done);
        done += more;
    }
}

/// Gives `fill` all elements of a plane that the picture does not cover. A pixel has `depth` elements.
fn around<P>(
    plan: &Plan,
    plane: &mut [P],
    width: usize,
    depth: usize,
    mut fill: impl FnMut(&mut [P]),
) {
    let (x, y, row) = (plan.x, plan.y, width * depth);
    let (above, rest) = plane.split_at_mut(y.first * row);
    let (beside, below) = rest.split_at_mut(y.count * row);
    fill(above);
    fill(below);
    if x.count < width {
        for pixels in beside.chunks_exact_mut(row) {
            let (left, rest) = pixels.split_at_mut(x.first * depth);
            fill(left);
            fill(&mut rest[x.count * depth..]);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn extent(side: u32) -> usize {
    usize::try_from(side).unwrap_or(usize::MAX)
}
