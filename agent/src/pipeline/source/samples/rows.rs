//! Samples that were read and not yet taken.

/// A queue of samples; its memory is reused.
#[derive(Debug)]
pub(crate) struct Rows {
    channels: usize,
    stamps: Vec<Option<f64>>,
    /// `channels` of each; the first is no number where the sample cannot be used.
    values: Vec<f64>,
    next: usize,
}

/// A sample that was taken out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    /// Its time by the sensor's clock, in seconds, where it has one.
    pub(crate) stamp: Option<f64>,
    /// Whether it cannot be used: it only takes its time.
    pub(crate) lost: bool,
}

impl Rows {
    /// For samples of so many channels.
    pub(crate) fn new(channels: usize) -> Self {
        Self { channels, stamps: Vec::new(), values: Vec::new(), next: 0 }
    }

    /// Adds a sample.
    pub(crate) fn push(&mut self, stamp: Option<f64>, values: impl IntoIterator<Item = f64>) {
        let before = self.values.len();
        self.values.extend(values.into_iter().take(self.channels));
        self.values.resize(before + self.channels, f64::NAN);
        self.stamps.push(stamp);
    }

    /// Adds a sample that cannot be used.
    pub(crate) fn lose(&mut self) {
        self.push(None, []);
    }

    /// How many were added since it was empty.
    pub(crate) fn added(&self) -> usize {
        self.stamps.len()
    }

    /// Takes the oldest out, and its values into `into`.
    pub(crate) fn pop(&mut self, into: &mut [f64]) -> Option<Row> {
        let Some(&stamp) = self.stamps.get(self.next) else {
            self.stamps.clear();
            self.values.clear();
            self.next = 0;
            return None;
        };
        let values = self.values.get(self.next * self.channels..).unwrap_or_default();
        for (into, value) in into.iter_mut().zip(values) {
            *into = *value;
        }
        self.next += 1;
        Some(Row { stamp, lost: !into.iter().all(|value| value.abs() <= f64::from(f32::MAX)) })
    }
}
