//! The clips on disk, and which of them give way to a new picture.
//!
//! **Invariant:** after each picture, what is kept has no more bytes than the quota, whatever a daemon before left
//! there (`what_is_kept_never_exceeds_the_quota`). The oldest clip gives way first, and those being taken never
//! do: where there is no room beside them the next picture is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::disk::{self, DiskError};

/// Name of the clips' directory in the state directory.
pub const CLIPS: &str = "clips";
/// Clips at one time, however small: a directory of more is slow to list.
const CLIPS_MAX: usize = 10_000;

/// Which clips, the oldest first, give way so that `more` bytes of `own` fit into `quota`, of those that are not being
/// `taken`. `None` where they never do.
#[must_use]
fn makes_room(
    clips: &BTreeMap<String, u64>,
    taken: &BTreeSet<String>,
    own: &str,
    more: u64,
    quota: u64,
) -> Option<Vec<String>> {
    let mut total: u64 = clips.values().sum::<u64>().saturating_add(more);
    let mut count = clips.len() + usize::from(!clips.contains_key(own));
    let mut leaving = Vec::new();
    for (name, bytes) in clips.iter().filter(|(name, _)| *name != own && !taken.contains(*name)) {
        if total <= quota && count <= CLIPS_MAX {
            break;
        }
        total = total.saturating_sub(*bytes);
        count -= 1;
        leaving.push(name.clone());
    }
    (total <= quota).then_some(leaving)
}

/// The clips that are kept.
#[derive(Debug)]
pub struct Kept {
    directory: PathBuf,
    quota: u64,
    /// Bytes of each clip, by name, which is by age; `None`: not yet listed.
    clips: Option<BTreeMap<String, u64>>,
    /// Those that are being taken, of all pipelines.
    taken: BTreeSet<String>,
}

impl Kept {
    /// Those in `directory`, of at most `quota` bytes. Touches no disk yet.
    #[must_use]
    pub fn new(directory: PathBuf, quota: u64) -> Self {
        Self { directory, quota, clips: None, taken: BTreeSet::new() }
    }

    /// `clip` is being taken from now on: it does not give way.
    pub fn begin(&mut self, clip: &str) {
        self.taken.insert(clip.to_owned());
    }

    /// `clip` is whole.
    pub fn end(&mut self, clip: &str) {
        self.taken.remove(clip);
    }

    /// Keeps `bytes` as `file` of `clip`, and says how many clips gave way. `None`: it is larger than the quota.
    ///
    /// # Errors
    /// It could not be written. What was there is still there, the clips that gave way excepted.
    pub fn keep(&mut self, clip: &str, file: &str, bytes: &[u8]) -> Result<Option<u32>, DiskError> {
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let directory = self.directory.clone();
        let clips = self.clips.get_or_insert_with(|| listed(&directory));
        let Some(leaving) = makes_room(clips, &self.taken, clip, more, self.quota) else {
            return Ok(None);
        };
        for name in &leaving {
            remove(&directory.join(name))?;
            clips.remove(name);
        }
        let own = directory.join(clip);
        disk::create_directory(&own)?;
        // Written or not, what may be there counts.
        *clips.entry(clip.to_owned()).or_default() += more;
        disk::replace(&own.join(file), bytes)?;
        Ok(Some(u32::try_from(leaving.len()).unwrap_or(u32::MAX)))
    }
}

/// The clips in `directory` and their bytes. What cannot be read is none.
fn listed(directory: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let clips = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let files = std::fs::read_dir(entry.path()).ok()?.flatten();
        let bytes = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        Some((name, bytes))
    });
    clips.collect()
}

fn remove(clip: &Path) -> Result<(), DiskError> {
    match std::fs::remove_dir_all(clip) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(DiskError::File { operation: "remove", path: clip.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_the_one_being_taken_never() {
        let clips =
            BTreeMap::from([("a".to_owned(), 40), ("b".to_owned(), 30), ("c".to_owned(), 20)]);
        for (own, more, quota, expected) in [
            ("d", 10, 100, Some(&[][..])),
            ("d", 11, 100, Some(&["a"])),
            ("d", 60, 100, Some(&["a", "b"])),
            ("d", 100, 100, Some(&["a", "b", "c"])),
            ("d", 101, 100, None),
            ("a", 20, 100, Some(&["b"])),
            ("a", 61, 100, None),
        ] {
            let leaving = makes_room(&clips, &BTreeSet::new(), own, more, quota);
            let leaving: Option<Vec<&str>> =
                leaving.as_ref().map(|names| names.iter().map(String::as_str).collect());
            assert_eq!(leaving.as_deref(), expected, "{own} {more}");
        }
    }

    #[test]
    fn what_is_kept_never_exceeds_the_quota() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join(CLIPS);
        let bytes = || listed(&directory).values().sum::<u64>();
        for run in 0..3 {
            // Each run finds what the one before left.
            let quota = [1000, 1000, 700][run];
            let mut kept = Kept::new(directory.clone(), quota);
            for clip in 0..5 {
                for picture in 0..3_usize {
                    let name = format!("{run}-{clip}");
                    let file = format!("{picture}.jpg");
                    let fits = kept.keep(&name, &file, &vec![7; 100 * (picture + 1)]).unwrap();
                    assert!(fits.is_some() && bytes() <= quota);
                }
            }
            assert_eq!(kept.keep("z", "0.jpg", &vec![0; 1001]).unwrap(), None);
        }
        let names: Vec<String> = listed(&directory).into_keys().collect();
        assert_eq!(names, ["2-4"], "600 bytes each: one fits, and the newest is left");
    }

    #[test]
    fn a_clip_that_is_being_taken_does_not_give_way_to_another_pipeline_s() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::new(dir.path().join(CLIPS), 100);
        kept.begin("a");
        assert_eq!(kept.keep("a", "0.jpg", &[0; 60]).unwrap(), Some(0));
        assert_eq!(kept.keep("b", "0.jpg", &[0; 60]).unwrap(), None);
        kept.end("a");
        assert_eq!(kept.keep("b", "0.jpg", &[0; 60]).unwrap(), Some(1));
    }
}
