//! Samples the board at its pace, tells the broker, and raises alarms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use wire::telemetry::Store;
use wire::{
    Alarm, BoardTelemetry, EventState, PAYLOAD_MAX_BYTES, PipelineTelemetry, SampleTelemetry,
};

use super::alarms::{Alarms, PipelineView, Standing, View};
use super::sampler::Sampler;
use super::seen::Seen;
use super::settings::TelemetrySettings;
use super::tree::Tree;
use crate::mqtt::{self, Link};
use crate::outbox::{Class, StoreFigures};
use crate::pipeline::door::Door;
use crate::pipeline::health::{Health, Summary};
use crate::pipeline::load::{Controller, LOAD_EVENT, LoadSettings, Step, Strain};
use crate::pipeline::rules::{Occurrence, Outlet, Sight, tell};
use crate::said::{Said, encode};
use crate::stop::Stop;
use crate::supervisor::{Failure, Supervisor};

/// A pipeline to be watched.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name.
    pub name: Arc<str>,
    /// Its counters.
    pub health: Arc<Health>,
    /// Where it may be paused: it is silent then because somebody wanted it so.
    pub door: Arc<Door>,
    /// Frames a second that its source is expected to give.
    pub rate_hz: Option<f64>,
    /// When it infers less, where that is wanted, and how many frames a second are all.
    pub load: Option<(LoadSettings, f64)>,
}

/// Whom the watch tells what it sees.
#[derive(Debug, Clone)]
pub struct Ears {
    /// The broker; without one, alarms go to the log alone.
    pub link: Option<Link>,
    /// Makes the keys of every payload.
    pub said: Arc<Said>,
    /// Whoever asks.
    pub seen: Seen,
    /// Whoever tells what is done about the load of a pipeline.
    pub outlet: Option<Outlet>,
}

/// Starts to watch the board and `pipelines`.
pub fn start(
    settings: &TelemetrySettings,
    pipelines: Vec<Pipeline>,
    ears: &Ears,
    supervisor: &Supervisor,
) {
    if let Some(link) = &ears.link {
        let names: Vec<String> =
            pipelines.iter().map(|pipeline| pipeline.name.to_string()).collect();
        let alarms = Alarms::new(&settings.alarms, &names);
        let kept = alarms.standing().map(|alarm| link.topics().alarm(&alarm.name)).collect();
        mqtt::sweep(link, &link.topics().alarm("+"), kept, supervisor);
    }
    let (settings, ears) = (settings.clone(), ears.clone());
    let stop = supervisor.stop().clone();
    supervisor.run("telemetry", move || {
        work(settings.clone(), pipelines.clone(), ears.clone(), stop.clone())
    });
}

async fn work(
    settings: TelemetrySettings,
    pipelines: Vec<Pipeline>,
    ears: Ears,
    stop: Stop,
) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(settings.every);
    // After a suspend, what was missed is not made up for.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let gone = |error| Failure::retry("the sample was not finished", error);
    // Files of the kernel and vendor libraries may block, and have no business on a thread of the network.
    let opening = tokio::task::spawn_blocking(move || Watch::open(&settings, pipelines, ears));
    let mut watch = opening.await.map_err(gone)??;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.heard() => return Ok(()),
        }
        let sampling = tokio::task::spawn_blocking(move || {
            watch.sample();
            watch
        });
        watch = sampling.await.map_err(gone)?;
    }
}

/// All that is needed for a sample.
struct Watch {
    began: Instant,
    sampler: Sampler,
    alarms: Alarms,
    told: Told,
    seen: Seen,
    pipelines: Vec<Followed>,
    /// Messages that were lost until the sample before.
    lost: u64,
}

/// A pipeline, and where it stood at the sample before.
struct Followed {
    pipeline: Pipeline,
    load: Option<Controller>,
    topic: String,
    captured: u64,
    inferred: u64,
    replaced: u64,
    /// When it last gave a frame.
    heard: Duration,
    seq: u64,
}

