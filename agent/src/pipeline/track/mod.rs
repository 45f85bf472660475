//! Which box in this frame is the object of the frame before: a number for each, that stays with it.
//!
//! ```text
//! move all on ─▶ sure boxes: followed and lost objects ─▶ unsure boxes: those that got none
//!            ─▶ sure boxes that are left: objects that were seen once, then new objects
//! ```
//!
//! The two stages are ByteTrack's (Zhang et al., 2022): a box with a low score begins nothing and is no false
//! alarm where something was expected. Whoever wants it sets the model's own threshold low. Other than there, an
//! unsure box finds a lost object too: what comes out from behind another is unsure first, and its place is known
//! best then. Pairs are chosen exactly (`assign`), by the overlap of where an object should be (`kalman`) with where
//! a box is.
//!
//! **Invariants:** there are never more than [`TRACKS_MAX`] objects, a number is never given twice, and a frame
//! allocates nothing (`tests/allocations.rs`). Pure: time is an argument, counted in steps of [`STEP`].

mod assign;
mod kalman;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use wire::{Detection, PixelBox};

use self::assign::Assignment;
use self::kalman::Motion;
pub use self::settings::TrackSettings;

/// Objects that are followed at one time. Boxes of a frame beyond as many, the least sure ones, are not looked at.
pub const TRACKS_MAX: usize = 256;
/// A step of time: what the filter's numbers are made for.
pub const STEP: Duration = Duration::from_nanos(1_000_000_000 / 30);
/// Steps that an object is moved on at once: what was not seen for longer does not go on for ever.
const STEPS_MAX: f32 = 30.0;
/// Overlap that unsure boxes and objects seen once must have: more than of sure boxes.
const OVERLAP_UNSURE: f32 = 0.5;
const OVERLAP_ONCE: f32 = 0.3;
/// Two objects that overlap by more are one.
const OVERLAP_SAME: f32 = 0.85;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Seen, but not often enough to have a number.
    New,
    /// Seen in the last frame.
    Seen,
    /// Not seen since.
    Lost,
}

/// One object.
#[derive(Debug, Clone)]
struct Track {
    number: u64,
    class: u32,
    state: State,
    hits: u32,
    /// Steps since it was seen, and since it began.
    unseen: f32,
    age: f32,
    motion: Motion,
    /// Where it should be in this frame.
    bounds: PixelBox,
    /// The box that it is in this frame.
    detection: Option<usize>,
}

/// Follows the objects of one pipeline.
#[derive(Debug)]
pub struct Tracker {
    settings: TrackSettings,
    tracks: Vec<Track>,
    /// The last number that was given.
    numbers: u64,
    frames: u64,
    assignment: Assignment,
    /// Which tracks and boxes are in the table of costs.
    rows: Vec<usize>,
    columns: Vec<usize>,
    /// Whether a box has found its object.
    taken: Vec<bool>,
    /// Number of each box's object, where it has one.
    ids: Vec<Option<u64>>,
}

impl Tracker {
    /// A tracker that has seen nothing. Takes all of its memory now.
    #[must_use]
    pub fn new(settings: TrackSettings) -> Self {
        Self {
            settings,
            tracks: Vec::with_capacity(TRACKS_MAX),
            numbers: 0,
            frames: 0,
            assignment: Assignment::new(TRACKS_MAX),
            rows: Vec::with_capacity(TRACKS_MAX),
            columns: Vec::with_capacity(TRACKS_MAX),
            taken: Vec::with_capacity(TRACKS_MAX),
            ids: Vec::with_capacity(TRACKS_MAX),
        }
    }

    /// The number of each of `detections`' objects, `steps` after the frame before; `None` for what is not (or not
    /// yet) followed. The surest come first in `detections`.
    pub fn update(&mut self, detections: &[Detection], steps: f32) -> &[Option<u64>] {
        let seen = &detections[..detections.len().min(TRACKS_MAX)];
        self.frames += 1;
        self.advance(steps);
        self.taken.clear();
        self.taken.resize(seen.len(), false);
        let TrackSettings { high, low, overlap, .. } = self.settings;
        self.pair(seen, |track| track.state != State::New, |box_| box_.score >= high, overlap);
        let unsure = |box_: &Detection| box_.score >= low && box_.score < high;
        self.pair(seen, |track| track.state != State::New, unsure, OVERLAP_UNSURE);
        self.pair(seen, |track| track.state == State::New, |box_| box_.score >= high, OVERLAP_ONCE);
        self.forget();
        self.begin(seen);
        self.ids.clear();
        self.ids.resize(detections.len().min(TRACKS_MAX), None);
        for track in self.tracks.iter().filter(|track| track.state == State::Seen) {
            if let Some(id) = track.detection.and_then(|index| self.ids.get_mut(index)) {
                *id = Some(track.number);
            }
        }
        &self.ids
    }

