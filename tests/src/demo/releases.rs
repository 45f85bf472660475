//! The second act: releases good and bad reach a device whose pipeline never stops.
//!
//! An operator's repository is served, a second device pulls from it, and what it says of itself is shown as a
//! timeline. The bad ones are validly signed, by an operator whose check says yes to everything.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use wire::topic::Topics;
use wire::{ModelEvent, ModelState, Phase};

use super::{Check, Screen};
use crate::fleet::{Programs, write_model};
use crate::heard::{exactly, observations};
use crate::{Fleet, Folder, Kind, Launch, Listener, Message, onnx};

/// Name of the second device.
const DEVICE: &str = "sentry";
/// How long a release may take, from its rollout to its end.
const RELEASE: Duration = Duration::from_secs(90);
/// How long the daemon may take to begin and to end.
const START_AND_END: Duration = Duration::from_secs(30);
/// Seconds of each probation.
const PROBATION_S: u32 = 2;

/// Each release, what is wrong with it, and what must become of it.
const STORY: [(&str, Kind, &str, Option<&str>); 5] = [
    ("2.0.0", Kind::Good, "good", None),
    (
        "3.0.0",
        Kind::Wrong,
        "signed, and its outputs are not those of its golden samples",
        Some("golden"),
    ),
    ("4.0.0", Kind::Hungry, "signed, and its process is ended while it loads", Some("64 MiB")),
    (
        "5.0.0",
        Kind::Slow,
        "signed, right, and more than ten times too slow",
        Some("95 of 100 frames"),
    ),
    ("6.0.0", Kind::Good, "good", None),
];

/// Plays it with the broker on `port`, in the folder `out`.
///
/// # Errors
/// Something of the stage itself failed: a program does not start, the broker is gone.
pub fn releases(
    programs: &Programs,
    out: &Path,
    port: u16,
    screen: &mut Screen,
) -> Result<Vec<Check>> {
    screen.say("\nReleases: an operator publishes, a second device pulls.\n");
    let (fleet, folder) = (Fleet::of(programs.clone())?, Folder::new()?);
    let (topics, listener) = (Topics::new(DEVICE)?, Listener::start(port, None)?);
    write_model(&folder, "model", &onnx::brightness(13), "1.0.0", 0.5)?;
    let config = format!(
        "device = \"{DEVICE}\"\nstate_dir = \"state\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n{}\n\
         [models.watch]\npath = \"model\"\nrelease = \"brightness\"\nproviders = [\"cpu\"]\nthreads = 1\n\
         [[pipeline]]\nname = \"gate\"\nmodel = \"watch\"\n\
         source = {{ kind = \"pattern\", width = 640, height = 360, rate_hz = 30 }}\n",
        fleet.update()
    );
    folder.write("vedette.toml", config)?;
    let arguments = ["run", "--config", "vedette.toml"];
    let mut daemon =
        Launch::new(&programs.vedette, &programs.onnxruntime, folder.path(), &arguments)
            .log_to(out.join("vedette-releases.log"))
            .apart()
            .start()?;
    daemon.wait_log("running pipelines=", START_AND_END)?;
    let (began, mut checks) = (Instant::now(), Vec::new());
    for (version, kind, what, refused) in STORY {
        let before = events(&listener.heard(), &topics).count();
        screen
            .say(&format!("{:6.1} s  {version}  published: {what}", began.elapsed().as_secs_f64()));
        fleet.release(version, kind, PROBATION_S)?;
        listener.say(&topics.model_install("watch"), "now")?;
        checks.push(follow(&listener, &topics, version, refused, (began, before), screen)?);
    }
    daemon.signal(Signal::TERM)?;
    let ended = daemon.wait_exit(START_AND_END)?;
    checks.push(Check {
        good: ended.code == Some(0),
        text: format!("the second daemon ended with code {:?}", ended.code),
    });
    checks.push(frames(&listener.heard(), &topics)?);
    Ok(checks)
}

/// The slot's changes of phase, in order.
fn events<'a>(
    messages: &'a [Message],
    topics: &Topics,
) -> impl Iterator<Item = &'a Message> + use<'a> {
    let topic = topics.model_event("watch");
    messages.iter().filter(move |message| message.topic == topic)
}

/// Shows what becomes of `version`, until the slot rests; `before` events were there before.
fn follow(
    listener: &Listener,
    topics: &Topics,
    version: &str,
    refused: Option<&str>,
    (began, before): (Instant, usize),
    screen: &mut Screen,
) -> Result<Check> {
    let mut shown = before;
    let deadline = Instant::now() + RELEASE;
    loop {
        let seen = shown;
        let left = deadline.saturating_duration_since(Instant::now());
        let heard = listener.wait("the next phase", left, |messages| {
            let news: Vec<Message> = events(messages, topics).skip(seen).cloned().collect();
            (!news.is_empty()).then_some(news)
        });
        let heard: Vec<Message> = heard.with_context(|| format!("release {version}"))?;
        shown += heard.len();
        for message in &heard {
            let event: ModelEvent<'_> = exactly(&message.body)?;
            let at = message.at.saturating_duration_since(began).as_secs_f64();
            let phase = format!("{:?}", event.to).to_lowercase();
            let why = event.reason.map(|why| format!(": {why}")).unwrap_or_default();
            screen.say(&format!("{at:6.1} s  {version}    {phase}{why}"));
            if event.to == Phase::Idle {
                return end(listener, topics, version, refused);
            }
        }
    }
}

/// What became of it, as the retained state says.
fn end(
    listener: &Listener,
    topics: &Topics,
    version: &str,
    refused: Option<&str>,
) -> Result<Check> {
    let topic = topics.model_state("watch");
    listener.wait("the state", RELEASE, |messages| {
        let last = messages.iter().rev().find(|message| message.topic == topic)?;
        let state: ModelState<'_> = exactly(&last.body).ok()?;
        if state.phase != Phase::Idle {
            return None;
        }
        let installed = state.installed.as_ref().map_or("", |one| one.version.as_str());
        let (good, text) = match (refused, &state.refused) {
            (None, _) => (installed == version, format!("{version} is installed: {installed}")),
            (Some(why), Some(refusal)) => (
                refusal.release.version == version && refusal.reason.contains(why),
                format!("{version} is refused, and {installed} goes on: {}", refusal.reason),
            ),
            (Some(_), None) => (false, format!("{version} is not refused")),
        };
        Some(Check { good, text })
    })
}

/// Whether every frame was observed, in order, through it all.
fn frames(heard: &[Message], topics: &Topics) -> Result<Check> {
    let seen = observations(heard, topics, "gate")?;
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut lost, mut next) = (0, 0);
    for one in &seen {
        lost += one.frame.seq.saturating_sub(next);
        next = one.frame.seq + 1;
        *versions.entry(&one.model.version).or_default() += 1;
    }
    let by: Vec<String> =
        versions.iter().map(|(version, count)| format!("{count} by {version}")).collect();
    Ok(Check {
        good: lost == 0 && versions.len() == 3,
        text: format!("{} frames, {lost} lost ({})", seen.len(), by.join(", ")),
    })
}