impl Watch {
    fn open(
        settings: &TelemetrySettings,
        pipelines: Vec<Pipeline>,
        ears: Ears,
    ) -> Result<Box<Self>, Failure> {
        let tree = Tree::open(&settings.sysroot)
            .map_err(|error| Failure::retry("no telemetry of the board", error))?;
        let sampler = Sampler::new(tree, settings.nvml.clone(), settings.serial);
        tracing::info!(board = sampler.board().name, "watching the board");
        let names: Vec<String> =
            pipelines.iter().map(|pipeline| pipeline.name.to_string()).collect();
        let told = Told::new(ears.link, ears.outlet, ears.said);
        let pipelines = pipelines.into_iter().map(|pipeline| Followed {
            topic: told.topic(|topics| topics.telemetry_pipeline(&pipeline.name)),
            load: pipeline.load.clone().map(|(settings, most_hz)| {
                // What a worker before this one said no longer holds.
                pipeline.door.set_limit_hz(None);
                pipeline.door.set_lighter(false);
                Controller::new(settings, most_hz)
            }),
            pipeline,
            captured: 0,
            inferred: 0,
            replaced: 0,
            heard: Duration::ZERO,
            seq: 0,
        });
        let mut watch = Self {
            began: Instant::now(),
            sampler,
            alarms: Alarms::new(&settings.alarms, &names),
            pipelines: pipelines.collect(),
            told,
            seen: ears.seen,
            lost: 0,
        };
        // Who subscribes hears of every alarm that there is, also of those that are not raised.
        let standing: Vec<Standing> = watch.alarms.standing().cloned().collect();
        standing.iter().for_each(|alarm| watch.told.alarm(alarm, None));
        Ok(Box::new(watch))
    }

    fn sample(&mut self) {
        let now = self.began.elapsed();
        let readings = self.sampler.sample(now);
        let mut views = Vec::with_capacity(self.pipelines.len());
        for followed in &mut self.pipelines {
            let summary = followed.pipeline.health.telemetry();
            followed.ease(&readings, &summary, now, &self.told);
            views.push(followed.view(&summary, now));
            self.told.pipeline(followed, &summary);
        }
        let refused = self.told.said.refused();
        let figures = self.told.link.as_ref().map(Link::store_figures);
        let lost = figures.map(|figures| figures.lost());
        let before = std::mem::replace(&mut self.lost, lost.unwrap_or_default());
        let lost = lost.map(|lost| lost.saturating_sub(before));
        let view = View { readings: &readings, pipelines: &views, refused: &refused, lost };
        for alarm in self.alarms.look(&view, now) {
            log(&alarm);
            self.told.alarm(&alarm, Some(Timestamp::now()));
        }
        self.seen.set(&readings, self.alarms.standing());
        self.told.board(readings);
    }
}

impl Followed {
    /// Has it infer less or more, where its load says so.
    fn ease(&mut self, readings: &wire::Readings, summary: &Summary, now: Duration, told: &Told) {
        let inferred = summary.inferred.saturating_sub(self.inferred);
        self.inferred = summary.inferred;
        let Some(load) = &mut self.load else { return };
        let strain = Strain {
            margin_c: readings.thermal.margin_c,
            throttled: readings.throttle.active,
            inferred,
            replaced: summary.replaced.saturating_sub(self.replaced),
        };
        if let Some(step) = load.look(&strain, now) {
            let door = &self.pipeline.door;
            let swapped = (door.is_lighter() != step.lighter).then_some(step.lighter);
            door.set_limit_hz(step.limit_hz);
            door.set_lighter(step.lighter);
            told.step(&self.pipeline.name, step, swapped);
        }
    }

    /// What it did since the sample before.
    fn view(&mut self, summary: &Summary, now: Duration) -> PipelineView {
        let captured = summary.captured.saturating_sub(self.captured);
        if captured > 0 || self.pipeline.door.is_paused() {
            self.heard = now;
        }
        let view = PipelineView {
            name: self.pipeline.name.to_string(),
            captured,
            replaced: summary.replaced.saturating_sub(self.replaced),
            silent: now.saturating_sub(self.heard),
            period: self
                .pipeline
                .rate_hz
                .and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok()),
            begun: summary.captured > 0,
            ended: self.pipeline.health.has_ended(),
        };
        (self.captured, self.replaced) = (summary.captured, summary.replaced);
        view
    }
}

fn log(alarm: &Standing) {
    let Standing { name, value, limit, unit, subject, .. } = alarm;
    let (unit, subject) = (unit.unwrap_or_default(), subject.as_deref().unwrap_or_default());
    if alarm.active {
        tracing::warn!(alarm = name, value, limit, unit, subject, "alarm raised");
    } else {
        tracing::info!(alarm = name, value, limit, unit, subject, "alarm ended");
    }
}

