//! The families of pipelines and of the engines under them.

use super::text::{Kind, Labels, Text};
use crate::api::{Api, Pipeline};
use crate::pipeline::health::{Counts, Steps};
use crate::pipeline::meter::Meter;
use crate::pipeline::source::samples::SampleFigures;

/// A count of frames: its family, its help, and where it stands.
type Count = (&'static str, &'static str, fn(&Counts) -> u64);

const COUNTS: [Count; 7] = [
    ("vedette_pipeline_frames_captured_total", "Frames that the source gave.", |counts| {
        counts.captured
    }),
    (
        "vedette_pipeline_frames_inferred_total",
        "Frames whose observation went to the sinks.",
        |counts| counts.inferred,
    ),
    (
        "vedette_pipeline_frames_replaced_total",
        "Frames that a newer one replaced before their turn.",
        |counts| counts.replaced,
    ),
    (
        "vedette_pipeline_frames_skipped_total",
        "Frames that were not worth a run: not the Nth, above a rate, the same again, or nothing moved.",
        |counts| counts.skipped,
    ),
    (
        "vedette_pipeline_frames_failed_total",
        "Frames that could not be understood or inferred.",
        |counts| counts.failed,
    ),
    (
        "vedette_pipeline_frames_shared_total",
        "Frames whose run of the model was one with frames of other pipelines (`batch_max`).",
        |counts| counts.shared,
    ),
    (
        "vedette_pipeline_reopened_total",
        "How often the source or the engine was opened again.",
        |counts| counts.reopened,
    ),
];

/// A step of a frame, by its label.
type Step = (&'static str, fn(&Steps) -> &Meter);

const STEPS: [Step; 4] = [
    ("wait", |steps| &steps.wait),
    ("preprocess", |steps| &steps.preprocess),
    ("inference", |steps| &steps.inference),
    ("postprocess", |steps| &steps.postprocess),
];

pub(super) fn write(api: &Api, text: &mut Text) {
    let pipelines = &api.view.pipelines;
    if !pipelines.is_empty() {
        counts(pipelines, text);
        times(pipelines, text);
        samples(pipelines, text);
    }
    engines(api, text);
}

fn label(pipeline: &Pipeline) -> (&'static str, &str) {
    ("pipeline", &pipeline.open.name)
}

fn counts(pipelines: &[Pipeline], text: &mut Text) {
    let all: Vec<Counts> = pipelines.iter().map(|one| one.open.health.counts()).collect();
    for (name, help, count) in COUNTS {
        let mut family = text.family(name, Kind::Counter, help);
        for (pipeline, counts) in pipelines.iter().zip(&all) {
            family.sample(&[label(pipeline)], count(counts));
        }
    }
    let help = "Whether somebody paused the pipeline.";
    let mut paused = text.family("vedette_pipeline_paused", Kind::Gauge, help);
    for pipeline in pipelines {
        paused.sample(&[label(pipeline)], u8::from(pipeline.open.door.is_paused()));
    }
    let ago = pipelines.iter().map(|pipeline| {
        let ago = pipeline.open.health.inferred_ago();
        (&*pipeline.open.name, ago.map(|ago| ago.as_secs_f64()))
    });
    let help = "Time since the last frame was inferred.";
    text.gauges("vedette_pipeline_last_frame_age_seconds", help, "pipeline", ago);
}

fn times(pipelines: &[Pipeline], text: &mut Text) {
    let help = "How long a frame waited for the first step, and how long each step took.";
    let mut family = text.family("vedette_pipeline_stage_seconds", Kind::Histogram, help);
    for pipeline in pipelines {
        for (stage, meter) in STEPS {
            let labels: Labels<'_> = &[label(pipeline), ("stage", stage)];
            family.histogram(labels, &meter(pipeline.open.health.steps()).read());
        }
    }
    let help = "Time from the capture of a frame to its observation.";
    let mut family = text.family("vedette_pipeline_latency_seconds", Kind::Histogram, help);
    for pipeline in pipelines {
        let read = pipeline.open.health.steps().latency.read();
        family.histogram(&[label(pipeline)], &read);
    }
}

/// A count of a sensor's samples: its family, its help, and where it stands.
type SampleCount = (&'static str, &'static str, fn(&SampleFigures) -> u64);

const SAMPLES: [SampleCount; 4] = [
    ("vedette_pipeline_samples_received_total", "Samples that were used.", |one| one.received),
    (
        "vedette_pipeline_samples_unusable_total",
        "Lines, messages and readings that were no samples.",
        |one| one.unusable,
    ),
    ("vedette_pipeline_samples_gaps_total", "Gaps after which a window was begun anew.", |one| {
        one.gaps
    }),
    (
        "vedette_pipeline_samples_clock_jumps_total",
        "Jumps of a sensor's clock after which a window was begun anew.",
        |one| one.clock_jumps,
    ),
];

fn samples(pipelines: &[Pipeline], text: &mut Text) {
    let figures = |one: &Pipeline| one.open.health.samples();
    let all: Vec<(&str, SampleFigures)> =
        pipelines.iter().filter_map(|one| Some((&*one.open.name, figures(one)?))).collect();
    for (name, help, count) in SAMPLES {
        let values = all.iter().map(|(pipeline, figures)| (*pipeline, Some(count(figures))));
        text.counters(name, help, "pipeline", values);
    }
    let help = "Samples a second that a sensor sends, measured.";
    let rates = all.iter().map(|(pipeline, figures)| (*pipeline, figures.rate_hz));
    text.gauges("vedette_pipeline_sample_rate_hertz", help, "pipeline", rates);
}

fn engines(api: &Api, text: &mut Text) {
    let facts = (api.view.facts)();
    if facts.engines.is_empty() {
        return;
    }
    let help = "The models that run, and the provider that really runs each.";
    let mut family = text.family("vedette_engine_info", Kind::Gauge, help);
    for engine in &facts.engines {
        let labels: Labels<'_> = &[
            ("model", &engine.model),
            ("version", &engine.version),
            ("sha256", &engine.sha256),
            ("provider", &engine.provider),
        ];
        family.sample(labels, 1);
    }
    let nodes = facts.engines.iter().flat_map(|engine| {
        engine.nodes.iter().map(move |(provider, nodes)| (engine, provider, nodes))
    });
    let mut nodes = nodes.peekable();
    if nodes.peek().is_some() {
        let help = "Nodes of a model's graph that each provider runs.";
        let mut family = text.family("vedette_engine_nodes", Kind::Gauge, help);
        for (engine, provider, nodes) in nodes {
            family.sample(&[("model", &engine.model), ("provider", provider)], nodes);
        }
    }
}
