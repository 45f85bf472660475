//! Names of classes: the model's labels, or, where it has none, their numbers.

use std::sync::Arc;

use super::PostprocessError;
use super::outputs::Output;

/// The most classes of a model without labels. The largest label sets in use have about 22,000.
pub(super) const MAX_NUMBERED: usize = 65_536;

/// Gives names to classes.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    /// Whether the model has labels. Else names are made of numbers, each when it is first seen.
    given: bool,
    names: Vec<Option<Arc<str>>>,
}

impl Labels {
    /// The labels of a model whose output `output` has `classes` classes, if the graph says how many.
    pub(super) fn new(
        labels: &[Arc<str>],
        classes: Option<usize>,
        output: &Output,
    ) -> Result<Self, PostprocessError> {
        match classes {
            Some(classes) if !labels.is_empty() && classes != labels.len() => {
                Err(PostprocessError::Labels {
                    output: output.spec().to_owned(),
                    classes,
                    labels: labels.len(),
                })
            }
            _ => Ok(Self {
                given: !labels.is_empty(),
                names: labels.iter().cloned().map(Some).collect(),
            }),
        }
    }

    /// How many classes the labels say there are.
    pub(super) fn count(&self) -> Option<usize> {
        self.given.then_some(self.names.len())
    }

    /// The name of class `class` of `output`.
    pub(super) fn name(
        &mut self,
        class: u32,
        output: &Output,
    ) -> Result<Arc<str>, PostprocessError> {
        let index = usize::try_from(class).unwrap_or(usize::MAX);
        if !self.given && index < MAX_NUMBERED && index >= self.names.len() {
            self.names.resize(index + 1, None);
        }
        match self.names.get_mut(index) {
            Some(name) => Ok(name.get_or_insert_with(|| Arc::from(class.to_string())).clone()),
            None => Err(PostprocessError::Output {
                output: output.quoted(),
                found: format!("of class {class}"),
                expected: format!("one of {} classes", self.count().unwrap_or(MAX_NUMBERED)),
            }),
        }
    }
}
