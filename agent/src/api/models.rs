//! The models that can be asked, and their versions: what serves now, and what served before.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::answer::Refusal;
use super::work::Stats;
use crate::config::Config;
use crate::config::section::Mistakes;
use crate::model::ModelFolder;

/// Versions that are remembered, with what was counted of them: each release is one, and old ones
/// need none.
const KNOWN_MAX: usize = 64;

/// One version of a model.
#[derive(Debug, Clone)]
pub struct Version {
    /// What its `model.toml`, or its release, calls it.
    pub version: String,
    /// The configuration in which the model stands.
    pub config: Arc<Config>,
    /// Which of its models.
    pub model: usize,
    /// The folder of a release, instead of the configured one.
    pub folder: Option<PathBuf>,
}

/// Asks for a version of the model of this name.
type Which = Arc<dyn Fn(&str) -> Option<Version> + Send + Sync>;

/// The models that there are.
#[derive(Clone)]
pub struct Models {
    /// Their names in the configuration.
    pub names: Vec<String>,
    /// What serves.
    pub current: Which,
    /// What can be returned to.
    pub previous: Which,
    /// Where engines that are built on this device are kept.
    pub cache: PathBuf,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").field("names", &self.names).finish_non_exhaustive()
    }
}

/// What tells one version of a model from every other: a new file of the same name and version is
/// another.
pub(super) type Key = (String, String, String);

/// A version that was asked for, read from its folder.
#[derive(Debug)]
pub(super) struct Known {
    /// The model's name in the configuration.
    pub(super) name: String,
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) folder: ModelFolder,
    stats: Mutex<Stats>,
}

impl Known {
    /// What was counted of it, to be read or added to; not held while anything else is done.
    pub(super) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request that is given up: its client has gone away, or its time was over.
#[derive(Debug)]
pub(super) struct Counting<'a>(Option<&'a Known>);

impl<'a> Counting<'a> {
    pub(super) fn of(model: &'a Known) -> Self {
        Self(Some(model))
    }

    /// It was answered, and counted as what it was answered.
    pub(super) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        if let Some(model) = self.0 {
            model.stats().cancelled();
        }
    }
}

/// Finds versions, and remembers them.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) models: Models,
    known: Mutex<BTreeMap<Key, Arc<Known>>>,
}

impl Shelf {
    pub(super) fn new(models: Models) -> Self {
        Self { models, known: Mutex::default() }
    }

    /// Names of the versions of model `name`, what serves first.
    pub(super) fn versions(&self, name: &str) -> Vec<String> {
        let mut versions: Vec<String> =
            (self.models.current)(name).into_iter().map(|version| version.version).collect();
        let previous = (self.models.previous)(name).map(|version| version.version);
        versions.extend(previous.filter(|previous| !versions.contains(previous)));
        versions
    }

    /// Version `version` of model `name`, or the one that serves.
    ///
    /// # Errors
    /// There is none, or its folder cannot be read.
    pub(super) async fn find(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Arc<Known>, Refusal> {
        let current = (self.models.current)(name).ok_or_else(|| {
            let names = self.models.names.join(", ");
            let names = if names.is_empty() { "none".to_owned() } else { names };
            Refusal::not_found(format!("there is no model `{name}`; there are: {names}"))
        })?;
        let found = match version {
            None => current,
            Some(version) if version == current.version => current,
            Some(version) => (self.models.previous)(name)
                .filter(|previous| previous.version == version)
                .ok_or_else(|| {
                    let versions = self.versions(name).join(", ");
                    Refusal::not_found(format!(
                        "model `{name}` has no version `{version}`; it has: {versions}"
                    ))
                })?,
        };
        self.known(name, found).await
    }

    async fn known(&self, name: &str, version: Version) -> Result<Arc<Known>, Refusal> {
        let mark = match &version.folder {
            // A release's folder is never written again, and named by its digest.
            Some(folder) => folder.display().to_string(),
            None => version.config.models[version.model].folder.sha256.clone(),
        };
        let key = (name.to_owned(), version.version.clone(), mark);
        if let Some(known) = self.lock().get(&key) {
            return Ok(known.clone());
        }
        let folder = match &version.folder {
            None => version.config.models[version.model].folder.clone(),
            Some(path) => {
                let path = path.clone();
                let read =
                    tokio::task::spawn_blocking(move || ModelFolder::read(&path, &Mistakes::new()));
                read.await.ok().flatten().ok_or_else(|| {
                    let what = format!("the folder of model `{name}` {} cannot be read", key.1);
                    Refusal::unavailable(what, 1)
                })?
            }
        };
        let name = name.to_owned();
        let made = Known { name, key: key.clone(), version, folder, stats: Mutex::default() };
        let mut all = self.lock();
        if all.len() >= KNOWN_MAX {
            // Whoever uses one holds it.
            all.retain(|_, known| Arc::strong_count(known) > 1);
        }
        Ok(all.entry(key).or_insert_with(|| Arc::new(made)).clone())
    }

    /// What was counted of every version that was asked for, by its model's name and its own: of several files
    /// that had them one after the other, together.
    pub(super) fn counted(&self) -> BTreeMap<(String, String), Stats> {
        let mut counted = BTreeMap::<_, Stats>::new();
        for ((name, version, _), known) in self.lock().iter() {
            counted.entry((name.clone(), version.clone())).or_default().add(&known.stats());
        }
        counted
    }

    /// The same of one version alone.
    pub(super) fn counted_of(&self, name: &str, version: &str) -> Stats {
        let mut counted = Stats::default();
        for ((other, of, _), known) in self.lock().iter() {
            if other == name && of == version {
                counted.add(&known.stats());
            }
        }
        counted
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A version of the committed detector under this name, on an engine that only waits.
    pub(in crate::api) fn known(name: &str, version: &str) -> Arc<Known> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shapes");
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("vedette.toml");
        let text = format!(
            "state_dir = 'state'\n[api]\n[models.{name}]\npath = '{}'\nengine = 'shadow'\nlatency_us = 1\n",
            folder.display()
        );
        crate::disk::replace(&file, text.as_bytes()).unwrap();
        let config = Arc::new(Config::load(&file, std::iter::empty()).unwrap());
        let folder = config.models[0].folder.clone();
        let key = (name.to_owned(), version.to_owned(), folder.sha256.clone());
        let version = Version { version: version.to_owned(), config, model: 0, folder: None };
        Arc::new(Known { name: name.to_owned(), key, version, folder, stats: Mutex::default() })
    }

    #[test]
    fn two_files_of_one_version_are_counted_as_one() {
        let models = Models {
            names: Vec::new(),
            current: Arc::new(|_| None),
            previous: Arc::new(|_| None),
            cache: PathBuf::new(),
        };
        let shelf = Shelf::new(models);
        for mark in ["one", "other"] {
            let known = known("door", "1");
            drop(Counting::of(&known));
            drop(Counting::of(&known));
            Counting::of(&known).answered();
            shelf.lock().insert(("door".into(), "1".into(), mark.into()), known);
        }
        let counted = shelf.counted();
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[&("door".to_owned(), "1".to_owned())].cancelled, 4);
        assert_eq!(shelf.counted_of("door", "1").cancelled, 4);
        assert_eq!(shelf.counted_of("door", "2"), Stats::default());
    }
}
