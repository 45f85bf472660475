//! From a message to what is to be done about it. Pure.

use serde::Deserialize;
use wire::topic::{Topics, UNNUMBERED, is_name};
use wire::{CommandError, CommandErrorCode, PauseBody, PipelineBody, RollbackBody, SetBody, Verb};

use super::memory::{Known, Memory};
use super::settings::CommandSettings;
use crate::mqtt::Heard;

/// Longest body: two names and a number.
const BODY_MAX_BYTES: usize = 1024;

/// What is asked, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// How is it doing?
    Status,
    /// Use this threshold.
    Set(SetBody),
    /// Pause or resume a pipeline.
    Pause(PauseBody),
    /// Show a pipeline's next frame.
    Snapshot(PipelineBody),
    /// Go back to the release before.
    Rollback(RollbackBody),
    /// What somebody who looks for a fault wants to know.
    Diagnostics,
}

/// What to do about a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing: no command, or one that is being done.
    Ignore,
    /// Say why not.
    Refuse(CommandError),
    /// Say again what was said when it was done.
    Repeat(Vec<u8>),
    /// Do it.
    Do(Command),
}

/// Decides about `heard`, with what was done before in `memory`.
#[must_use]
pub fn decide(
    heard: &Heard,
    topics: &Topics,
    settings: &CommandSettings,
    memory: &Memory,
) -> Decision {
    let Some((verb, request)) = topics.asked(&heard.topic) else { return Decision::Ignore };
    // A result would stand on a topic that nobody could listen to.
    if !is_name(request) || !is_name(verb) {
        return Decision::Ignore;
    }
    if heard.retained {
        let message = "a retained command would be done at every reconnect: publish it without retain, \
                       and clear the topic";
        return refuse(CommandErrorCode::Retained, message);
    }
    let Some(verb) = Verb::from_word(verb) else {
        let known = Verb::ALL.map(Verb::word).join(", ");
        let message = format!("there is no verb `{verb}`; known are {known}");
        return refuse(CommandErrorCode::Malformed, message);
    };
    match memory.known(verb, request) {
        Some(Known::UnderWay) => return Decision::Ignore,
        Some(Known::Answered(body)) => return Decision::Repeat(body.clone()),
        None => {}
    }
    let command = match parse(verb, &heard.payload) {
        Ok(command) => command,
        Err(message) => return refuse(CommandErrorCode::Malformed, message),
    };
    if !allowed(verb, &command, settings) {
        let verb = verb.word();
        let message =
            format!("`{verb}` is not in `allow` of [commands] in this device's configuration");
        return refuse(CommandErrorCode::NotAllowed, message);
    }
    if request == UNNUMBERED && verb == Verb::Rollback {
        let message = "`rollback` needs a request of its own: done twice it goes back twice";
        return refuse(CommandErrorCode::Malformed, message);
    }
    Decision::Do(command)
}

fn refuse(code: CommandErrorCode, message: impl Into<String>) -> Decision {
    Decision::Refuse(CommandError { code, message: message.into() })
}

/// Whether the configuration allows it. Who may pause may take the pause back.
fn allowed(verb: Verb, command: &Command, settings: &CommandSettings) -> bool {
    let resumes = matches!(command, Command::Pause(body) if !body.paused);
    settings.allows(verb)
        || resumes && (settings.allows(Verb::Resume) || settings.allows(Verb::Pause))
}

/// The command that `body` is for `verb`, or what is wrong with it.
fn parse(verb: Verb, body: &[u8]) -> Result<Command, String> {
    if body.len() > BODY_MAX_BYTES {
        return Err(format!(
            "the body has {} bytes, at most {BODY_MAX_BYTES} are read",
            body.len()
        ));
    }
    Ok(match verb {
        Verb::Status => none(body, Command::Status)?,
        Verb::Diagnostics => none(body, Command::Diagnostics)?,
        Verb::Set => Command::Set(read(body)?),
        Verb::Pause => Command::Pause(read(body)?),
        Verb::Resume => {
            let PipelineBody { pipeline } = read(body)?;
            Command::Pause(PauseBody { pipeline, paused: false })
        }
        Verb::Snapshot => Command::Snapshot(read(body)?),
        // An empty message is also what clears a retained one: `{}` at least must be meant.
        Verb::Rollback => Command::Rollback(read(body)?),
    })
}

