//! `lighter` of `[pipeline.load]`: a second model that stands in for a pipeline's own while its load is too much.
//!
//! It is one of the configured models, opened at the start like any other, with a thread of its own. Its releases are
//! tried on the frames that it is given, and on a board that stays well, which gives it none, taken on their rehearsal.
//! Opened only when it is needed, it would be opened on a board that is too hot already,
//! for minutes where TensorRT builds an engine, and nobody would know before whether it fits; the price is that both
//! lie in memory all the time.

use std::sync::Arc;

use super::checked::{ModelConfig, Named, laid_over};
use super::section::{Section, unknown};
use super::tree::{Table, Value};
use crate::kinds;
use crate::model::ModelFolder;
use crate::pipeline::postprocess::PostprocessSpec;
use crate::pipeline::window::Cut;

/// A model that infers a pipeline's frames at some times.
#[derive(Debug)]
pub struct Lighter {
    /// Which of the models.
    pub model: usize,
    /// Its postprocess with the pipeline's own settings over it.
    pub postprocess: Arc<dyn PostprocessSpec>,
}

impl Lighter {
    /// The model that `wanted` names, to stand in for a pipeline's `own`: it must be shown the same and mean the same,
    /// so that zones, rules and whoever listens need not know which of the two speaks. The size of its picture may be
    /// another. `None` only where a mistake was noted.
    pub(super) fn read(
        section: &Section<'_>,
        wanted: &str,
        own: &ModelConfig,
        models: &Named<ModelConfig>,
        over: &Table,
    ) -> Option<Self> {
        let refuse = |why: String| {
            section.mistake("load", format!("`lighter`: {why}"));
            None
        };
        let names: Vec<&str> = models.iter().map(|(name, _)| name.as_str()).collect();
        let Some(model) = names.iter().position(|known| *known == wanted) else {
            return refuse(unknown(wanted, &names));
        };
        if own.name == wanted {
            return refuse(format!("`{wanted}` is the pipeline's own model"));
        }
        // Of one that has mistakes of its own, those are enough to read.
        let folder = &models.get(model)?.1.as_ref()?.folder;
        if let Some(what) = differs(folder, &own.folder) {
            let own = &own.name;
            return refuse(format!("`{wanted}` and `{own}` must have the same {what}"));
        }
        let table = laid_over(folder, over);
        let section = section.with("postprocess", &table);
        let postprocess = kinds::build(kinds::POSTPROCESSES, section)?.into();
        Some(Self { model, postprocess })
    }
}

/// What `one` and `other` have not in common, and must where a pipeline is inferred by both: so must a release of either
/// and the folder that it takes the place of.
#[must_use]
pub fn differs(one: &ModelFolder, other: &ModelFolder) -> Option<&'static str> {
    let parts = [
        ("task", one.task == other.task),
        ("labels, in the same order", one.labels == other.labels),
        (
            "input: both [picture], or both [window]",
            one.picture.is_some() == other.picture.is_some(),
        ),
        ("[window]: channels, rate, length and hop", cut(one) == cut(other)),
        ("kind of postprocess", kind(one) == kind(other)),
    ];
    parts.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

fn cut(folder: &ModelFolder) -> Option<&Cut> {
    folder.window.as_ref().map(|window| &window.cut)
}

fn kind(folder: &ModelFolder) -> Option<&str> {
    match folder.postprocess.iter().find(|(key, _)| key == "kind").map(|(_, node)| &node.value) {
        Some(Value::Text(kind)) => Some(kind),
        _ => None,
    }
}
