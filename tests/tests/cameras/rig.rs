//! A device with a camera at the gate and a pattern at the door.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::heard::observations;
use tests::{Bench, Daemon, Launch, PATIENCE, onnx};

/// Observations after which a pipeline is said to run.
const SOME: usize = 12;

/// See the module.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) bench: Bench,
    pub(crate) daemon: Daemon,
}

impl Rig {
    /// Starts a daemon whose gate has `source`, the keys of its table.
    pub(crate) fn start(bench: Bench, source: &str) -> Result<Self> {
        Self::start_with(bench, source, |launch| launch)
    }

    /// The same in an environment of its own.
    pub(crate) fn start_with(
        bench: Bench,
        source: &str,
        with: impl FnOnce(Launch) -> Launch,
    ) -> Result<Self> {
        let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
        let gate = bench::pipeline("gate", BRIGHTNESS, source, "");
        let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
        let launch = Daemon::prepare(&bench.folder, &(bench.head() + &model + &gate + &door))?;
        let daemon = with(launch).start()?;
        daemon.wait_log(bench::RUNNING, PATIENCE)?;
        Ok(Self { bench, daemon })
    }

    /// How many observations of `pipeline` were heard.
    pub(crate) fn count(&self, pipeline: &str) -> usize {
        let topic = self.bench.topics.observation(pipeline);
        self.bench.listener.heard().iter().filter(|message| message.topic == topic).count()
    }

    /// Waits until `pipeline` has given some more frames than until now, and returns the size of the last.
    pub(crate) fn flows(&self, pipeline: &str) -> Result<(u32, u32)> {
        self.flows_within(pipeline, PATIENCE)
    }

    pub(crate) fn flows_within(&self, pipeline: &str, limit: Duration) -> Result<(u32, u32)> {
        let wanted = self.count(pipeline) + SOME;
        let messages = self.bench.observed_within(pipeline, wanted, limit)?;
        let seen = observations(&messages, &self.bench.topics, pipeline)?;
        let last = seen.last().map(|one| (one.frame.width_px, one.frame.height_px));
        Ok(last.unwrap_or_default())
    }

    /// How bright the model found the first frame of `pipeline`: 1 is white, in whatever format it came.
    pub(crate) fn brightness(&self, pipeline: &str) -> Result<f32> {
        let messages = self.bench.observed(pipeline, 1)?;
        let seen = observations(&messages, &self.bench.topics, pipeline)?;
        let raw = seen.first().and_then(|one| one.raw.first()?.data.first().copied().flatten());
        raw.context("no brightness")
    }

    /// Waits until the log has `text`; the door's frames must flow on meanwhile.
    pub(crate) fn says(&self, text: &str) -> Result<()> {
        self.says_times(text, 1)
    }

    pub(crate) fn says_times(&self, text: &str, times: usize) -> Result<()> {
        self.daemon.wait_log_lines(text, times, PATIENCE)?;
        self.flows("door").map(drop)
    }

    /// Ends the daemon, which has seen nothing that it could not live with.
    pub(crate) fn end(mut self) -> Result<()> {
        let ended = self.daemon.stop()?;
        ensure!(ended.code == Some(0), "{ended:?}");
        ensure!(!ended.log.contains("panicked"), "{}", ended.log);
        Ok(())
    }

    /// The daemon's child processes.
    pub(crate) fn children(&self) -> Result<Vec<i32>> {
        let own = self.daemon.pid()?;
        let mut found = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{own}/task"))? {
            let list = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            found.extend(list.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        Ok(found)
    }
}
