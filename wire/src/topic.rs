//! Where each payload is published. One page, so that no topic is spelled twice.

use std::fmt;

use crate::Verb;

/// The first two levels of every topic: the project and the version of the topic tree.
pub const ROOT: &str = "vedette/v1";

/// The request of a command whose sender cannot number its messages, such as a button on a dashboard: such a
/// command is done each time it arrives.
pub const UNNUMBERED: &str = "-";

/// The topics of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    device: String,
}

/// Why a name cannot be a topic level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName(pub String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a name: 1 to {NAME_MAX} of a-z, A-Z, 0-9, `-`, `_`, `.`", self.0)
    }
}

impl std::error::Error for BadName {}

/// Longest name of a device, pipeline or model, in bytes: three of them and the words between stay well
/// inside the 65,535 bytes of a topic, and inside what dashboards show on one line.
pub const NAME_MAX: usize = 63;

/// Whether `name` can stand between two slashes of a topic and as a file's name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !name.starts_with('.')
}

impl Topics {
    /// The topics of `device`.
    ///
    /// # Errors
    /// [`BadName`] where `device` cannot be one level of a topic.
    pub fn new(device: &str) -> Result<Self, BadName> {
        if is_name(device) {
            Ok(Self { device: device.to_owned() })
        } else {
            Err(BadName(device.to_owned()))
        }
    }

    /// The device these topics belong to.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Whether the device is there: retained, and the broker's last will.
    #[must_use]
    pub fn status(&self) -> String {
        format!("{ROOT}/{}/status", self.device)
    }

    /// What the device is and runs: retained.
    #[must_use]
    pub fn info(&self) -> String {
        format!("{ROOT}/{}/info", self.device)
    }

    /// Whether `pipeline` runs, and with which threshold: retained.
    #[must_use]
    pub fn pipeline_state(&self, pipeline: &str) -> String {
        format!("{ROOT}/{}/pipeline/{pipeline}/state", self.device)
    }

    /// The last picture of `pipeline` that was asked for: a JPEG file, nothing else.
    #[must_use]
    pub fn snapshot(&self, pipeline: &str) -> String {
        format!("{ROOT}/{}/snapshot/{pipeline}", self.device)
    }

    /// Where `request` asks the device to do something.
    #[must_use]
    pub fn command(&self, verb: Verb, request: &str) -> String {
        format!("{ROOT}/{}/cmd/{}/{request}", self.device, verb.word())
    }

    /// What came of it.
    #[must_use]
    pub fn command_result(&self, verb: &str, request: &str) -> String {
        format!("{ROOT}/{}/cmd/{verb}/{request}/result", self.device)
    }

    /// A filter for all commands, and for none of their results.
    #[must_use]
    pub fn commands(&self) -> String {
        format!("{ROOT}/{}/cmd/+/+", self.device)
    }

    /// Verb and request of a topic that [`Topics::commands`] matches.
    #[must_use]
    pub fn asked<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = topic.strip_prefix(ROOT)?.strip_prefix('/')?;
        let rest = rest.strip_prefix(&self.device)?.strip_prefix("/cmd/")?;
        rest.split_once('/').filter(|(_, request)| !request.contains('/'))
    }

    /// What `pipeline` saw, one message a frame.
    #[must_use]
    pub fn observation(&self, pipeline: &str) -> String {
        format!("{ROOT}/{}/observation/{pipeline}", self.device)
    }

    /// What happened before the camera of `pipeline`, by its rules.
    #[must_use]
    pub fn event(&self, pipeline: &str) -> String {
        format!("{ROOT}/{}/event/{pipeline}", self.device)
    }

    /// The clips that are kept of it.
    #[must_use]
    pub fn clip(&self, pipeline: &str) -> String {
        format!("{ROOT}/{}/clip/{pipeline}", self.device)
    }

    /// How the board feels.
    #[must_use]
    pub fn telemetry_board(&self) -> String {
        format!("{ROOT}/{}/telemetry/board", self.device)
    }

    /// How `pipeline` does.
    #[must_use]
    pub fn telemetry_pipeline(&self, pipeline: &str) -> String {
        format!("{ROOT}/{}/telemetry/pipeline/{pipeline}", self.device)
    }

    /// Whether the alarm `name` is raised: retained.
    #[must_use]
    pub fn alarm(&self, name: &str) -> String {
        format!("{ROOT}/{}/alarm/{name}", self.device)
    }

    /// Where the model of `slot` stands: retained.
    #[must_use]
    pub fn model_state(&self, slot: &str) -> String {
        format!("{ROOT}/{}/model/{slot}/state", self.device)
    }

    /// What happens to the model of `slot`.
    #[must_use]
    pub fn model_event(&self, slot: &str) -> String {
        format!("{ROOT}/{}/event/model/{slot}", self.device)
    }

    /// A message here, of whatever content, makes the device look for a release of `slot` at once.
    #[must_use]
    pub fn model_install(&self, slot: &str) -> String {
        format!("{ROOT}/{}/model/{slot}/install", self.device)
    }

    /// Where `vedette doctor` publishes, to hear itself.
    #[must_use]
    pub fn doctor(&self) -> String {
        format!("{ROOT}/{}/doctor", self.device)
    }

    /// Where what was to be on `topic` goes when it is too old to be taken for the current state.
    #[must_use]
    pub fn replay(&self, topic: &str) -> String {
        let root = format!("{ROOT}/{}/", self.device);
        format!("{root}replay/{}", topic.strip_prefix(&root).unwrap_or(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_name_that_would_break_a_topic_is_refused() {
        for (name, good) in [
            ("orin-7", true),
            ("a", true),
            ("", false),
            ("a/b", false),
            ("a+b", false),
            ("#", false),
            ("a b", false),
            (".hidden", false),
            ("ä", false),
        ] {
            assert_eq!(Topics::new(name).is_ok(), good, "{name:?}");
        }
        assert!(Topics::new(&"x".repeat(NAME_MAX + 1)).is_err());
        let topics = Topics::new("d").unwrap();
        assert_eq!(topics.observation("p"), "vedette/v1/d/observation/p");
        let replay = topics.replay("vedette/v1/d/telemetry/board");
        assert_eq!(replay, "vedette/v1/d/replay/telemetry/board");
    }

    #[test]
    fn a_commands_topic_names_its_verb_and_request_and_a_results_topic_does_not() {
        let topics = Topics::new("d").unwrap();
        for (topic, asked) in [
            (topics.command(Verb::Pause, "7"), Some(("pause", "7"))),
            ("vedette/v1/d/cmd/what/ever".to_owned(), Some(("what", "ever"))),
            (topics.command_result("pause", "7"), None),
            ("vedette/v1/dd/cmd/pause/7".to_owned(), None),
            ("vedette/v1/d/cmd/pause".to_owned(), None),
            ("vedette/v2/d/cmd/pause/7".to_owned(), None),
        ] {
            assert_eq!(topics.asked(&topic), asked, "{topic}");
        }
    }
}
