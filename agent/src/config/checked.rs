//! The configuration as the daemon uses it: every value checked, every name resolved.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::topic::{Topics, is_name};

use super::lighter::Lighter;
use super::load::{load, merge};
use super::section::{Mistake, Mistakes, Section, unknown};
use super::tree::{At, Table};
use crate::api::ApiSettings;
use crate::commands::CommandSettings;
use crate::events::EventSettings;
use crate::homeassistant::HomeAssistantSettings;
use crate::kinds;
use crate::model::ModelFolder;
use crate::mqtt::MqttSettings;
use crate::pipeline::analysis::AnalysisSettings;
use crate::pipeline::batch::Batch;
use crate::pipeline::engine::EngineSpec;
use crate::pipeline::postprocess::PostprocessSpec;
use crate::pipeline::sink::SinkSpec;
use crate::pipeline::source::SourceSpec;
use crate::telemetry::TelemetrySettings;
use crate::thinedge::ThinEdgeSettings;
use crate::update::UpdateSettings;

/// Where the configuration is unless the command line says otherwise.
pub const PATH_DEFAULT: &str = "/etc/vedette/vedette.toml";
/// Where state is kept unless configured.
const STATE_DIR_DEFAULT: &str = "/var/lib/vedette";
/// Most pipelines of one daemon: each has a thread for its source.
const PIPELINES_MAX: usize = 256;

/// Levels of the log, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Forms of the log, by their names in the configuration.
const LOG_FORMATS: [(&str, LogFormat); 4] = [
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
    ("journald", LogFormat::Journald),
];

/// How the daemon logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Least level that is shown, or directives such as `info,vedette::mqtt=debug`.
    pub level: String,
    /// In which form.
    pub format: LogFormat,
}

/// In which form the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// To the journal with its fields, where standard error is the journal; else as text.
    Auto,
    /// Text on standard error.
    Text,
    /// One JSON document a line on standard error.
    Json,
    /// To the journal with its fields.
    Journald,
}

/// A configured model.
#[derive(Debug)]
pub struct ModelConfig {
    /// Its name in the configuration.
    pub name: String,
    /// Its folder, as it was when the configuration was read.
    pub folder: ModelFolder,
    /// How it is opened.
    pub engine: Box<dyn EngineSpec>,
    /// The model whose releases it takes; the folder is then what runs until the first one is committed.
    pub release: Option<String>,
    /// How frames of several pipelines go together.
    pub batch: Batch,
}

/// A configured pipeline.
#[derive(Debug)]
pub struct PipelineConfig {
    /// Its name.
    pub name: String,
    /// Kind of its source.
    pub source_kind: String,
    /// Its source.
    pub source: Arc<dyn SourceSpec>,
    /// Which of the models.
    pub model: usize,
    /// The model's postprocess with the pipeline's own settings over it.
    pub postprocess: Arc<dyn PostprocessSpec>,
    /// What becomes of its findings, and which frames are worth a run.
    pub analysis: AnalysisSettings,
    /// What infers its frames instead while its load is too much, where that is wanted.
    pub lighter: Option<Lighter>,
    /// Those settings, to be laid over a release's postprocess too.
    over: Table,
    /// Which of the sinks.
    pub sinks: Vec<usize>,
}

/// A pipeline that a model infers, always or at times.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// Which of the pipelines.
    pub index: usize,
    /// The same.
    pub pipeline: &'a PipelineConfig,
    /// What it makes of this model's outputs.
    pub postprocess: &'a Arc<dyn PostprocessSpec>,
    /// Whether it is the lighter one of two.
    pub lighter: bool,
}

/// A configured sink.
#[derive(Debug)]
pub struct SinkConfig {
    /// Its name.
    pub name: String,
    /// What it is.
    pub spec: Box<dyn SinkSpec>,
}

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    /// The device's topics, and in them its name.
    pub topics: Topics,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// How to log.
    pub log: LogSettings,
    /// The ONNX Runtime library, where it is named.
    pub onnxruntime: Option<PathBuf>,
    /// The broker, where there is one.
    pub mqtt: Option<MqttSettings>,
    /// The HTTP API, where there is one.
    pub api: Option<ApiSettings>,
    /// What may be asked over MQTT.
    pub commands: CommandSettings,
    /// How Home Assistant finds this device, where it does.
    pub homeassistant: Option<HomeAssistantSettings>,
    /// Where in thin-edge's tree this device's readings are repeated, where they are.
    pub thinedge: Option<ThinEdgeSettings>,
    /// Where releases come from, where they do.
    pub update: Option<UpdateSettings>,
    /// How the board is watched, where it is.
    pub telemetry: Option<TelemetrySettings>,
    /// How much is kept of events.
    pub events: EventSettings,
    /// The models.
    pub models: Vec<ModelConfig>,
    /// The sinks.
    pub sinks: Vec<SinkConfig>,
    /// The pipelines; none only where there is an API, or a broker to hear how the board feels.
    pub pipelines: Vec<PipelineConfig>,
}

