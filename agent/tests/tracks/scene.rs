//! A street that never was: objects with known numbers, and what a detector might make of them.
//!
//! Only sums, products and a linear generator make it, so that it is the same on every machine. Objects cross each
//! other, are hidden by nearer ones, are missed now and then and for a while; boxes tremble, scores sink while an
//! object is hidden, and there are false alarms.

#![expect(unreachable_pub, reason = "one scene for a test and a benchmark")]

use wire::{Detection, PixelBox};

/// Size of the picture.
pub const WIDTH: f32 = 1920.0;
pub const HEIGHT: f32 = 1080.0;

/// What kind of street.
#[derive(Debug, Clone, Copy)]
pub struct Street {
    pub name: &'static str,
    pub objects: usize,
    pub frames: usize,
    /// Pixels a frame, at most.
    pub speed: f32,
    /// Share of boxes that are missed, false alarms a frame, and how much boxes tremble, as a share of their size.
    pub missed: f32,
    pub alarms: f32,
    pub trembles: f32,
    pub seed: u32,
}

/// One frame: what is really there, and what was found.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub truth: Vec<(u64, PixelBox)>,
    pub found: Vec<Detection>,
}

struct Random(u32);

impl Random {
    /// From 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(self.0 >> 16).unwrap_or(0)) / 65_536.0
    }

    fn between(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.next()
    }
}

struct Walker {
    bounds: PixelBox,
    speed: (f32, f32),
    /// Frames for which it is missed.
    missed: u32,
}

/// The frames of `street`.
pub fn walk(street: &Street) -> Vec<Frame> {
    let mut random = Random(street.seed);
    let mut walkers: Vec<Walker> = (0..street.objects)
        .map(|_| {
            let height = random.between(60.0, 260.0);
            let width = height * random.between(0.35, 0.6);
            Walker {
                bounds: PixelBox {
                    x_px: random.between(0.0, WIDTH - width),
                    y_px: random.between(0.0, HEIGHT - height),
                    width_px: width,
                    height_px: height,
                },
                speed: (
                    random.between(-street.speed, street.speed),
                    random.between(-street.speed, street.speed) / 3.0,
                ),
                missed: 0,
            }
        })
        .collect();
    (0..street.frames).map(|_| step(&mut walkers, street, &mut random)).collect()
}

fn step(walkers: &mut [Walker], street: &Street, random: &mut Random) -> Frame {
    let mut frame = Frame::default();
    for walker in walkers.iter_mut() {
        advance(walker, random);
        if walker.missed > 0 {
            walker.missed -= 1;
        } else if random.next() < street.missed / 8.0 {
            walker.missed = 3 + u32::from(random.next() > 0.5) * 6;
        }
    }
    for (index, walker) in walkers.iter().enumerate() {
        frame.truth.push((u64::try_from(index).unwrap_or(0) + 1, walker.bounds));
        // Whose foot is lower is nearer.
        let foot = |bounds: &PixelBox| bounds.y_px + bounds.height_px;
        let hidden = walkers
            .iter()
            .filter(|other| foot(&other.bounds) > foot(&walker.bounds))
            .map(|other| covered(&walker.bounds, &other.bounds))
            .fold(0.0, f32::max);
        let blink = random.next() < street.missed;
        let score = 0.92 - 0.85 * hidden * hidden - random.between(0.0, 0.12);
        let shake = [(); 4].map(|()| random.between(-street.trembles, street.trembles));
        if walker.missed > 0 || blink || score < 0.1 {
            continue;
        }
        frame.found.push(found(&walker.bounds, shake, score));
    }
    if random.next() < street.alarms {
        let bounds = PixelBox {
            x_px: random.between(0.0, WIDTH - 100.0),
            y_px: random.between(0.0, HEIGHT - 200.0),
            width_px: random.between(30.0, 100.0),
            height_px: random.between(60.0, 200.0),
        };
        let score = random.between(0.1, 0.7);
        frame.found.push(found(&bounds, [0.0; 4], score));
    }
    frame.found.sort_by(|a, b| b.score.total_cmp(&a.score));
    frame
}

fn advance(walker: &mut Walker, random: &mut Random) {
    let Walker { bounds, speed, .. } = walker;
    speed.0 += random.between(-0.15, 0.15);
    speed.1 += random.between(-0.05, 0.05);
    bounds.x_px += speed.0;
    bounds.y_px += speed.1;
    if bounds.x_px < 0.0 || bounds.x_px > WIDTH - bounds.width_px {
        speed.0 = -speed.0;
        bounds.x_px = bounds.x_px.clamp(0.0, WIDTH - bounds.width_px);
    }
    if bounds.y_px < 0.0 || bounds.y_px > HEIGHT - bounds.height_px {
        speed.1 = -speed.1;
        bounds.y_px = bounds.y_px.clamp(0.0, HEIGHT - bounds.height_px);
    }
}

fn found(bounds: &PixelBox, shake: [f32; 4], score: f32) -> Detection {
    let bounds = PixelBox {
        x_px: bounds.x_px + shake[0] * bounds.width_px,
        y_px: bounds.y_px + shake[1] * bounds.height_px,
        width_px: bounds.width_px * (1.0 + shake[2]),
        height_px: bounds.height_px * (1.0 + shake[3]),
    };
    Detection { index: 0, label: "person".into(), score, bounds, track: None }
}

/// How much of `this` lies under `other`, 0 to 1.
fn covered(this: &PixelBox, other: &PixelBox) -> f32 {
    let across =
        (this.x_px + this.width_px).min(other.x_px + other.width_px) - this.x_px.max(other.x_px);
    let down =
        (this.y_px + this.height_px).min(other.y_px + other.height_px) - this.y_px.max(other.y_px);
    across.max(0.0) * down.max(0.0) / (this.width_px * this.height_px)
}
