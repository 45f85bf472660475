//! What the pattern source shows: a gradient and moving shapes, a pure function of seed and frame number.
//!
//! 3 to 6 shapes (or as many as asked for), 8 % to 28 % of the picture's height wide, each of one colour that
//! differs from all of the gradient by [`CONTRAST`] in some channel, each moving straight at 0.05 to 0.4
//! picture heights a second and turning back at the edges, wholly inside. Later ones cover earlier ones; one
//! that is covered by more than [`COVERED_MAX`] is not part of the truth. After so many frames there is a
//! cut to another gradient with other shapes, so that a minute shows more than a handful of them.
//! `models/make/drawing.py` draws the same for training.

use std::ops::Range;
use std::sync::Arc;

use wire::{PixelBox, Truth};

use super::outline::{Kind, Outline};
use super::random::Random;

/// Least difference of a shape's colour from all of the gradient, in one channel, of 255.
const CONTRAST: u8 = 60;

/// Largest share of a shape that may be covered while it still counts as seen.
const COVERED_MAX: f64 = 0.4;

/// Channel values of the gradient's two colours: mid tones.
const GROUND: Range<u8> = 70..186;

/// Width of a shape, in picture heights.
const WIDTHS: Range<f64> = 0.08..0.28;

/// Speed of a shape, in picture heights a second.
const SPEEDS: Range<f64> = 0.05..0.4;

/// A picture that is higher than this many widths has shapes as if it were so high, so that they fit.
const HEIGHT_BY_WIDTH_MAX: u32 = 3;

/// Red, green, blue.
pub(super) type Rgb = [u8; 3];

/// One shape, where it began and where it goes.
#[derive(Debug, Clone)]
struct Moving {
    kind: Kind,
    label: Arc<str>,
    colour: Rgb,
    width: f64,
    height: f64,
    start: (f64, f64),
    velocity: (f64, f64),
}

/// One shape in a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Where it is.
    pub(super) outline: Outline,
    /// Its colour.
    pub(super) colour: Rgb,
}

/// What is configured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Script {
    /// Width of the picture.
    pub(super) width: u32,
    /// Height of the picture.
    pub(super) height: u32,
    /// Decides everything.
    pub(super) seed: u64,
    /// How many shapes; 3 to 6 where it is not set.
    pub(super) shapes: Option<u32>,
    /// Frames from cut to cut; 0: never.
    pub(super) cut: u64,
    /// Frames a second that the motion is for.
    pub(super) rate_hz: f64,
}

/// What is to be seen in one frame. Its memory is reused from frame to frame.
#[derive(Debug)]
pub(super) struct Scene {
    script: Script,
    labels: [Arc<str>; 4],
    number: Option<u64>,
    /// Colours of the gradient's top left and bottom right corner.
    ground: [Rgb; 2],
    moving: Vec<Moving>,
    shapes: Vec<Shape>,
    covered: Vec<bool>,
}

impl Scene {
    /// Before its first frame.
    pub(super) fn new(script: Script) -> Self {
        // As much as any scene takes.
        let most = usize::try_from(script.shapes.unwrap_or(6)).unwrap_or(0);
        let width = usize::try_from(script.width).unwrap_or(0);
        Self {
            script,
            labels: Kind::ALL.map(|(_, name)| Arc::from(name)),
            number: None,
            ground: [[0; 3]; 2],
            moving: Vec::with_capacity(most),
            shapes: Vec::with_capacity(most),
            covered: Vec::with_capacity(width),
        }
    }

    /// Goes to a frame. True where there is another gradient than before.
    pub(super) fn show(&mut self, frame: u64) -> bool {
        let cut = self.script.cut;
        // Without cuts there is one scene, and all frames are its.
        let number = frame.checked_div(cut).unwrap_or(0);
        let since = frame.checked_rem(cut).unwrap_or(frame);
        let is_cut = self.number.replace(number) != Some(number);
        if is_cut {
            self.cast(number);
        }
        let seconds = as_float(since) / self.script.rate_hz;
        self.shapes.clear();
        for moving in &self.moving {
            self.shapes.push(moving.at(seconds, &self.script));
        }
        is_cut
    }