/// Tells the broker.
struct Told {
    link: Option<Link>,
    outlet: Option<Outlet>,
    said: Arc<Said>,
    board: String,
    board_seq: u64,
    alarm_seqs: BTreeMap<String, u64>,
    /// Whether it was said that a sample is too long.
    cut: bool,
}

impl Told {
    fn new(link: Option<Link>, outlet: Option<Outlet>, said: Arc<Said>) -> Self {
        let mut told = Self {
            link,
            outlet,
            said,
            board: String::new(),
            board_seq: 0,
            alarm_seqs: BTreeMap::new(),
            cut: false,
        };
        told.board = told.topic(wire::topic::Topics::telemetry_board);
        told
    }

    fn topic(&self, of: impl Fn(&wire::topic::Topics) -> String) -> String {
        self.link.as_ref().map(|link| of(link.topics())).unwrap_or_default()
    }

    fn board(&mut self, readings: wire::Readings) {
        let Some(link) = &self.link else { return };
        self.board_seq += 1;
        let envelope = self.said.envelope("vedette/board/1", self.board_seq);
        let (body, cut) =
            fit(BoardTelemetry { envelope, readings, store: store(link.store_figures()) });
        if cut && !self.cut {
            tracing::warn!("a sample is longer than a message: the longest lists are left out");
        }
        self.cut = cut;
        link.publish(Class::Telemetry, &self.board, body);
    }

    fn pipeline(&self, followed: &mut Followed, summary: &Summary) {
        let Some(link) = &self.link else { return };
        followed.seq += 1;
        let tenth = |value: f64| Some((value * 10.0).round() / 10.0);
        let [duplicate, still, thinned] = summary.skipped;
        let telemetry = PipelineTelemetry {
            envelope: self.said.envelope("vedette/pipeline/1", followed.seq),
            pipeline: (&*followed.pipeline.name).into(),
            source_rate_hz: followed.pipeline.rate_hz,
            captured_rate_hz: tenth(summary.captured_hz),
            limit_hz: followed.pipeline.door.limit_hz(),
            lighter: followed.pipeline.door.is_lighter(),
            inferred_rate_hz: tenth(summary.rate_hz),
            captured_total: summary.captured,
            inferred_total: summary.inferred,
            replaced_total: summary.replaced,
            skipped_duplicate_total: duplicate,
            skipped_still_total: still,
            skipped_thinned_total: thinned,
            failed_total: summary.failed,
            reopened_total: summary.reopened,
            latency_p50_ms: summary.p50_ms,
            latency_p95_ms: summary.p95_ms,
            latency_p99_ms: summary.p99_ms,
            samples: summary.samples.map(|samples| SampleTelemetry {
                rate_hz: samples.rate_hz.and_then(tenth),
                received_total: samples.received,
                unusable_total: samples.unusable,
                gaps_total: samples.gaps,
                clock_jumps_total: samples.clock_jumps,
            }),
        };
        link.publish(Class::Telemetry, &followed.topic, encode(&telemetry));
    }

    /// A pipeline infers less or more from now on; `swapped`: whether by its lighter model, where that changed.
    fn step(&self, pipeline: &Arc<str>, step: Step, swapped: Option<bool>) {
        let limit = step.limit_hz;
        let reason = step.reason.words();
        let reason = match swapped {
            None => reason.into(),
            Some(true) => format!("{reason}; the lighter model infers from now on").into(),
            Some(false) => format!("{reason}; its own model infers again").into(),
        };
        let sight = Sight { value: limit, ..Sight::NOTHING };
        let occurrence = Occurrence {
            pipeline: pipeline.clone(),
            event: LOAD_EVENT.into(),
            kind: LOAD_EVENT,
            state: EventState::Happened,
            captured: (Timestamp::now(), None),
            began: None,
            duration: None,
            place: None,
            sight,
            reason: Some(reason),
            suppressed: 0,
            clip: None,
        };
        tell(self.outlet.as_ref(), occurrence);
    }

    fn alarm(&mut self, alarm: &Standing, since: Option<Timestamp>) {
        let Some(link) = &self.link else { return };
        let seq = self.alarm_seqs.entry(alarm.name.clone()).or_default();
        *seq += 1;
        let told = Alarm {
            envelope: self.said.envelope("vedette/alarm/1", *seq),
            alarm: alarm.name.as_str().into(),
            active: alarm.active,
            since,
            value: alarm.value,
            threshold: alarm.limit,
            unit: alarm.unit.map(Into::into),
            subject: alarm.subject.as_deref().map(Into::into),
        };
        let (topic, body) = (link.topics().alarm(&alarm.name), encode(&told));
        // The broker keeps the last; who must have each, also after days without a broker, has the outbox's. The last
        // first: what the outbox then sends is no older word than it.
        link.retain(&topic, body.clone());
        if since.is_some() {
            link.publish(Class::Alarm, &topic, body);
        }
    }
}

