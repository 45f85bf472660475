//! Where the data path and the update path meet: what a slot runs at the start, and the way to its engine.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::engines::{Made, Plan, Running, info, lock, open};
use super::{Ended, House};
use crate::config::Config;
use crate::disk::StateDir;
use crate::pipeline::health::Watch;
use crate::pipeline::worker::Generation;
use crate::report;
use crate::supervisor::exit;
use crate::update::slot::Happened;
use crate::update::store::Store;
use crate::update::{self, Booted, Live, RehearsalSettings};

/// A model that takes releases, before its engine runs.
pub(super) struct Slot {
    name: String,
    model: String,
    store: Store,
    booted: Booted,
    rehearsal: RehearsalSettings,
}

/// What model `index` runs at the start; `None` where it takes no releases.
pub(super) fn boot(config: &Config, index: usize, state: &StateDir) -> Result<Option<Slot>, Ended> {
    let model = &config.models[index];
    let (Some(settings), Some(release)) = (&config.update, &model.release) else { return Ok(None) };
    let failed = |error: &dyn std::error::Error| Ended::failed(exit::STATE, error);
    let store = Store::open(state.path()).map_err(|error| failed(&error))?;
    let booted = update::boot(&store, &model.name).map_err(|error| failed(&error))?;
    Ok(Some(Slot {
        name: model.name.clone(),
        model: release.clone(),
        store,
        booted,
        rehearsal: RehearsalSettings {
            library: config.onnxruntime.clone(),
            options: model.engine.options().cloned().unwrap_or_default(),
            cache: PathBuf::new(),
            memory_bytes: settings.rehearsal_bytes,
        },
    }))
}

impl Slot {
    /// The committed release's folder; `None`: the configured one.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        let good = self.booted.record.good.as_ref()?;
        Some(self.store.folder(&good.release.release))
    }

    /// The committed release does not open: in probation it goes back for that.
    fn failed(&mut self, reason: &str) -> bool {
        let Ok((next, _)) = self.booted.record.walk(Happened::Failed(reason.to_owned())) else {
            return false;
        };
        let walked = self.store.save(&next).and_then(|()| update::boot(&self.store, &self.name));
        match walked {
            Ok(booted) => {
                self.booted = booted;
                true
            }
            Err(error) => {
                tracing::error!(slot = self.name, error = report::chain(&error), "cannot go back");
                false
            }
        }
    }

    /// The way to the engine, for the update path.
    pub(super) fn live(
        self,
        running: &Running,
        watches: Vec<Arc<Watch>>,
        first: Weak<Generation>,
        cache: &Path,
        changed: Arc<tokio::sync::Notify>,
    ) -> (Live, Booted) {
        let (plan, cached) = (running.plan.clone(), cache.to_owned());
        let opens = move |folder: Option<&Path>| {
            let made = Made { folder: folder.map(Path::to_owned), ..plan.get() };
            open(&made, &cached).map_err(|error| report::chain(&error))
        };
        let (plan, known) = (running.plan.clone(), running.info.clone());
        let serves = move |folder: Option<&Path>, generation: &Generation| {
            let made = Made { folder: folder.map(Path::to_owned), ..plan.get() };
            *lock(&known) = info(made.name(), generation);
            plan.set(made);
            changed.notify_one();
        };
        let made = running.plan.get();
        let live = Live {
            stands_by: made.config.uses(made.model).all(|one| one.lighter),
            slot: self.name,
            model: self.model,
            swap: running.swap.clone(),
            watches,
            open: Arc::new(opens),
            serves: Box::new(serves),
            changing: running.changing.clone(),
            first,
            rehearsal: RehearsalSettings { cache: cache.to_owned(), ..self.rehearsal },
        };
        (live, self.booted)
    }
}

impl House {
    /// The first model of `plan`. A release that does not open is left: for the one before it while it is in
    /// probation, otherwise for the configured folder.
    pub(super) fn first(&self, plan: &Plan, slot: Option<&mut Slot>) -> Result<Generation, Ended> {
        let mut built = self.engines.build(plan);
        // Where only the accelerator is full, the next start tries again: each in probation counts as a death.
        if let (Err(error), Some(slot)) = (&built, slot)
            && plan.get().folder.is_some()
            && !error.may_pass()
        {
            let error = report::chain(error);
            tracing::error!(slot = slot.name, error, "the committed release cannot be opened");
            if slot.failed(&error) {
                plan.set(Made { folder: slot.folder(), ..plan.get() });
                built = self.engines.build(plan);
            }
            if built.is_err() {
                tracing::error!(slot = slot.name, "running the configured folder instead");
                plan.set(Made { folder: None, ..plan.get() });
                built = self.engines.build(plan);
            }
        }
        built.map_err(|error| Ended::failed(error.exit_code(), &error))
    }

    /// Starts to take releases, and returns the way to ask about them. Where that cannot be, what runs goes on.
    pub(super) fn take_releases(
        &self,
        slots: Vec<(Live, Booted)>,
        state: &StateDir,
    ) -> Option<update::Desk> {
        let settings = self.config.update.as_ref()?;
        Some(update::start(
            settings,
            self.config.topics.device(),
            state.path(),
            slots,
            self.link.as_ref(),
            &self.said,
            &self.supervisor,
        ))
    }
}
