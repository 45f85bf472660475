//! Whether an engine that replays its runs still reads its inputs.
//!
//! A CUDA graph is recorded with the addresses of one run's buffers. Where the library then copies an input to
//! another address, every replay computes the recorded one's content: outputs that look well and never change.
//! Nothing in the library notices; so two buffers are run in turn on two inputs, and the outputs compared.

use crate::pipeline::engine::{Engine, EngineError, Lane};
use crate::pipeline::tensor::{Elements, ElementsMut};

/// How far two outputs of one input may differ, of the largest of them: more than any order of summation.
const TOLERANCE: f32 = 1e-2;

/// Runs before it is certain that a graph was recorded.
const RUNS_TO_RECORD: usize = 3;

/// Whether the outputs of two of `engine`'s lanes depend on their own inputs alone, run by run. False too where
/// the outputs are the same for every input.
///
/// # Errors
/// As [`Engine::lane`] and [`Lane::run`].
pub fn follows_inputs(engine: &dyn Engine) -> Result<bool, EngineError> {
    let batch = engine.signature().inputs.first().and_then(|spec| spec.dims.first());
    let batch = match batch {
        Some(crate::pipeline::tensor::Dim::Fixed(batch)) => *batch,
        _ => 1,
    };
    let (mut a, mut b) = (engine.lane(batch)?, engine.lane(batch)?);
    for _ in 0..RUNS_TO_RECORD {
        run(&mut *a, 0)?;
    }
    let [dark, bright] = [run(&mut *a, 0)?, run(&mut *a, 1)?];
    let [other_bright, other_dark] = [run(&mut *b, 1)?, run(&mut *b, 0)?];
    let again = run(&mut *a, 0)?;
    Ok(!same(&dark, &bright)
        && same(&dark, &other_dark)
        && same(&bright, &other_bright)
        && same(&dark, &again))
}

/// Runs on zeros, or on a pattern; returns the outputs' floats.
fn run(lane: &mut dyn Lane, pattern: u8) -> Result<Vec<f32>, EngineError> {
    let mut index = 0;
    while lane.input(index).is_some() {
        let number = |at: usize| u8::try_from(at % 97).unwrap_or(0) * pattern;
        match lane.input_mut(index)? {
            ElementsMut::F32(all) => {
                all.iter_mut().enumerate().for_each(|(at, x)| *x = f32::from(number(at)) / 97.0);
            }
            ElementsMut::F16(all) => all
                .iter_mut()
                .enumerate()
                .for_each(|(at, x)| *x = half::f16::from_f32(f32::from(number(at)) / 97.0)),
            ElementsMut::U8(all) => all.iter_mut().enumerate().for_each(|(at, x)| *x = number(at)),
            ElementsMut::I8(all) => {
                all.iter_mut().enumerate().for_each(|(at, x)| *x = number(at).cast_signed());
            }
        }
        index += 1;
    }
    lane.run()?;
    let mut found = Vec::new();
    for index in 0.. {
        match lane.output(index).map(|view| view.elements) {
            Some(Elements::F32(all)) => found.extend_from_slice(all),
            Some(Elements::F16(all)) => found.extend(all.iter().map(|x| x.to_f32())),
            Some(_) => {}
            None => break,
        }
    }
    Ok(found)
}

fn same(a: &[f32], b: &[f32]) -> bool {
    let largest = a.iter().chain(b).fold(0.0_f32, |most, x| most.max(x.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= largest * TOLERANCE)
}