impl Config {
    /// Reads and checks the configuration in `file` with everything that belongs to it.
    ///
    /// # Errors
    /// Every mistake in it, in the order of the checks.
    pub fn load(
        file: &Path,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Mistake>> {
        let mistakes = Mistakes::new();
        let loaded = load(file, variables, &mistakes);
        // Of a file that cannot be read, no key can be said to be missing.
        if !mistakes.is_empty() {
            return Err(mistakes.into_vec());
        }
        let config = read(loaded.top(&mistakes), &mistakes);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes.into_vec()),
        }
    }

    /// The pipeline of this name.
    #[must_use]
    pub fn pipeline(&self, name: &str) -> Option<&PipelineConfig> {
        self.pipelines.iter().find(|pipeline| pipeline.name == name)
    }

    /// The pipelines that model `index` infers, always or at times, in order.
    pub fn uses(&self, index: usize) -> impl Iterator<Item = Use<'_>> {
        self.pipelines.iter().enumerate().filter_map(move |(at, pipeline)| {
            let own = (pipeline.model == index).then_some((&pipeline.postprocess, false));
            let lighter = pipeline.lighter.as_ref().filter(|lighter| lighter.model == index);
            let lighter = lighter.map(|lighter| (&lighter.postprocess, true));
            let (postprocess, lighter) = own.or(lighter)?;
            Some(Use { index: at, pipeline, postprocess, lighter })
        })
    }

    /// The postprocess of each pipeline of model `index`, in order, where the model is the one in `folder`.
    ///
    /// # Errors
    /// What a pipeline's own settings have that this model's postprocess has not.
    pub fn postprocesses(
        &self,
        index: usize,
        folder: &ModelFolder,
    ) -> Result<Vec<Arc<dyn PostprocessSpec>>, Vec<Mistake>> {
        let mistakes = Mistakes::new();
        let at = At::File(folder.path.join("model.toml").into(), 1);
        let built: Vec<_> = self
            .uses(index)
            .filter_map(|Use { pipeline, .. }| {
                let table = laid_over(folder, &pipeline.over);
                let section = Section::top(&table, at.clone(), &folder.path, &mistakes);
                kinds::build(kinds::POSTPROCESSES, section).map(Arc::from)
            })
            .collect();
        if mistakes.is_empty() { Ok(built) } else { Err(mistakes.into_vec()) }
    }
}

/// A model's postprocess with a pipeline's own settings `over` it.
pub(super) fn laid_over(folder: &ModelFolder, over: &Table) -> Table {
    let mut table = folder.postprocess.clone();
    merge(&mut table, over.clone());
    table
}

/// Reads the top table. `None` only where a mistake was noted.
fn read(top: Section<'_>, mistakes: &Mistakes) -> Option<Config> {
    let topics = device(&top);
    let log = log(&top);
    let state_dir = top.path("state_dir").unwrap_or_else(|| STATE_DIR_DEFAULT.into());
    let onnxruntime = top.path("onnxruntime");
    if onnxruntime.as_ref().is_some_and(|path| !path.is_file()) {
        top.mistake("onnxruntime", "there is no such file");
    }
    let mqtt = top.section("mqtt").map(|section| {
        let settings = MqttSettings::read(&section);
        section.finish();
        settings
    });
    let api = top.section("api").map(|section| {
        let settings = ApiSettings::read(&section);
        section.finish();
        settings
    });
    let broker = mqtt.is_some();
    let commands = listening(&top, "commands", broker, CommandSettings::read).unwrap_or_default();
    let homeassistant = listening(&top, "homeassistant", broker, HomeAssistantSettings::read);
    let thinedge = listening(&top, "thinedge", broker, ThinEdgeSettings::read);
    let update = top.section("update").map(|section| {
        let settings = UpdateSettings::read(&section);
        section.finish();
        settings
    });
    let telemetry = TelemetrySettings::read(top.section("telemetry"), top.section("alarms"));
    let events = top.section("events").map(|section| {
        let settings = EventSettings::read(&section);
        section.finish();
        settings
    });
    let models = models(&top, update.is_some(), mistakes);
    let sinks = sinks(&top, mqtt.is_some());
    let idle = api.is_some() || (mqtt.is_some() && telemetry.is_some());
    let pipelines = pipelines(&top, &models, &sinks, mqtt.is_some(), idle);
    let loads = |pipeline: &PipelineConfig| pipeline.analysis.load.is_some();
    if telemetry.is_none() && pipelines.iter().flatten().any(loads) {
        top.mistake("telemetry", "is disabled, and [pipeline.load] acts on its readings");
    }
    top.finish();
    let models = models.into_iter().filter_map(|(_, model)| model).collect();
    let sinks = sinks.into_iter().filter_map(|(_, sink)| sink).collect();
    Some(Config {
        topics: topics?,
        state_dir,
        log,
        onnxruntime,
        mqtt,
        api,
        commands,
        homeassistant,
        thinedge,
        update,
        telemetry,
        events: events.unwrap_or_default(),
        models,
        sinks,
        pipelines: pipelines?,
    })
}

