//! The pass itself: tensor row by tensor row, from the picture's rows to the tensor's elements.

use super::ahead::Ahead;
use super::kernel::{Kernel, Line};
use super::pixel::Pixel;
use super::plan::{Plan, RowTap};
use super::view::View;
use super::{Channels, Layout, PictureSpec};

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

/// The memory of a pass: a few rows.
#[derive(Debug, Default)]
pub(super) struct Filler {
    rows: Rows,
    /// Elements of one row, channel by channel.
    channels: Vec<f32>,
    /// Elements of one row, pixel by pixel.
    woven: Vec<f32>,
}

impl Filler {
    /// Makes room for the rows of `plan`.
    pub(super) fn fit(&mut self, plan: &Plan, depth: usize) {
        self.rows.fit(plan);
        self.channels.resize(depth * plan.x.count, 0.0);
        self.woven.resize(depth * plan.x.count, 0.0);
    }

    /// Fills `out`, which has exactly the elements of the tensor.
    pub(super) fn fill<P: Pixel>(&mut self, pass: Pass<'_>, out: &mut [P]) {
        self.rows.held = [[NONE; 2]; 3];
        pad(&pass, out);
        let (plan, depth) = (pass.plan, pass.spec.depth());
        let width = extent(pass.spec.width);
        let plane = out.len() / depth;
        for index in 0..plan.y.count {
            let begin = (plan.y.first + index) * width + plan.x.first;
            let end = begin + plan.x.count;
            match pass.spec.layout {
                Layout::Nchw => {
                    let mut planes = out.chunks_exact_mut(plane);
                    let mut rows = [(); 3].map(|()| match planes.next() {
                        Some(plane) => &mut plane[begin..end],
                        None => &mut [],
                    });
                    self.planar(&pass, index, &mut rows);
                }
                Layout::Nhwc => self.woven(&pass, index, &mut out[begin * depth..end * depth]),
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

/// Writes the padding around the picture. Always, and all of it: the tensor may be another one every time.
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

fn extent(side: u32) -> usize {
    usize::try_from(side).unwrap_or(usize::MAX)
}