    /// Colours of the gradient's top left and bottom right corner.
    pub(super) fn ground(&self) -> [Rgb; 2] {
        self.ground
    }

    /// The shapes; later ones cover earlier ones.
    pub(super) fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// Writes to `truth` what is to be seen: the box of each whole shape, hidden parts included.
    pub(super) fn truth(&mut self, truth: &mut Vec<Truth>) {
        truth.clear();
        truth.reserve(self.moving.capacity());
        for (index, (shape, moving)) in self.shapes.iter().zip(&self.moving).enumerate() {
            let later = self.shapes.get(index + 1..).unwrap_or_default();
            if covered_share(&shape.outline, later, &mut self.covered) <= COVERED_MAX {
                let bounds = pixel_box(&shape.outline);
                truth.push(Truth { label: moving.label.clone(), bounds });
            }
        }
    }

    /// Chooses gradient and shapes of the scene with that number.
    fn cast(&mut self, number: u64) {
        let random = &mut Random::new(self.script.seed, number, 0);
        self.ground = [(); 2].map(|()| [(); 3].map(|()| from(random, GROUND)));
        let count = self.script.shapes.unwrap_or_else(|| 3 + random.below(4));
        self.moving.clear();
        for _ in 0..count {
            let moving = self.moving(random);
            self.moving.push(moving);
        }
    }

    fn moving(&self, random: &mut Random) -> Moving {
        let Script { width, height, .. } = self.script;
        let unit = f64::from(height.min(width.saturating_mul(HEIGHT_BY_WIDTH_MAX)));
        let which = random.below(4);
        let (kind, label) = Kind::ALL
            .into_iter()
            .zip(&self.labels)
            .nth(usize::try_from(which).unwrap_or(0))
            .map_or((Kind::Circle, self.labels[0].clone()), |((kind, _), label)| {
                (kind, label.clone())
            });
        let wide = unit * random.between(WIDTHS.start, WIDTHS.end);
        let high = wide * kind.slenderness();
        let start = (
            random.between(0.0, f64::from(width) - wide),
            random.between(0.0, f64::from(height) - high),
        );
        let speed = unit * random.between(SPEEDS.start, SPEEDS.end);
        let (sin, cos) = random.between(0.0, std::f64::consts::TAU).sin_cos();
        let velocity = (speed * cos, speed * sin);
        let colour = colour(random, &self.ground);
        Moving { kind, label, colour, width: wide, height: high, start, velocity }
    }
}

impl Moving {
    fn at(&self, seconds: f64, script: &Script) -> Shape {
        let &Self { kind, colour, width, height, start, velocity, .. } = self;
        let left = fold(start.0 + velocity.0 * seconds, f64::from(script.width) - width);
        let top = fold(start.1 + velocity.1 * seconds, f64::from(script.height) - height);
        Shape { outline: Outline { kind, left, top, width, height }, colour }
    }
}

/// Where a ball is that went straight to `at` between walls at 0 and `range`.
fn fold(at: f64, range: f64) -> f64 {
    let there_and_back = at.rem_euclid(2.0 * range);
    there_and_back.min(2.0 * range - there_and_back)
}

