//! Several requests in one run, where the model's batch is free.

use std::collections::VecDeque;

use super::queue::Job;
use super::refused;
use crate::api::answer::Refusal;
use crate::pipeline::engine::{Engine, EngineError, Signature};
use crate::pipeline::shape::takes_batches;
use crate::pipeline::value::Value;

/// How many of those who wait go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Together {
    /// The first so many.
    pub(super) jobs: usize,
    /// Whether no more would fit, or the model takes only one at once.
    pub(super) full: bool,
}

/// How many of `jobs`, of which there is one at least, go into one run of at most `items_max`
/// items.
pub(super) fn together(engine: &dyn Engine, jobs: &VecDeque<Job>, items_max: usize) -> Together {
    let alone = Together { jobs: 1, full: true };
    // TensorRT would build another engine for another batch, for minutes.
    let fixed = engine.report().provider == "tensorrt";
    if items_max < 2 || fixed || !takes_batches(engine.signature()) {
        return alone;
    }
    let Some(mut items) = jobs.front().and_then(|job| items(&job.inputs)) else { return alone };
    let mut count = 1;
    for job in jobs.iter().skip(1) {
        let Some(more) = self::items(&job.inputs).filter(|more| items + more <= items_max) else {
            return Together { jobs: count, full: true };
        };
        if !alike(&jobs[0], job) {
            return Together { jobs: count, full: true };
        }
        items += more;
        count += 1;
    }
    Together { jobs: count, full: items >= items_max }
}

/// Items of a request; `None` where its inputs do not agree.
fn items(inputs: &[Value]) -> Option<usize> {
    let mut extents = inputs.iter().map(|input| input.shape.first().copied());
    let items = extents.next()??;
    (items > 0 && extents.all(|extent| extent == Some(items))).then_some(items)
}

/// How many items `inputs` are for a model of this signature: one, where its first extent counts something else.
pub(in crate::api) fn count(signature: &Signature, inputs: &[Value]) -> usize {
    if takes_batches(signature) { items(inputs).unwrap_or(1) } else { 1 }
}

/// Whether two requests differ in their first extents alone.
fn alike(one: &Job, other: &Job) -> bool {
    let rest = |value: &Value| value.shape.get(1..).map(<[usize]>::to_vec);
    one.outputs == other.outputs
        && one.inputs.len() == other.inputs.len()
        && one
            .inputs
            .iter()
            .zip(&other.inputs)
            .all(|(one, other)| one.element == other.element && rest(one) == rest(other))
}

/// Runs `jobs` at once, and what is for each of them.
pub(super) fn infer(engine: &dyn Engine, jobs: &[Job]) -> Vec<Result<Vec<Value>, Refusal>> {
    let alone =
        |job: &Job| engine.infer(&job.inputs, &job.outputs).map_err(|error| refused(&error));
    if jobs.len() < 2 {
        return jobs.iter().map(alone).collect();
    }
    match joined(engine, jobs) {
        Ok(Some(parts)) => parts.into_iter().map(Ok).collect(),
        // One of them may be the reason: each has its own run, and its own answer.
        Ok(None) | Err(_) => jobs.iter().map(alone).collect(),
    }
}

/// One run for all; `None` where its outputs cannot be taken apart again.
fn joined(engine: &dyn Engine, jobs: &[Job]) -> Result<Option<Vec<Vec<Value>>>, EngineError> {
    let Some(first) = jobs.first() else { return Ok(None) };
    let inputs: Option<Vec<Value>> = (0..first.inputs.len())
        .map(|index| {
            let own: Vec<&Value> = jobs.iter().filter_map(|job| job.inputs.get(index)).collect();
            Value::join(&own)
        })
        .collect();
    let (Some(inputs), Some(extents)) =
        (inputs, jobs.iter().map(|job| items(&job.inputs)).collect::<Option<Vec<usize>>>())
    else {
        return Ok(None);
    };
    let outputs = engine.infer(&inputs, &first.outputs)?;
    let mut parts: Vec<Vec<Value>> = jobs.iter().map(|_| Vec::new()).collect();
    for output in &outputs {
        let Some(split) = output.split(&extents) else { return Ok(None) };
        parts.iter_mut().zip(split).for_each(|(part, value)| part.push(value));
    }
    Ok(Some(parts))
}
