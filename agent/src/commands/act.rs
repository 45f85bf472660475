//! Does what was decided.

use std::time::Duration;

use wire::{
    CommandError, CommandErrorCode, DeviceReport, Diagnostics, PauseBody, PipelineBody,
    RollbackBody, SetBody, SnapshotReport,
};

use super::decide::Command;
use super::report;
use super::states::Pipeline;
use super::worker::Hands;
use crate::pipeline::snapshot::snapshot;
use crate::report::chain;
use crate::update;

/// How long the next frame may take: a source of one frame in two seconds is shown.
const FRAME_WAIT: Duration = Duration::from_secs(5);
/// Largest picture: it crosses a broker that many devices share, and the link's packet limit is not far above.
const PICTURE_MAX_BYTES: usize = 192 << 10;

/// What came of a command.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) error: Option<CommandError>,
    pub(super) report: Option<DeviceReport>,
    pub(super) diagnostics: Option<Diagnostics>,
    pub(super) snapshot: Option<SnapshotReport>,
    pub(super) lines: Vec<String>,
}

impl Outcome {
    /// Nothing came of it.
    pub(super) fn refused(code: CommandErrorCode, message: &str) -> Self {
        let error = Some(CommandError { code, message: report::short(message) });
        Self { error, ..Self::default() }
    }

    fn failed(message: &str) -> Self {
        Self::refused(CommandErrorCode::Failed, message)
    }

    fn line(text: String) -> Self {
        Self { lines: vec![text], ..Self::default() }
    }
}

/// Does `command`.
pub(super) async fn act(command: Command, hands: &Hands) -> Outcome {
    match command {
        Command::Status => {
            let pipelines = hands.pipelines.iter().map(Pipeline::report).collect();
            Outcome { report: Some(report::device(pipelines)), ..Outcome::default() }
        }
        Command::Diagnostics => {
            let facts = (hands.facts)();
            Outcome { diagnostics: Some(report::diagnostics(facts)), ..Outcome::default() }
        }
        Command::Set(body) => set(&body, hands),
        Command::Pause(body) => pause(&body, hands),
        Command::Snapshot(body) => show(&body, hands).await,
        Command::Rollback(body) => go_back(body, hands).await,
    }
}

/// There is no pipeline called `name`.
fn unknown(name: &str, hands: &Hands) -> Outcome {
    let names: Vec<&str> = hands.pipelines.iter().map(|pipeline| &*pipeline.name).collect();
    let message = format!("there is no pipeline `{name}`; there are {}", names.join(", "));
    Outcome::refused(CommandErrorCode::NotFound, &message)
}

fn set(body: &SetBody, hands: &Hands) -> Outcome {
    let Some(pipeline) = hands.pipelines.find(&body.pipeline) else {
        return unknown(&body.pipeline, hands);
    };
    let name = &pipeline.name;
    let Some(threshold) = pipeline.threshold else {
        let message = format!("the postprocess of `{name}` has no threshold");
        return Outcome::refused(CommandErrorCode::NotFound, &message);
    };
    if let Some(wanted) = body.threshold
        && !(threshold.min..=threshold.max).contains(&wanted)
    {
        let (min, max) = (threshold.min, threshold.max);
        return Outcome::failed(&format!("{wanted} is not from {min} to {max}"));
    }
    pipeline.door.set_threshold(body.threshold);
    hands.pipelines.tell(name);
    let now = body.threshold.unwrap_or(threshold.configured);
    Outcome::line(format!("the threshold of `{name}` is {now}"))
}

fn pause(body: &PauseBody, hands: &Hands) -> Outcome {
    let Some(pipeline) = hands.pipelines.find(&body.pipeline) else {
        return unknown(&body.pipeline, hands);
    };
    pipeline.door.set_paused(body.paused);
    hands.pipelines.tell(&pipeline.name);
    let is = if body.paused { "is paused" } else { "runs" };
    Outcome::line(format!("`{}` {is}", pipeline.name))
}

async fn show(body: &PipelineBody, hands: &Hands) -> Outcome {
    let Some(pipeline) = hands.pipelines.find(&body.pipeline) else {
        return unknown(&body.pipeline, hands);
    };
    let name = &pipeline.name;
    if pipeline.door.is_paused() {
        return Outcome::failed(&format!("`{name}` is paused"));
    }
    let Some(shot) = pipeline.door.picture() else {
        return Outcome::failed("too many wait for a picture already");
    };
    let Ok(Ok(shot)) = tokio::time::timeout(FRAME_WAIT, shot).await else {
        let wait = FRAME_WAIT.as_secs();
        return Outcome::failed(&format!("`{name}` had no frame within {wait} s"));
    };
    let (frame_seq, found) = (shot.frame.seq, shot.detections.len());
    let made = tokio::task::spawn_blocking(move || snapshot(&shot, PICTURE_MAX_BYTES)).await;
    let picture = match made {
        Ok(Ok(picture)) => picture,
        Ok(Err(error)) => return Outcome::failed(&chain(&error)),
        Err(error) => return Outcome::failed(&chain(&error)),
    };
    let topic = hands.link.topics().snapshot(name);
    let said = SnapshotReport {
        topic: topic.clone(),
        bytes: u64::try_from(picture.jpeg.len()).unwrap_or(u64::MAX),
        width_px: picture.width_px,
        height_px: picture.height_px,
        frame_seq,
        detections: u32::try_from(found).unwrap_or(u32::MAX),
    };
    hands.link.retain(&topic, picture.jpeg);
    Outcome { snapshot: Some(said), ..Outcome::default() }
}

async fn go_back(body: RollbackBody, hands: &Hands) -> Outcome {
    let Some(releases) = &hands.releases else {
        let message = "no model of this device takes releases";
        return Outcome::refused(CommandErrorCode::NotFound, message);
    };
    let asked = update::Command::Rollback { slot: body.slot, to: body.to };
    let answer = releases.ask(&asked).await;
    if !answer.ok {
        return Outcome::failed(&answer.lines.join("; "));
    }
    let lines = answer.lines.iter().map(|line| report::short(line)).collect();
    Outcome { lines, ..Outcome::default() }
}
