//! `[commands]` of the configuration.

use wire::Verb;

use crate::config::Section;
use crate::config::section::unknown;

/// What may be asked over MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// The verbs that are obeyed.
    pub allow: Vec<Verb>,
}

impl Default for CommandSettings {
    /// To look, and nothing that changes or shows anything.
    fn default() -> Self {
        Self { allow: vec![Verb::Status] }
    }
}

impl CommandSettings {
    /// Reads `[commands]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let Some(words) = section.texts("allow") else { return Self::default() };
        let known = Verb::ALL.map(Verb::word);
        let verb = |word: &String| {
            let verb = Verb::from_word(word);
            if verb.is_none() {
                section.mistake("allow", unknown(word, &known));
            }
            verb
        };
        Self { allow: words.iter().filter_map(verb).collect() }
    }

    /// Whether `verb` is obeyed.
    #[must_use]
    pub fn allows(&self, verb: Verb) -> bool {
        self.allow.contains(&verb)
    }
}
