//! Where a box is and where it goes: a Kalman filter of constant velocity for its centre, width and height.
//!
//! The four numbers do not depend on each other, so that the filter of eight states is four of two: a value and
//! its velocity. How far each may be off is told as shares of the box's size, as in SORT and its descendants: what
//! is near moves faster across the picture than what is far. Time is counted in steps of a thirtieth of a second.

use wire::PixelBox;

/// A value's standard deviation in a step, and that of what is measured, as a share of the box's size.
const VALUE_SHARE: f32 = 1.0 / 20.0;
/// A velocity's, likewise.
const VELOCITY_SHARE: f32 = 1.0 / 160.0;
/// How much less is known of a box that was seen once: twice a value's, ten times a velocity's.
const FIRST_VALUE: f32 = 2.0;
const FIRST_VELOCITY: f32 = 10.0;
/// Smallest size that uncertainty is a share of, in pixels: a box of nothing would be certain for ever.
const SIZE_MIN: f32 = 1.0;

/// A value, its velocity, and how well both are known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Axis {
    value: f32,
    velocity: f32,
    value_variance: f32,
    covariance: f32,
    velocity_variance: f32,
}

impl Axis {
    fn new(value: f32, size: f32) -> Self {
        let of = |share: f32| (share * size) * (share * size);
        Self {
            value,
            velocity: 0.0,
            value_variance: of(FIRST_VALUE * VALUE_SHARE),
            covariance: 0.0,
            velocity_variance: of(FIRST_VELOCITY * VELOCITY_SHARE),
        }
    }

    fn predict(&mut self, steps: f32, size: f32) {
        let (value_noise, velocity_noise) = (VALUE_SHARE * size, VELOCITY_SHARE * size);
        self.value += steps * self.velocity;
        self.value_variance += steps * (2.0 * self.covariance + steps * self.velocity_variance)
            + steps * value_noise * value_noise;
        self.covariance += steps * self.velocity_variance;
        self.velocity_variance += steps * velocity_noise * velocity_noise;
    }

    fn correct(&mut self, measured: f32, size: f32) {
        let noise = (VALUE_SHARE * size) * (VALUE_SHARE * size);
        let total = self.value_variance + noise;
        let (gain, velocity_gain) = (self.value_variance / total, self.covariance / total);
        let off = measured - self.value;
        self.value += gain * off;
        self.velocity += velocity_gain * off;
        self.velocity_variance -= velocity_gain * self.covariance;
        self.covariance *= 1.0 - gain;
        self.value_variance *= 1.0 - gain;
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Motion {
    /// Centre, then width and height.
    axes: [Axis; 4],
}

impl Motion {
    /// Of a box that was seen once.
    pub(super) fn new(bounds: &PixelBox) -> Self {
        let sizes = sizes(bounds.width_px, bounds.height_px);
        let mut axes = [Axis::default(); 4];
        for ((axis, value), size) in axes.iter_mut().zip(measured(bounds)).zip(sizes) {
            *axis = Axis::new(value, size);
        }
        Self { axes }
    }

    /// Moves on by `steps`. What is not seen (`grows` false) keeps its size: only what is measured may change it.
    pub(super) fn predict(&mut self, steps: f32, grows: bool) {
        let sizes = sizes(self.axes[2].value, self.axes[3].value);
        if !grows {
            (self.axes[2].velocity, self.axes[3].velocity) = (0.0, 0.0);
        }
        for (axis, size) in self.axes.iter_mut().zip(sizes) {
            axis.predict(steps, size);
        }
    }

    /// It was seen at `bounds`.
    pub(super) fn correct(&mut self, bounds: &PixelBox) {
        let sizes = sizes(self.axes[2].value, self.axes[3].value);
        for ((axis, value), size) in self.axes.iter_mut().zip(measured(bounds)).zip(sizes) {
            axis.correct(value, size);
        }
    }

    /// Where it should be now.
    pub(super) fn bounds(&self) -> PixelBox {
        let [x, y, width, height] = self.axes.map(|axis| axis.value);
        let (width, height) = (width.max(0.0), height.max(0.0));
        PixelBox {
            x_px: x - width / 2.0,
            y_px: y - height / 2.0,
            width_px: width,
            height_px: height,
        }
    }
}

/// Of which size uncertainty is a share: of its own, across and down.
fn sizes(width: f32, height: f32) -> [f32; 4] {
    let (width, height) = (width.max(SIZE_MIN), height.max(SIZE_MIN));
    [width, height, width, height]
}

fn measured(bounds: &PixelBox) -> [f32; 4] {
    [
        bounds.x_px + bounds.width_px / 2.0,
        bounds.y_px + bounds.height_px / 2.0,
        bounds.width_px,
        bounds.height_px,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x_px: f32) -> PixelBox {
        PixelBox { x_px, y_px: 10.0, width_px: 40.0, height_px: 80.0 }
    }

    #[test]
    fn what_moves_evenly_is_soon_expected_where_it_will_be() {
        let mut motion = Motion::new(&at(0.0));
        for step in 1_u8..=20 {
            motion.predict(1.0, true);
            motion.correct(&at(3.0 * f32::from(step)));
        }
        motion.predict(5.0, false);
        let found = motion.bounds();
        assert!((found.x_px - 75.0).abs() < 2.0, "{found:?}");
        assert!((found.y_px - 10.0).abs() < 0.5 && (found.width_px - 40.0).abs() < 0.5);
    }

    #[test]
    fn two_steps_at_once_are_two_steps() {
        let mut once = Motion::new(&at(0.0));
        let mut twice = once;
        for motion in [&mut once, &mut twice] {
            motion.predict(1.0, true);
            motion.correct(&at(4.0));
        }
        once.predict(2.0, true);
        twice.predict(1.0, true);
        twice.predict(1.0, true);
        assert!((once.bounds().x_px - twice.bounds().x_px).abs() < 1e-3);
    }

    #[test]
    fn numbers_stay_numbers_whatever_is_measured() {
        let huge = PixelBox { x_px: 1e6, y_px: -1e6, width_px: 0.0, height_px: 1e-9 };
        let mut motion = Motion::new(&huge);
        for steps in [0.0, 1.0, 30.0] {
            motion.predict(steps, true);
            motion.correct(&huge);
            assert!(motion.axes.iter().all(|axis| axis.value.is_finite()));
        }
    }
}