/// The share of a shape's pixels that lies under `later` ones.
fn covered_share(outline: &Outline, later: &[Shape], scratch: &mut Vec<bool>) -> f64 {
    let (left, right) = outline.columns();
    let meets = |shape: &&Shape| {
        let (other, rows) = (shape.outline.columns(), shape.outline.rows());
        other.0 < right
            && left < other.1
            && rows.start < outline.rows().end
            && outline.rows().start < rows.end
    };
    if later.iter().find(meets).is_none() {
        return 0.0;
    }
    let (mut pixels, mut hidden) = (0_u64, 0_u64);
    scratch.resize(right - left, false);
    for row in outline.rows() {
        scratch.fill(false);
        let spans = |shape: &Shape| shape.outline.spans(row).iter();
        for (from, to) in later.iter().filter(meets).flat_map(spans) {
            let to = to.min(right).saturating_sub(left);
            if let Some(part) = scratch.get_mut(from.saturating_sub(left)..to) {
                part.fill(true);
            }
        }
        for (from, to) in outline.spans(row).iter() {
            let part = scratch.get(from.saturating_sub(left)..to.saturating_sub(left));
            for &is_hidden in part.unwrap_or_default() {
                pixels += 1;
                hidden += u64::from(is_hidden);
            }
        }
    }
    as_float(hidden) / as_float(pixels.max(1))
}

fn from(random: &mut Random, range: Range<u8>) -> u8 {
    let span = range.end.saturating_sub(range.start);
    range.start.saturating_add(u8::try_from(random.below(u32::from(span))).unwrap_or(0))
}

/// A light, dark or saturated colour that stands out from the gradient.
fn colour(random: &mut Random, ground: &[Rgb; 2]) -> Rgb {
    /// After so many tries, white it is: it always stands out, since the gradient is of mid tones.
    const TRIES: u32 = 100;
    for _ in 0..TRIES {
        let colour = light_dark_or_saturated(random);
        if stands_out(colour, ground) {
            return colour;
        }
    }
    [255; 3]
}

fn stands_out(colour: Rgb, [a, b]: &[Rgb; 2]) -> bool {
    colour.iter().zip(a.iter().zip(b)).any(|(&value, (&a, &b))| {
        let below = a.min(b).saturating_sub(value);
        let above = value.saturating_sub(a.max(b));
        below.max(above) >= CONTRAST
    })
}

fn light_dark_or_saturated(random: &mut Random) -> Rgb {
    match random.below(3) {
        0 => [(); 3].map(|()| 200 + from(random, 0..56)),
        1 => [(); 3].map(|()| from(random, 0..56)),
        _ => {
            // One channel low, one high, one anything, in any order.
            let (low, high) = (from(random, 0..50), 205 + from(random, 0..51));
            let any = u8::try_from(random.below(256)).unwrap_or(0);
            let mut colour = [low, high, any];
            colour.rotate_left(usize::try_from(random.below(3)).unwrap_or(0));
            if random.below(2) == 1 {
                colour.swap(0, 1);
            }
            colour
        }
    }
}

