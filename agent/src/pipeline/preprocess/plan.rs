//! Everything that is worked out once for pictures of one size and format: taps, weights, factors.

use std::sync::atomic::{AtomicU64, Ordering};

use super::colour::{COLOUR_BITS, SAMPLE_BITS, luma_range, yuv};
use super::geometry::{Axis, Tap, axes, placement};
use super::kernel::{Blend, Mix};
use super::taps::Taps;
use super::view::{Component, Meaning, Shape};
use super::{Channels, PictureSpec, Placement};

/// One row of the tensor lies between two rows of a component; `weight` is the second's share of 32768.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowTap {
    pub(super) near: u32,
    pub(super) far: u32,
    pub(super) weight: i16,
}

/// A component, its tables among [`Plan::tables`] and [`Plan::rows`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) component: Component,
    pub(super) table: usize,
    pub(super) rows: usize,
    /// Whether no part before it lies in the same plane.
    pub(super) first_of_plane: bool,
}

/// Numbers the plans of this process, from 1.
static PLANS: AtomicU64 = AtomicU64::new(1);

/// The tables of a pass.
#[derive(Debug)]
pub(super) struct Plan {
    /// No other plan has it.
    pub(super) id: u64,
    pub(super) shape: Shape,
    pub(super) placement: Placement,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) parts: Vec<Part>,
    pub(super) tables: Vec<Taps>,
    /// For each row of the tensor that the picture covers.
    pub(super) rows: Vec<Vec<RowTap>>,
    pub(super) blend: Blend,
}

impl Plan {
    pub(super) fn new(spec: &PictureSpec, shape: Shape) -> Self {
        let (width, height) = (shape.width, shape.height);
        let [x, y] = axes(spec, width, height);
        let mut plan = Self {
            id: PLANS.fetch_add(1, Ordering::Relaxed),
            shape,
            placement: placement(&[x, y], width, height),
            x,
            y,
            parts: Vec::new(),
            tables: Vec::new(),
            rows: Vec::new(),
            blend: blend(spec, &shape),
        };
        let wanted = plan.blend.mix.components();
        for component in shape.sampling.components().into_iter().take(wanted) {
            let part = plan.part(component);
            plan.parts.push(part);
        }
        plan
    }

    /// Makes the component's tables, or finds those of one like it.
    fn part(&mut self, component: Component) -> Part {
        let like =
            |part: &&Part| Component { plane: component.plane, ..part.component } == component;
        let first_of_plane = !self.parts.iter().any(|part| part.component.plane == component.plane);
        if let Some(like) = self.parts.iter().find(like) {
            return Part { component, first_of_plane, ..*like };
        }
        let row_bytes = component.row_bytes(self.shape.samples()[0]);
        let taps = component.taps(self.x, &self.shape, 0);
        self.tables.push(Taps::new(&taps, component.first, component.step, row_bytes));
        self.rows.push(component.taps(self.y, &self.shape, 1).into_iter().map(row_tap).collect());
        Part { component, table: self.tables.len() - 1, rows: self.rows.len() - 1, first_of_plane }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a weight below 1 makes at most 32768, which is dealt with"
)]
fn row_tap(tap: Tap) -> RowTap {
    match (tap.weight * 32768.0).round() as i32 {
        _ if tap.near == tap.far => RowTap { near: tap.near, far: tap.near, weight: 0 },
        0 => RowTap { near: tap.near, far: tap.near, weight: 0 },
        weight @ 1..=0x7FFF => RowTap { near: tap.near, far: tap.far, weight: weight as i16 },
        _ => RowTap { near: tap.far, far: tap.far, weight: 0 },
    }
}

/// How samples of this shape become the elements that are wanted.
fn blend(spec: &PictureSpec, shape: &Shape) -> Blend {
    let (black, white) = match shape.sampling.meaning() {
        Meaning::Yuv => luma_range(shape.colour.range),
        Meaning::Rgb | Meaning::Grey => (0, 255),
    };
    let one = Mix::One { least: (black - 128) << SAMPLE_BITS, most: (white - 128) << SAMPLE_BITS };
    let mix = match (shape.sampling.meaning(), spec.channels) {
        (Meaning::Yuv, Channels::Rgb | Channels::Bgr) => Mix::Yuv(yuv(shape.colour)),
        (Meaning::Rgb, Channels::Rgb | Channels::Bgr) => Mix::Three,
        (Meaning::Rgb, Channels::Grey) => Mix::Weighted,
        (Meaning::Yuv, Channels::Grey) | (Meaning::Grey, _) => one,
    };
    // A level is `value * unit + zero`.
    let (unit, zero) = match mix {
        Mix::Yuv(_) => (1.0 / f64::from(1 << COLOUR_BITS), 0.0),
        Mix::Three | Mix::Weighted => (1.0 / f64::from(1 << SAMPLE_BITS), 128.0),
        Mix::One { .. } => {
            let gain = 255.0 / f64::from(white - black);
            (gain / f64::from(1 << SAMPLE_BITS), gain * f64::from(128 - black))
        }
    };
    let mut blend = Blend { mix, gains: [0.0; 3], biases: [0.0; 3] };
    for (index, channel) in spec.red_first().into_iter().enumerate() {
        let (gain, bias) = spec.normalise(channel);
        blend.gains[index] = narrow(gain * unit);
        blend.biases[index] = narrow(gain * zero + bias);
    }
    blend
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the tensor's own precision; worked out in f64 so that it is rounded once"
)]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}
