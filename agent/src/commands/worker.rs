//! Hears commands, has them done beside each other, and answers.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::task::{Id, JoinSet};
use wire::{CommandErrorCode, CommandResult, Verb, topic};

use super::act::{Outcome, act};
use super::decide::{Command, Decision, decide};
use super::memory::Memory;
use super::report::{self, ReadFacts};
use super::settings::CommandSettings;
use super::states::Pipelines;
use crate::mqtt::{self, Heard, Link};
use crate::outbox::Class;
use crate::said::Said;
use crate::stop::Stop;
use crate::supervisor::{Failure, Supervisor};
use crate::update;

/// Commands that are done at one time. Most take no time; one that goes back waits for the model to be opened.
const RUNNING_MAX: usize = 8;

/// What a command can reach.
#[derive(Clone)]
pub struct Hands {
    /// The pipelines.
    pub pipelines: Arc<Pipelines>,
    /// The way to the models that take releases, where any do.
    pub releases: Option<update::Desk>,
    /// What runs the models.
    pub facts: ReadFacts,
    /// The broker.
    pub link: Link,
}

impl fmt::Debug for Hands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hands").field("pipelines", &self.pipelines).finish_non_exhaustive()
    }
}

/// Begins to obey what comes in `asked`.
pub fn start(
    settings: &CommandSettings,
    hands: Hands,
    asked: mpsc::Receiver<Heard>,
    said: &Arc<Said>,
    supervisor: &Supervisor,
) {
    let topics = hands.link.topics();
    let names = || hands.pipelines.iter().map(|pipeline| &*pipeline.name);
    let states = names().map(|name| topics.pipeline_state(name)).collect();
    let pictures = names().map(|name| topics.snapshot(name)).collect();
    mqtt::sweep(&hands.link, &topics.pipeline_state("+"), states, supervisor);
    mqtt::sweep(&hands.link, &topics.snapshot("+"), pictures, supervisor);
    let worker = Worker {
        settings: settings.clone(),
        hands,
        said: said.clone(),
        stop: supervisor.stop().clone(),
        asked,
        memory: Memory::default(),
        unnumbered: BTreeMap::new(),
    };
    let worker = Arc::new(Mutex::new(worker));
    supervisor.run("commands", move || {
        let worker = worker.clone();
        async move { worker.lock().await.work().await }
    });
}

struct Worker {
    settings: CommandSettings,
    hands: Hands,
    said: Arc<Said>,
    stop: Stop,
    asked: mpsc::Receiver<Heard>,
    memory: Memory,
    /// Answers so far on the topic of each verb's unnumbered requests.
    unnumbered: BTreeMap<Verb, u64>,
}

/// Which command is being done.
type UnderWay = HashMap<Id, (Verb, String)>;

impl Worker {
    async fn work(&mut self) -> Result<(), Failure> {
        let (mut running, mut under_way) = (JoinSet::new(), UnderWay::new());
        loop {
            tokio::select! {
                () = self.stop.heard() => return Ok(()),
                heard = self.asked.recv() => {
                    let Some(heard) = heard else { return Ok(()) };
                    self.hear(&heard, &mut running, &mut under_way);
                }
                Some(done) = running.join_next_with_id(), if !running.is_empty() => {
                    let (id, outcome) = match done {
                        Ok(done) => done,
                        Err(error) => {
                            let message = "it panicked (a bug in vedette)";
                            (error.id(), Outcome::refused(CommandErrorCode::Failed, message))
                        }
                    };
                    let Some((verb, request)) = under_way.remove(&id) else { continue };
                    let body = self.answer(verb.word(), &request, outcome);
                    self.memory.answered(verb, &request, body);
                }
            }
        }
    }

    fn hear(&mut self, heard: &Heard, running: &mut JoinSet<Outcome>, under_way: &mut UnderWay) {
        let topics = self.hands.link.topics().clone();
        let Some((verb, request)) = topics.asked(&heard.topic) else { return };
        match decide(heard, &topics, &self.settings, &self.memory) {
            Decision::Ignore => {}
            Decision::Repeat(body) => {
                self.hands.link.publish(Class::Event, &topics.command_result(verb, request), body);
            }
            Decision::Refuse(error) => {
                tracing::warn!(verb, request, reason = error.message, "a command is refused");
                self.answer(verb, request, Outcome::refused(error.code, &error.message));
            }
            Decision::Do(_) if running.len() >= RUNNING_MAX => {
                let busy = Outcome::refused(
                    CommandErrorCode::Failed,
                    "too many commands are being done already",
                );
                self.answer(verb, request, busy);
            }
            Decision::Do(command) => {
                let Some(verb) = Verb::from_word(verb) else { return };
                self.memory.begun(verb, request);
                let task = running.spawn(obey(command, self.hands.clone()));
                under_way.insert(task.id(), (verb, request.to_owned()));
            }
        }
    }

    /// Publishes what came of a command, and returns it as it was published.
    fn answer(&mut self, verb: &str, request: &str, outcome: Outcome) -> Vec<u8> {
        let (ok, seq) = (outcome.error.is_none(), self.seq(verb, request));
        tracing::info!(verb, request, ok, "command");
        let result = CommandResult {
            envelope: self.said.envelope("vedette/command-result/1", seq),
            verb: verb.into(),
            request: request.into(),
            ok,
            error: outcome.error,
            report: outcome.report,
            diagnostics: outcome.diagnostics,
            snapshot: outcome.snapshot,
            lines: outcome.lines,
        };
        let body = report::fitted(result);
        let topic = self.hands.link.topics().command_result(verb, request);
        self.hands.link.publish(Class::Event, &topic, body.clone());
        body
    }

    /// The number of the next message on the topic of a result.
    fn seq(&mut self, verb: &str, request: &str) -> u64 {
        match Verb::from_word(verb) {
            Some(verb) if request == topic::UNNUMBERED => {
                let seq = self.unnumbered.entry(verb).or_default();
                *seq += 1;
                *seq
            }
            _ => 1,
        }
    }
}

async fn obey(command: Command, hands: Hands) -> Outcome {
    act(command, &hands).await
}