fn none(body: &[u8], command: Command) -> Result<Command, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    if !body.is_empty() {
        let Nothing {} = read(body)?;
    }
    Ok(command)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use CommandErrorCode::{Malformed, NotAllowed, Retained};

    fn heard(topic: &str, body: &str, retained: bool) -> Heard {
        let topic = format!("vedette/v1/d/cmd/{topic}");
        Heard { topic, payload: body.as_bytes().to_vec().into(), retained }
    }

    fn decided(allow: &[Verb], heard: &Heard) -> Decision {
        let settings = CommandSettings { allow: allow.to_vec() };
        decide(heard, &Topics::new("d").unwrap(), &settings, &Memory::default())
    }

    #[test]
    fn what_changes_something_is_not_allowed_by_default_and_status_is() {
        let settings = CommandSettings::default();
        for verb in Verb::ALL {
            assert_eq!(settings.allows(verb), verb == Verb::Status, "{verb:?}");
        }
    }

    #[test]
    fn a_message_is_a_command_or_is_refused_for_one_clear_reason() {
        let long = format!(r#"{{"pipeline":"{}"}}"#, "x".repeat(2000));
        let pause = |paused| Command::Pause(PauseBody { pipeline: "p".to_owned(), paused });
        let set = |threshold| Command::Set(SetBody { pipeline: "p".to_owned(), threshold });
        let rollback = RollbackBody { slot: Some("s".to_owned()), to: None };
        type Wanted = Result<Command, (CommandErrorCode, &'static str)>;
        let cases: &[(&str, &str, Wanted)] = &[
            ("status/1", "", Ok(Command::Status)),
            ("status/1", "{}", Ok(Command::Status)),
            ("status/1", r#"{"a":1}"#, Err((Malformed, "unknown field"))),
            ("set/1", r#"{"pipeline":"p","threshold":0.5}"#, Ok(set(Some(0.5)))),
            ("set/1", r#"{"pipeline":"p","threshold":null}"#, Ok(set(None))),
            ("set/1", r#"{"pipeline":"p","threshold":"a"}"#, Err((Malformed, "invalid type"))),
            ("set/1", r#"{"threshold":0.5}"#, Err((Malformed, "missing field `pipeline`"))),
            ("pause/1", r#"{"pipeline":"p"}"#, Ok(pause(true))),
            ("pause/-", r#"{"pipeline":"p","paused":false}"#, Ok(pause(false))),
            ("pause/1", "", Err((Malformed, "cannot be read"))),
            ("pause/1", long.as_str(), Err((Malformed, "at most 1024"))),
            ("resume/1", r#"{"pipeline":"p"}"#, Ok(pause(false))),
            ("rollback/1", r#"{"slot":"s"}"#, Ok(Command::Rollback(rollback))),
            ("rollback/1", "", Err((Malformed, "cannot be read"))),
            ("rollback/-", "{}", Err((Malformed, "a request of its own"))),
            ("diagnostics/1", "\u{0}", Err((Malformed, "cannot be read"))),
            ("reboot/1", "", Err((Malformed, "no verb `reboot`"))),
        ];
        for (topic, body, wanted) in cases {
            let found = decided(&Verb::ALL, &heard(topic, body, false));
            match (wanted, found) {
                (Ok(command), Decision::Do(found)) => assert_eq!(&found, command, "{topic} {body}"),
                (Err((code, text)), Decision::Refuse(error)) => {
                    assert_eq!(error.code, *code, "{topic} {body}");
                    assert!(error.message.contains(text), "{topic}: {}", error.message);
                }
                (_, found) => panic!("{topic} {body}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_retained_command_is_refused_whatever_it_says() {
        for topic in ["status/1", "rollback/1", "reboot/1"] {
            let Decision::Refuse(error) = decided(&Verb::ALL, &heard(topic, "{}", true)) else {
                panic!("{topic}")
            };
            assert_eq!(error.code, Retained, "{topic}");
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused_and_a_pause_may_be_taken_back() {
        let body = r#"{"pipeline":"p","paused":false}"#;
        for (allow, topic, allowed) in [
            (&[][..], "pause/1", false),
            (&[Verb::Pause][..], "pause/1", true),
            (&[Verb::Resume][..], "pause/1", true),
            (&[Verb::Status][..], "pause/1", false),
        ] {
            let found = decided(allow, &heard(topic, body, false));
            let refused = matches!(&found, Decision::Refuse(error) if error.code == NotAllowed);
            assert_eq!(refused, !allowed, "{allow:?} {topic}: {found:?}");
        }
        let pause = heard("pause/1", r#"{"pipeline":"p"}"#, false);
        assert!(matches!(decided(&[Verb::Resume], &pause), Decision::Refuse(_)));
    }

    #[test]
    fn the_same_request_is_answered_again_and_not_done_again() {
        let (topics, settings) = (Topics::new("d").unwrap(), CommandSettings::default());
        let mut memory = Memory::default();
        let asked = heard("status/7", "", false);
        let decided = |memory: &Memory| decide(&asked, &topics, &settings, memory);
        assert_eq!(decided(&memory), Decision::Do(Command::Status));
        memory.begun(Verb::Status, "7");
        assert_eq!(decided(&memory), Decision::Ignore);
        memory.answered(Verb::Status, "7", b"so".to_vec());
        assert_eq!(decided(&memory), Decision::Repeat(b"so".to_vec()));
    }

    #[test]
    fn what_is_no_command_of_this_device_is_not_answered() {
        for topic in ["cmd/status/a b", "cmd/sta tus/1", "cmd/status", "info"] {
            let heard = Heard {
                topic: format!("vedette/v1/d/{topic}"),
                payload: Vec::new().into(),
                retained: false,
            };
            assert_eq!(decided(&Verb::ALL, &heard), Decision::Ignore, "{topic}");
        }
    }
}
