//! What a model's card promises.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What a model's card promises, as far as the demonstration holds it to that.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Card {
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its accuracy on held-out data.
    pub accuracy: Accuracy,
}

/// A detector's accuracy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Accuracy {
    /// Share of what it found that is there.
    pub precision: f64,
    /// Share of what is there that it found.
    pub recall: f64,
    /// Overlap from which on something counts as found.
    pub iou: f32,
}

impl Card {
    /// The card in the folder `model`.
    ///
    /// # Errors
    /// There is none, or it promises nothing.
    pub fn read(model: &Path) -> Result<Self> {
        let file = model.join("model.toml");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        toml::from_str(&text).with_context(|| format!("`{}` has no [accuracy]", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_detector_promises_something() {
        let card = Card::read(&crate::places::model("shapes").unwrap()).unwrap();
        assert_eq!(card.name, "shapes");
        assert!(card.accuracy.precision > 0.5 && card.accuracy.recall > 0.5, "{card:?}");
    }
}
