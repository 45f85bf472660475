//! The families of the requests to models.

use super::text::{Kind, Labels, Text};
use crate::api::Api;
use crate::api::work::{Stats, Tally};

/// A step of a request, by its label.
type Step = (&'static str, fn(&Stats) -> Tally);

const STEPS: [Step; 4] = [
    ("input", |stats| stats.input),
    ("queue", |stats| stats.queue),
    ("inference", |stats| stats.infer),
    ("output", |stats| stats.output),
];

pub(super) fn write(api: &Api, text: &mut Text) {
    let help = "Requests that wait for a run.";
    text.gauge("vedette_infer_waiting", help, Some(api.work.waiting()));
    let all = api.shelf.counted();
    if all.is_empty() {
        return;
    }
    let help = "Requests to a model, by what came of them.";
    let mut family = text.family("vedette_infer_requests_total", Kind::Counter, help);
    for (model, stats) in &all {
        for (outcome, count) in [
            ("answered", stats.success.count),
            ("refused", stats.fail.count),
            ("cancelled", stats.cancelled),
        ] {
            let [name, version] = labels(model);
            family.sample(&[name, version, ("outcome", outcome)], count);
        }
    }
    let help = "Runs of a model for requests; several requests may share one.";
    let mut family = text.family("vedette_infer_runs_total", Kind::Counter, help);
    for (model, stats) in &all {
        family.sample(&labels(model), stats.runs);
    }
    let help = "Time that answered requests took in each step.";
    let mut family = text.family("vedette_infer_step_seconds_total", Kind::Counter, help);
    for (model, stats) in &all {
        for (step, tally) in STEPS {
            let [name, version] = labels(model);
            let labels: Labels<'_> = &[name, version, ("step", step)];
            family.sample(labels, tally(stats).time.as_secs_f64());
        }
    }
}

fn labels((name, version): &(String, String)) -> [(&'static str, &str); 2] {
    [("model", name), ("version", version)]
}