fn store(figures: StoreFigures) -> Store {
    let [dropped_alarms, dropped_events, dropped_observations, dropped_telemetry] = figures.dropped;
    Store {
        records: figures.records,
        bytes: figures.bytes,
        oldest_age_s: figures.oldest_age_s,
        dropped_alarms,
        dropped_events,
        dropped_observations,
        dropped_telemetry,
        oversized: figures.oversized,
        damaged: figures.damaged,
        quarantined: figures.quarantined,
    }
}

/// What is left out first where a sample is too long for a message: the longest and the least asked for.
const CUTS: [fn(&mut wire::Readings); 7] = [
    |readings| readings.nvml.iter_mut().for_each(|device| device.processes = None),
    |readings| readings.host.networks.clear(),
    |readings| readings.host.cores_hz.clear(),
    |readings| readings.nvml.clear(),
    |readings| readings.host.disks.clear(),
    |readings| readings.thermal.zones.clear(),
    |readings| readings.power.rails.clear(),
];

/// `telemetry` as a message that is short enough, and whether something was left out for that.
#[must_use]
pub fn fit(mut telemetry: BoardTelemetry<'_>) -> (Vec<u8>, bool) {
    let mut body = encode(&telemetry);
    for (count, cut) in CUTS.iter().enumerate() {
        if body.len() < PAYLOAD_MAX_BYTES {
            return (body, count > 0);
        }
        cut(&mut telemetry.readings);
        body = encode(&telemetry);
    }
    (body, true)
}

#[cfg(test)]
mod tests {
    use wire::Readings;
    use wire::telemetry::{Disk, GpuProcess, Network, NvmlDevice, Rail, Zone};

    use super::*;

    /// A board that has the most of everything.
    fn largest() -> Readings {
        let mut readings = Readings::default();
        let name = |what: &str, number: usize| format!("{what}-with-a-long-name-{number}");
        let zone = Zone {
            temperature_c: Some(101.125),
            passive_c: Some(99.125),
            hot_c: Some(102.125),
            critical_c: Some(104.125),
        };
        let rail = Rail {
            voltage_mv: Some(19_184),
            current_ma: Some(12_345),
            power_mw: Some(123_456),
            limit_ma: Some(32_760),
        };
        readings.thermal.zones = (0..24).map(|number| (name("zone", number), zone)).collect();
        readings.power.rails = (0..16).map(|number| (name("rail", number), rail)).collect();
        readings.host.cores_percent = vec![100.0; 64];
        readings.host.cores_hz = vec![5_600_000_000; 64];
        let disk = Disk { total_bytes: 1 << 45, available_bytes: 1 << 44 };
        let long = |number: usize| (format!("/{}{number}", "mount/".repeat(600)), disk);
        readings.host.disks = (0..6).map(long).collect();
        let network = Network {
            received_bytes: 1 << 50,
            sent_bytes: 1 << 50,
            received_bytes_per_s: Some(1e9),
            sent_bytes_per_s: Some(1e9),
        };
        readings.host.networks = (0..8).map(|number| (name("eth", number), network)).collect();
        let process = GpuProcess { pid: 4_194_304, memory_bytes: Some(1 << 40) };
        let device = NvmlDevice { processes: Some(vec![process; 6]), ..NvmlDevice::default() };
        readings.nvml = vec![device; 4];
        readings
    }

    #[test]
    fn a_sample_is_always_short_enough_and_what_fits_is_whole() {
        let said = Said::new();
        let of = |readings| BoardTelemetry {
            envelope: said.envelope("vedette/board/1", 1),
            readings,
            store: Store::default(),
        };
        let (body, cut) = fit(of(largest()));
        assert!(cut && body.len() < PAYLOAD_MAX_BYTES, "{} bytes", body.len());
        serde_json::from_slice::<BoardTelemetry<'_>>(&body).unwrap();
        let whole = of(Readings::default());
        let (body, cut) = fit(whole.clone());
        let read: BoardTelemetry<'_> = serde_json::from_slice(&body).unwrap();
        assert_eq!((cut, read.readings, read.store), (false, whole.readings, whole.store));
    }
}