/// Reads a table of something that is done over MQTT.
fn listening<T>(
    top: &Section<'_>,
    name: &'static str,
    broker: bool,
    read: impl FnOnce(&Section<'_>) -> T,
) -> Option<T> {
    let section = top.section(name)?;
    if !broker {
        section.mistake("", "needs a broker: add [mqtt] with its `url`");
    }
    let settings = read(&section);
    section.finish();
    Some(settings)
}

fn device(top: &Section<'_>) -> Option<Topics> {
    let Some(name) = top.text("device") else {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let topics = Topics::new(&name);
        if topics.is_err() {
            top.mistake("device", format!("is missing, and the host's name `{name}` will not do"));
        }
        return topics.ok();
    };
    let topics = Topics::new(&name);
    if let Err(error) = &topics {
        top.mistake("device", error.to_string());
    }
    topics.ok()
}

fn log(top: &Section<'_>) -> LogSettings {
    let mut settings = LogSettings { level: "info".to_owned(), format: LogFormat::Auto };
    if let Some(section) = top.section("log") {
        if let Some(level) = section.text("level") {
            if let Err(error) = level.parse::<tracing_subscriber::filter::Targets>() {
                section.mistake("level", format!("{error}; try error, warn, info, debug or trace"));
            }
            // A word alone is a level: any other would be taken for a module's name, and hide everything else.
            for word in level.split(',').map(str::trim).filter(|word| !word.contains('=')) {
                if !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
                    section.mistake("level", unknown(word, &LEVELS));
                }
            }
            settings.level = level;
        }
        settings.format = section.choice("format", &LOG_FORMATS).unwrap_or(LogFormat::Auto);
        section.finish();
    }
    settings
}

/// Each named thing and, unless there was a mistake in it, the thing.
pub(super) type Named<T> = Vec<(String, Option<T>)>;

fn models(top: &Section<'_>, update: bool, mistakes: &Mistakes) -> Named<ModelConfig> {
    let mut models = Vec::new();
    for (name, section) in top.named("models") {
        if !is_name(name) {
            section.mistake("", wire::topic::BadName(name.to_owned()).to_string());
        }
        let kind = section.text("engine").unwrap_or_else(|| kinds::ENGINES[0].name.to_owned());
        let engine = kinds::find(kinds::ENGINES, &kind, "engine", &section)
            .and_then(|kind| (kind.build)(&section));
        let path = section.required_path("path");
        let folder = if path.as_os_str().is_empty() {
            None
        } else {
            ModelFolder::read(&path, mistakes).or_else(|| {
                section.mistake("path", format!("`{}` is no usable model folder", path.display()));
                None
            })
        };
        let batch = Batch::read(&section, folder.as_ref().map(|folder| &folder.signature));
        let release = section.text("release");
        match &release {
            Some(release) if !is_name(release) => {
                section.mistake("release", wire::topic::BadName(release.clone()).to_string());
            }
            Some(_) if !update => {
                section.mistake(
                    "release",
                    "needs a repository: add [update] with its `url` and `root`",
                );
            }
            _ => {}
        }
        section.finish();
        let model = folder.zip(engine).map(|(folder, engine)| ModelConfig {
            name: name.to_owned(),
            folder,
            engine,
            release,
            batch,
        });
        models.push((name.to_owned(), model));
    }
    models
}

fn sinks(top: &Section<'_>, mqtt: bool) -> Named<SinkConfig> {
    let mut sinks = Vec::new();
    for (name, section) in top.named("sinks") {
        let at = section.at().clone();
        let spec = kinds::build(kinds::SINKS, section);
        if spec.as_ref().is_some_and(|spec| spec.needs_mqtt()) && !mqtt {
            top.note(at, &format!("sinks.{name}"), "needs a broker: add [mqtt] with its `url`");
        }
        sinks.push((name.to_owned(), spec.map(|spec| SinkConfig { name: name.to_owned(), spec })));
    }
    // What everybody has in mind need not be spelled out.
    for (name, wanted) in [("mqtt", mqtt), ("console", true)] {
        let kind = kinds::SINKS.iter().find(|kind| kind.name == name);
        if let (Some(kind), true, false) =
            (kind, wanted, sinks.iter().any(|(known, _)| known == name))
        {
            let spec = (kind.build)(&top.with(name, &Vec::new()))
                .map(|spec| SinkConfig { name: name.to_owned(), spec });
            sinks.push((name.to_owned(), spec));
        }
    }
    sinks
}

