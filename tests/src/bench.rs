//! A bench with a broker on it, for one device under test.

use std::time::Duration;

use anyhow::Result;
use wire::topic::Topics;

use crate::{Broker, Daemon, Folder, Listener, Message, PATIENCE, onnx, places};

/// Name of the device under test.
const DEVICE: &str = "dut";
/// What the log says once everything was started and signals are heard.
pub const RUNNING: &str = "running pipelines=";
/// Directory of the small model that a bench makes.
pub const BRIGHTNESS: &str = "brightness";

/// A bench with a broker on it, for one device under test.
#[derive(Debug)]
pub struct Bench {
    /// The device's files.
    pub folder: Folder,
    /// The broker.
    pub broker: Broker,
    /// Hears everything.
    pub listener: Listener,
    /// The device's topics.
    pub topics: Topics,
}

impl Bench {
    /// One with a broker that anybody may use.
    ///
    /// # Errors
    /// The broker does not start.
    pub fn new() -> Result<Self> {
        let broker = Broker::start()?;
        let listener = Listener::start(broker.port(), None)?;
        Ok(Self { folder: Folder::new()?, broker, listener, topics: topics()? })
    }

    /// The part of a configuration that every test begins with: device, state, broker.
    #[must_use]
    pub fn head(&self) -> String {
        format!("{}\n[mqtt]\nurl = \"{}\"\n", head(), self.broker.url())
    }

    /// Starts the daemon with `config` behind [`Bench::head`], and waits until it runs.
    ///
    /// # Errors
    /// It does not come to that; with its log.
    pub fn start(&self, config: &str) -> Result<Daemon> {
        let daemon = Daemon::start(&self.folder, &(self.head() + config))?;
        daemon.wait_log(RUNNING, PATIENCE)?;
        Ok(daemon)
    }

    /// Waits until `count` observations of `pipeline` were heard and returns all that were.
    ///
    /// # Errors
    /// They were not heard in time.
    pub fn observed(&self, pipeline: &str, count: usize) -> Result<Vec<Message>> {
        self.observed_within(pipeline, count, PATIENCE)
    }

    /// The same with another limit.
    ///
    /// # Errors
    /// They were not heard in time.
    pub fn observed_within(
        &self,
        pipeline: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<Message>> {
        self.listener.wait_count(&self.topics.observation(pipeline), count, limit)
    }

    /// Waits until the device said goodbye, or the broker did for it. Everything that it had published before
    /// was heard then.
    ///
    /// # Errors
    /// It did not.
    pub fn goodbye(&self) -> Result<Vec<Message>> {
        self.listener.wait_status(&self.topics, wire::StatusWord::Offline, PATIENCE)?;
        Ok(self.listener.heard())
    }
}

/// Topics of the device under test.
///
/// # Errors
/// Never: the name is a good one.
pub fn topics() -> Result<Topics> {
    Ok(Topics::new(DEVICE)?)
}

/// The part of a configuration that names the device and its state directory, with no broker.
#[must_use]
pub fn head() -> String {
    format!("device = \"{DEVICE}\"\nstate_dir = \"state\"\n")
}

/// Writes the small model `onnx::brightness` into the directory `name` of `folder`, and returns its part of a
/// configuration.
///
/// # Errors
/// It cannot be written.
pub fn brightness(folder: &Folder, name: &str, graph: &[u8]) -> Result<String> {
    folder.write(&format!("{name}/model.onnx"), graph)?;
    folder.write(&format!("{name}/model.toml"), onnx::BRIGHTNESS_TOML)?;
    Ok(model(name, name))
}

/// The part of a configuration that names a model: one thread, so that tests beside each other stay quick.
#[must_use]
pub fn model(name: &str, path: &str) -> String {
    format!("[models.{name}]\npath = '{path}'\nproviders = [\"cpu\"]\nthreads = 1\n")
}

/// The same for the committed detector.
///
/// # Errors
/// It is not there.
pub fn shapes() -> Result<String> {
    Ok(model("shapes", &places::model("shapes")?.display().to_string()))
}

/// The part of a configuration that is a pipeline; `source` are the keys of its source, and `more` are further
/// lines.
#[must_use]
pub fn pipeline(name: &str, model: &str, source: &str, more: &str) -> String {
    format!(
        "[[pipeline]]\nname = \"{name}\"\nmodel = \"{model}\"\nsource = {{ {source} }}\n{more}\n"
    )
}

/// A source that a slow machine keeps up with: small pictures, ten a second.
pub const TEN_A_SECOND: &str =
    r#"kind = "pattern", width = 320, height = 240, rate_hz = 10, format = "nv12""#;
