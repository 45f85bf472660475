//! A rotating machine as a three-axis accelerometer feels it, 1,000 samples a second: the one that the model
//! `vibration` knows, and what becomes of it when a bearing goes bad. The numbers are those of its card; the draw is
//! a small one of our own, seeded.

use std::f64::consts::TAU;

/// Samples a second.
pub(crate) const RATE_HZ: f64 = 1000.0;

/// Orders of the machine's turn, and how strong each is on x, y and z, in g, with its phase.
const ORDERS: [f64; 4] = [1.0, 2.0, 3.0, 5.0];
const STRENGTH: [[f64; 4]; 3] =
    [[0.200, 0.060, 0.025, 0.040], [0.170, 0.045, 0.030, 0.035], [0.050, 0.035, 0.015, 0.030]];
const PHASE: [[f64; 4]; 3] = [[0.0, 0.7, 2.1, 4.0], [1.57, 2.4, 3.0, 5.2], [0.9, 1.1, 0.3, 2.2]];
/// How much of each there is more at full load.
const BY_LOAD: [f64; 4] = [0.15, 0.30, 0.30, 0.80];
/// Turns a second without load, and how many less at full load.
const TURNS_HZ: f64 = 24.9;
const SLIP_HZ: f64 = 1.3;
const HUM_HZ: f64 = 100.0;
const HUM: [f64; 3] = [0.012, 0.012, 0.006];
const NOISE: f64 = 0.030;
/// A damaged ball strikes so often in a turn; the ring answers at this frequency and dies away in this time.
const STRIKES: f64 = 3.58;
const RING_HZ: f64 = 310.0;
const RING_S: f64 = 0.006;
const RING: [f64; 3] = [0.90, 0.70, 0.30];

/// A machine that runs.
#[derive(Debug)]
pub(crate) struct Machine {
    random: u64,
    turns: f64,
    sample: u32,
    /// How bad its bearing is, 0 to 1.
    pub(crate) severity: f64,
    struck: Option<(u32, f64)>,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(2) + 1,
            turns: 0.0,
            sample: 0,
            severity: 0.0,
            struck: None,
        }
    }

    /// From 0 to 1.
    fn uniform(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(self.random >> 32).unwrap_or_default();
        (f64::from(high) + 0.5) / 4_294_967_296.0
    }

    fn normal(&mut self) -> f64 {
        let (one, other) = (self.uniform(), self.uniform());
        (-2.0 * one.ln()).sqrt() * (TAU * other).cos()
    }

    /// The next sample: acceleration on x, y and z, in g.
    pub(crate) fn next(&mut self) -> [f64; 3] {
        let time = f64::from(self.sample) / RATE_HZ;
        // It is loaded and relieved in half a minute.
        let load = 0.55 + 0.35 * (TAU * time / 31.0).sin();
        let before = (self.turns * STRIKES).floor();
        self.turns += (TURNS_HZ - SLIP_HZ * load) / RATE_HZ;
        if (self.turns * STRIKES).floor() > before {
            self.struck = Some((self.sample, self.severity * (0.6 + 0.4 * self.uniform())));
        }
        let since = self.struck.map_or(0.0, |(at, _)| f64::from(self.sample - at) / RATE_HZ);
        let force = self.struck.map_or(0.0, |(_, force)| force);
        let ring = force * (-since / RING_S).exp() * (TAU * RING_HZ * since + 0.8).sin();
        self.sample += 1;
        let mut all = [0.0; 3];
        for (axis, value) in all.iter_mut().enumerate() {
            *value = HUM[axis] * (TAU * HUM_HZ * time).sin()
                + NOISE * (0.85 + 0.3 * load) * self.normal()
                + ring * RING[axis];
            for (index, order) in ORDERS.iter().enumerate() {
                let strength = STRENGTH[axis][index] * (1.0 + BY_LOAD[index] * load);
                *value += strength * (TAU * order * self.turns + PHASE[axis][index]).sin();
            }
        }
        all
    }

    /// So many samples as lines of CSV.
    pub(crate) fn lines(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            let [x, y, z] = self.next();
            text += &format!("{x:.5},{y:.5},{z:.5}\n");
        }
        text
    }

    /// So many samples as one packet of JSON.
    pub(crate) fn packet(&mut self, count: usize) -> String {
        let samples: Vec<[f64; 3]> = (0..count).map(|_| self.next()).collect();
        let of = |axis: usize| samples.iter().map(|sample| sample[axis]).collect::<Vec<f64>>();
        serde_json::json!({ "x": of(0), "y": of(1), "z": of(2) }).to_string() + "\n"
    }
}