fn pipelines(
    top: &Section<'_>,
    models: &Named<ModelConfig>,
    sinks: &Named<SinkConfig>,
    mqtt: bool,
    idle: bool,
) -> Option<Vec<PipelineConfig>> {
    let sections = top.sections("pipeline");
    match sections.len() {
        0 if !idle => top.mistake(
            "pipeline",
            "is missing: without one [[pipeline]], [api] for who asks, or [mqtt] for the board's telemetry, there is nothing to do",
        ),
        count if count > PIPELINES_MAX => {
            top.mistake("pipeline", format!("{count} pipelines are more than {PIPELINES_MAX}"));
        }
        _ => {}
    }
    let mut names: Vec<String> = Vec::new();
    let mut pipelines = Vec::new();
    for section in sections {
        let name = section.required_text("name");
        if !name.is_empty() && !is_name(&name) {
            section.mistake("name", wire::topic::BadName(name.clone()).to_string());
        } else if names.contains(&name) {
            section.mistake("name", format!("there is another pipeline `{name}`"));
        }
        names.push(name.clone());
        pipelines.push(pipeline(section, name, models, sinks, mqtt));
    }
    pipelines.into_iter().collect()
}

fn pipeline(
    section: Section<'_>,
    name: String,
    models: &Named<ModelConfig>,
    sinks: &Named<SinkConfig>,
    mqtt: bool,
) -> Option<PipelineConfig> {
    let model_name = section.required_text("model");
    let model = reference(&section, "model", &model_name, models);
    let (source_kind, source) = match section.section("source") {
        Some(source) => {
            let kind = source.text("kind").unwrap_or_default();
            let at = source.at().clone();
            let spec = kinds::build(kinds::SOURCES, source);
            if spec.as_ref().is_some_and(|spec| spec.needs_mqtt()) && !mqtt {
                let key = format!("pipeline.{name}.source");
                section.note(at, &key, "needs a broker: add [mqtt] with its `url`");
            }
            (kind, spec)
        }
        None => {
            if !section.has("source") {
                section.mistake("source", "is missing: a table with its `kind`");
            }
            (String::new(), None)
        }
    };
    let default = if mqtt { "mqtt" } else { "console" };
    let wanted = section.texts("sinks").unwrap_or_else(|| vec![default.to_owned()]);
    let found: Option<Vec<usize>> =
        wanted.iter().map(|wanted| reference(&section, "sinks", wanted, sinks)).collect();
    let over = section.table("postprocess").cloned().unwrap_or_default();
    let model = model.and_then(|index| Some((index, models.get(index)?.1.as_ref()?)));
    let postprocess = model.and_then(|(_, model)| {
        let table = laid_over(&model.folder, &over);
        kinds::build(kinds::POSTPROCESSES, section.with("postprocess", &table))
    });
    let source = fitting(&section, source, &source_kind, model.map(|(_, model)| &model.folder));
    let labels = model.map_or(&[][..], |(_, model)| &model.folder.labels);
    let analysis = AnalysisSettings::read(&section, labels);
    if analysis.load.is_some() && source.as_ref().is_some_and(|source| source.rate_hz().is_none()) {
        section.mistake("load", "the source has no rate of its own that could be lowered");
    }
    if source.as_ref().is_some_and(|source| source.samples().is_some()) {
        analysis.refuse_pictures(&section);
    }
    let wanted = analysis.load.as_ref().and_then(|load| load.lighter.as_deref());
    let lighter = model
        .zip(wanted)
        .and_then(|((_, own), wanted)| Lighter::read(&section, wanted, own, models, &over));
    section.finish();
    let (model, _) = model?;
    Some(PipelineConfig {
        name,
        source_kind,
        source: source?.into(),
        model,
        postprocess: postprocess?.into(),
        sinks: found?,
        analysis,
        lighter,
        over,
    })
}

/// The source, made one for its model.
fn fitting(
    section: &Section<'_>,
    source: Option<Box<dyn SourceSpec>>,
    kind: &str,
    model: Option<&ModelFolder>,
) -> Option<Box<dyn SourceSpec>> {
    let mut source = source?;
    if let Some(folder) = model
        && let Err(why) = source.fit(folder.window.as_ref().map(|window| &window.cut))
    {
        section.mistake("source", format!("`{kind}`: {why}"));
    }
    Some(source)
}

/// The place of `name` in `things`, counted without those that have mistakes of their own.
fn reference<T>(
    section: &Section<'_>,
    key: &'static str,
    name: &str,
    things: &Named<T>,
) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let names: Vec<&str> = things.iter().map(|(name, _)| name.as_str()).collect();
    let found = names.iter().position(|known| *known == name);
    if found.is_none() {
        section.mistake(key, unknown(name, &names));
    }
    found
}