    /// Objects that are followed, lost ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.tracks.len()
    }

    fn advance(&mut self, steps: f32) {
        let moved = steps.clamp(0.0, STEPS_MAX);
        for track in &mut self.tracks {
            track.motion.predict(moved, track.state == State::Seen);
            track.bounds = track.motion.bounds();
            track.unseen += steps.max(0.0);
            track.age += steps.max(0.0);
            track.detection = None;
        }
    }

    /// Pairs those of the tracks that `which` names with those of the free boxes that `boxes` names.
    fn pair(
        &mut self,
        detections: &[Detection],
        which: impl Fn(&Track) -> bool,
        boxes: impl Fn(&Detection) -> bool,
        overlap: f32,
    ) {
        let Self { tracks, assignment, rows, columns, taken, settings, .. } = self;
        rows.clear();
        columns.clear();
        let free = |track: &Track| track.detection.is_none() && which(track);
        rows.extend((0..tracks.len()).filter(|&row| free(&tracks[row])));
        columns.extend((0..detections.len()).filter(|&at| !taken[at] && boxes(&detections[at])));
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        assignment.begin(rows.len(), columns.len());
        for (row, &track) in rows.iter().enumerate() {
            let track = &tracks[track];
            for (cost, &column) in assignment.row_mut(row).iter_mut().zip(columns.iter()) {
                let found = &detections[column];
                if settings.by_class && found.index != track.class {
                    continue;
                }
                let iou = track.bounds.iou(&found.bounds);
                if iou >= overlap {
                    // A surer box is the better one of two that lie as well.
                    *cost = 1.0 - iou * found.score;
                }
            }
        }
        let confirm = settings.confirm;
        for (row, column) in assignment.solve(1.0).iter().enumerate() {
            let Some(at) = column.map(|column| columns[column]) else { continue };
            taken[at] = true;
            tracks[rows[row]].meet(at, &detections[at], confirm);
        }
    }

    /// Lets go of what was not seen for too long, or once and not again, and of doubles.
    fn forget(&mut self) {
        let lost = steps(self.settings.lost);
        self.tracks.retain_mut(|track| {
            if track.detection.is_some() {
                return true;
            }
            let keeps = track.state != State::New && track.unseen <= lost;
            track.state = State::Lost;
            keeps
        });
        // A lost object that lies where another is seen is that one: the one that was there longer stays.
        let mut index = 0;
        while index < self.tracks.len() {
            let this = &self.tracks[index];
            let double = this.state == State::Lost
                && self.tracks.iter().any(|other| {
                    other.state == State::Seen
                        && (!self.settings.by_class || other.class == this.class)
                        && other.age - other.unseen >= this.age - this.unseen
                        && other.bounds.iou(&this.bounds) > OVERLAP_SAME
                });
            if double {
                self.tracks.swap_remove(index);
            } else {
                index += 1;
            }
        }
    }

    /// Begins an object for each sure box that is no other's.
    fn begin(&mut self, detections: &[Detection]) {
        for (index, found) in detections.iter().enumerate() {
            if self.taken[index] || found.score < self.settings.begin {
                continue;
            }
            if self.tracks.len() == TRACKS_MAX && !self.give_way() {
                return;
            }
            self.numbers += 1;
            // What is there at the very first frame was there before.
            let known = self.settings.confirm <= 1 || self.frames == 1;
            self.tracks.push(Track {
                number: self.numbers,
                class: found.index,
                state: if known { State::Seen } else { State::New },
                hits: 1,
                unseen: 0.0,
                age: 0.0,
                motion: Motion::new(&found.bounds),
                bounds: found.bounds,
                detection: Some(index),
            });
        }
    }

    /// Makes room by letting go of the object that was lost for longest. False where none is lost.
    fn give_way(&mut self) -> bool {
        let lost = self.tracks.iter().enumerate().filter(|(_, track)| track.state == State::Lost);
        let longest = lost.max_by(|(_, a), (_, b)| a.unseen.total_cmp(&b.unseen));
        let Some((index, _)) = longest else { return false };
        self.tracks.swap_remove(index);
        true
    }
}

impl Track {
    fn meet(&mut self, at: usize, found: &Detection, confirm: u32) {
        self.motion.correct(&found.bounds);
        self.bounds = found.bounds;
        self.class = found.index;
        self.detection = Some(at);
        self.unseen = 0.0;
        self.hits = self.hits.saturating_add(1);
        if self.state != State::New || self.hits >= confirm {
            self.state = State::Seen;
        }
    }
}

/// `time` in steps.
#[must_use]
pub fn steps(time: Duration) -> f32 {
    time.as_secs_f32() / STEP.as_secs_f32()
}