#[expect(clippy::as_conversions, reason = "frame and pixel counts, far below 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "pixels of a picture of at most 16384 have 10 more bits in an f32"
)]
fn pixel_box(outline: &Outline) -> PixelBox {
    PixelBox {
        x_px: outline.left as f32,
        y_px: outline.top as f32,
        width_px: outline.width as f32,
        height_px: outline.height as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(seed: u64) -> Script {
        Script { width: 320, height: 180, seed, shapes: None, cut: 50, rate_hz: 30.0 }
    }

    fn shown(script: Script, frame: u64) -> (Scene, Vec<Truth>) {
        let (mut scene, mut truth) = (Scene::new(script), Vec::new());
        scene.show(frame);
        scene.truth(&mut truth);
        (scene, truth)
    }

    #[test]
    fn a_frame_depends_on_seed_and_number_only() {
        let mut walked = Scene::new(script(7));
        for frame in 0..120 {
            walked.show(frame);
        }
        let (jumped, truth) = shown(script(7), 119);
        assert_eq!(format!("{:?}", walked.shapes()), format!("{:?}", jumped.shapes()));
        assert_eq!(walked.ground(), jumped.ground());
        assert_ne!(truth, shown(script(8), 119).1);
        assert_ne!(truth, shown(script(7), 118).1);
    }

    #[test]
    fn scenes_are_what_the_model_was_trained_for() {
        for (width, height) in [(320, 180), (180, 320), (64, 64), (16, 16), (4096, 64), (64, 4096)]
        {
            let unit = f64::from(height.min(3 * width));
            for seed in 0..40 {
                let mut scene = Scene::new(Script { width, height, ..script(seed) });
                for frame in (0..2000).step_by(97) {
                    scene.show(frame);
                    assert!((3..=6).contains(&scene.shapes().len()));
                    for Shape { outline, colour } in scene.shapes() {
                        let right = outline.left + outline.width;
                        let bottom = outline.top + outline.height;
                        assert!(
                            outline.left >= 0.0 && right <= f64::from(width) + 1e-6,
                            "{outline:?}"
                        );
                        assert!(
                            outline.top >= 0.0 && bottom <= f64::from(height) + 1e-6,
                            "{outline:?}"
                        );
                        assert!((0.08 * unit..0.28 * unit).contains(&outline.width), "{outline:?}");
                        assert!(
                            stands_out(*colour, &scene.ground),
                            "{colour:?} {:?}",
                            scene.ground
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn shapes_move_straight_at_their_speed_and_turn_back_at_the_edges() {
        for (at, range, wanted) in [
            (3.0, 10.0, 3.0),
            (11.0, 10.0, 9.0),
            (-2.0, 10.0, 2.0),
            (21.0, 10.0, 1.0),
            (-12.0, 10.0, 8.0),
        ] {
            assert!((fold(at, range) - wanted).abs() < 1e-12, "{at}");
        }
        for moving in &shown(script(3), 0).0.moving {
            let speed = moving.velocity.0.hypot(moving.velocity.1) / 180.0;
            assert!((0.05..0.4).contains(&speed), "{speed}");
        }
    }

    #[test]
    fn a_shape_that_is_mostly_covered_is_not_in_the_truth() {
        let at = |left: f64, kind| {
            let outline = Outline { kind, left, top: 10.0, width: 100.0, height: 100.0 };
            Shape { outline, colour: [255; 3] }
        };
        let share = |under, over| covered_share(&at(50.0, under).outline, &[over], &mut Vec::new());
        for (under, over, wanted) in [
            (Kind::Square, at(50.0, Kind::Square), 1.0),
            (Kind::Square, at(90.0, Kind::Square), 0.6),
            (Kind::Square, at(110.0, Kind::Square), 0.4),
            (Kind::Square, at(10.0, Kind::Square), 0.6),
            (Kind::Square, at(150.0, Kind::Square), 0.0),
            (Kind::Square, at(50.0, Kind::Triangle), 0.5),
            (Kind::Triangle, at(50.0, Kind::Square), 1.0),
            (Kind::Circle, at(100.0, Kind::Square), 0.5),
        ] {
            let found = share(under, over);
            assert!((found - wanted).abs() < 0.02, "{under:?} under {over:?}: {found}");
        }
        let mut scene = Scene::new(Script { shapes: Some(2), ..script(1) });
        for (left, wanted) in [(95.0, 1), (105.0, 1), (111.0, 2)] {
            scene.show(0);
            scene.shapes = vec![at(50.0, Kind::Square), at(left, Kind::Square)];
            let mut truth = Vec::new();
            scene.truth(&mut truth);
            assert_eq!(truth.len(), wanted, "{left}");
        }
    }

    #[test]
    fn a_cut_brings_another_gradient_and_none_without_one() {
        let mut scene = Scene::new(script(5));
        let cuts: Vec<u64> = (0..160).filter(|&frame| scene.show(frame)).collect();
        assert_eq!(cuts, [0, 50, 100, 150]);
        let mut scene = Scene::new(Script { cut: 0, ..script(5) });
        assert_eq!((0..160).filter(|&frame| scene.show(frame)).count(), 1);
    }
}
