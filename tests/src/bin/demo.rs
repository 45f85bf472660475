//! Shows Vedette at work: a broker, the real daemon with two pipelines, and what is heard of them.
//!
//! `scripts/demo` builds everything and calls this. The exit code is 0 only if frames were inferred in both
//! pipelines, the model was as accurate as its card says, every observation was heard at the broker, the daemon
//! ended as it should, an annotated picture was written, and releases good and bad ended as they should without a
//! lost frame.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use rustix::process::Signal;
use tests::demo::{Card, Facts, Screen, Stage, Tally, annotate, broker, judge, releases};
use tests::fleet::Programs;
use tests::{Daemon, Ended, Launch, Listener, Message, heard, places};
use tokio::signal::unix::{SignalKind, signal};
use wire::StatusWord;
use wire::topic::Topics;

/// How often the table is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// How long the first frame may take: a model is loaded, and a slow machine may be doing other things.
const START: Duration = Duration::from_secs(60);
/// How long the end may take: the daemon promises five seconds.
const END: Duration = Duration::from_secs(10);
/// How long the last messages may take once the daemon has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Shows Vedette at work on this machine.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Args {
    /// The daemon's binary
    #[arg(long, value_name = "FILE")]
    vedette: PathBuf,
    /// The operator's program [default: `vedette-fleet` beside the daemon]
    #[arg(long, value_name = "FILE")]
    fleet: Option<PathBuf>,
    /// The ONNX Runtime library
    #[arg(long, value_name = "FILE")]
    onnxruntime: PathBuf,
    /// Folder of the models [default: models/ of the checkout this was built from]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Stop by itself after so many seconds of frames
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Where to write the configuration, the log, the observations and the annotated picture
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut screen = Screen::default();
    match run(&args, &mut screen) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            screen.say(&format!("demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, screen: &mut Screen) -> Result<bool> {
    let models = args.models.clone().unwrap_or_else(|| places::repository().join("models"));
    let stage = Stage::set(&args.vedette, &args.onnxruntime, &models, &args.out)?;
    let card = Card::read(&stage.model)?;
    let port = broker::start()?;
    let listener = Listener::start(port, None)?;
    stage.configure(port)?;
    let mut play = Play::new(&stage, card, listener)?;
    screen.say(&format!(
        "A broker listens on 127.0.0.1:{port} (hear it too: mosquitto_sub -p {port} -t 'vedette/#' -v)"
    ));
    let log = stage.out.join("vedette.log");
    screen.say(&format!("The daemon's log is {}\n", log.display()));
    let arguments = ["run", "--config", "vedette.toml"];
    let mut daemon = Launch::new(&stage.vedette, &stage.onnxruntime, &stage.out, &arguments)
        .log_to(log)
        .apart()
        .start()?;

    let early = play.watch(&mut daemon, Duration::from_secs(args.seconds), screen)?;
    let ended = match early {
        Some(ended) => {
            (None, format!("the daemon ended by itself, with code {:?}", ended.code), ended.log)
        }
        None => end(&mut daemon)?,
    };
    play.hear_last_words();
    let (code, words, log) = ended;
    let mut checks = judge(&play.facts((code, words), &log, annotate(&stage)));
    if code == Some(0) {
        let fleet = args.fleet.clone();
        let programs = Programs {
            fleet: fleet.unwrap_or_else(|| stage.vedette.with_file_name("vedette-fleet")),
            vedette: stage.vedette.clone(),
            onnxruntime: stage.onnxruntime.clone(),
        };
        checks.extend(releases(&programs, &stage.out, port, screen)?);
    }
    screen.say("");
    for line in play.running() {
        screen.say(&line);
    }
    checks.iter().for_each(|check| screen.say(&check.to_string()));
    let good = checks.iter().all(|check| check.good);
    if code != Some(0) {
        let last: Vec<&str> = log.lines().rev().take(10).collect();
        screen.say("\nThe daemon's last words:");
        last.iter().rev().for_each(|line| screen.say(&format!("    {line}")));
    }
    screen.say(if good { "\nAll is well." } else { "\nNot all is well: see the lines with ✗." });
    Ok(good)
}

/// Tells the daemon to stop. Its exit code, how it ended in words, and its log.
fn end(daemon: &mut Daemon) -> Result<(Option<i32>, String, String)> {
    let began = Instant::now();
    daemon.signal(Signal::TERM)?;
    match daemon.wait_exit(END) {
        Ok(Ended { code, log, .. }) => {
            let seconds = began.elapsed().as_secs_f64();
            let said = code.map_or_else(|| "no code".to_owned(), |code| format!("code {code}"));
            Ok((code, format!("the daemon ended {seconds:.1} s after SIGTERM, with {said}"), log))
        }
        Err(_) => {
            Ok((None, format!("the daemon did not end within {END:?} of SIGTERM"), daemon.log()))
        }
    }
}

/// The play: what is heard while it runs.
struct Play {
    listener: Listener,
    topics: Topics,
    card: Card,
    tallies: Vec<Tally>,
    /// Messages that are not observations.
    others: Vec<Message>,
    strange: Vec<String>,
}

impl Play {
    fn new(stage: &Stage, card: Card, listener: Listener) -> Result<Self> {
        let tallies =
            stage.pipelines().iter().map(|pipeline| Tally::new(pipeline.name, pipeline.source));
        Ok(Self {
            listener,
            topics: stage.topics()?,
            card,
            tallies: tallies.collect(),
            others: Vec::new(),
            strange: Vec::new(),
        })
    }

    /// Shows what is heard for `time` from the first frame on, until Ctrl-C. How the daemon ended, where it did
    /// so before.
    fn watch(
        &mut self,
        daemon: &mut Daemon,
        time: Duration,
        screen: &mut Screen,
    ) -> Result<Option<Ended>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).context("no signals")?;
            let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
            let mut tick = tokio::time::interval(DRAW_EVERY);
            let began = Instant::now();
            loop {
                tokio::select! {
                    _ = interrupt.recv() => return Ok(None),
                    _ = terminate.recv() => return Ok(None),
                    _ = tick.tick() => {}
                }
                self.count();
                if let Ok(ended) = daemon.wait_exit(Duration::ZERO) {
                    return Ok(Some(ended));
                }
                let first = self.tallies.iter().filter_map(Tally::since).min();
                let over = match first {
                    Some(first) => first.elapsed() >= time,
                    None => began.elapsed() >= START,
                };
                let shown = first.map_or(0, |first| first.elapsed().as_secs());
                let title = format!("Vedette, {shown} s of {} s (Ctrl-C ends it)", time.as_secs());
                screen.show(&title, &self.tallies);
                if over {
                    return Ok(None);
                }
            }
        })
    }

    /// Counts what was heard since it was called last.
    fn count(&mut self) {
        for message in self.listener.take() {
            let of = |tally: &&mut Tally| self.topics.observation(&tally.name) == message.topic;
            let counted = match self.tallies.iter_mut().find(of) {
                Some(tally) => tally.count(&message, self.card.accuracy.iou),
                None => {
                    self.others.push(message);
                    Ok(())
                }
            };
            if let Err(error) = counted {
                self.strange.push(format!("{error:#}"));
            }
        }
    }

    /// The daemon says goodbye after everything else, to a broker that keeps the order.
    fn hear_last_words(&mut self) {
        let (topic, already) = (self.topics.status(), &self.others);
        let said_before = already.iter().filter(|message| message.topic == topic).count();
        let is_last = |messages: &[Message]| {
            let words = heard::statuses(messages, &self.topics).unwrap_or_default();
            (said_before > 0 && words.last() == Some(&StatusWord::Offline)).then_some(())
        };
        // Where it does not come, the verdict says so.
        drop(self.listener.wait("the goodbye", LAST_WORDS, is_last));
        self.count();
    }

    /// What really runs the models, from the device's own words.
    fn running(&self) -> Vec<String> {
        let Ok(Some(info)) = heard::info(&self.others, &self.topics) else {
            return vec!["The daemon did not say what runs the model.".to_owned()];
        };
        let version = info.onnxruntime_version.as_deref().unwrap_or("of unknown version");
        let library = format!("ONNX Runtime {}", version.trim_start_matches("ONNX Runtime "));
        let describe = |engine: &wire::EngineInfo| {
            let nodes: Vec<String> = engine
                .nodes
                .iter()
                .map(|(provider, count)| format!("{count} on {provider}"))
                .collect();
            format!(
                "Model {} {} runs on `{}` of {library} (nodes: {}), for {} pipelines.",
                engine.model,
                engine.version,
                engine.provider,
                if nodes.is_empty() { "unknown".to_owned() } else { nodes.join(", ") },
                info.pipelines.iter().filter(|pipeline| pipeline.model == engine.model).count()
            )
        };
        info.engines.iter().map(describe).collect()
    }

    fn facts(
        &self,
        ended: (Option<i32>, String),
        log: &str,
        picture: Result<String, String>,
    ) -> Facts {
        let mut strange = self.strange.clone();
        let statuses = heard::statuses(&self.others, &self.topics);
        let info = heard::info(&self.others, &self.topics);
        strange.extend(statuses.as_ref().err().map(|error| format!("{error:#}")));
        strange.extend(info.err().map(|error| format!("{error:#}")));
        Facts {
            tallies: self.tallies.clone(),
            inferred: self.tallies.iter().map(|tally| inferred(log, &tally.name)).collect(),
            card: self.card.clone(),
            statuses: statuses.unwrap_or_default(),
            ended,
            picture,
            strange,
        }
    }
}

/// How many frames the daemon says it inferred for `pipeline`: its last figures in the log.
fn inferred(log: &str, pipeline: &str) -> Option<u64> {
    let own = format!("pipeline={pipeline}");
    let last = log
        .lines()
        .rev()
        .find(|line| line.contains("figures") && line.split_whitespace().any(|word| word == own))?;
    last.split_whitespace().find_map(|word| word.strip_prefix("inferred=")?.parse().ok())
}
