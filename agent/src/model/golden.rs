//! Golden samples: `golden/<case>/` with an input and the outputs that it must give.
//!
//! An input is `<name>.npy`, or `input.png` for a model of pictures: exactly as large as the model's input, it
//! goes through the model's own preprocess. Outputs are `<name>.npy`. In file names, what is not a letter, a
//! digit, `_`, `.` or `-` is `_`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::folder::{ModelFolder, Tolerance};
use super::npy::Array;
use crate::pipeline::engine::{Engine, Lane};
use crate::pipeline::frame::{Frame, PixelFormat};
use crate::pipeline::preprocess::{PictureSpec, Preprocess};
use crate::pipeline::source::replay;
use crate::pipeline::tensor::{Elements, ElementsMut, View};
use crate::report;

/// Most cases of a model: enough for every kind of picture, and a limit on the time that they take.
const CASES_MAX: usize = 256;

/// What one case came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Its folder's name.
    pub name: String,
    /// What is wrong; nothing where it passed.
    pub wrong: Vec<String>,
    /// How long the run took.
    pub run_ms: f64,
}

/// The folders of the cases, by name.
///
/// # Errors
/// Why there are none, in words.
pub fn cases(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let golden = folder.join("golden");
    let entries = fs::read_dir(&golden)
        .map_err(|error| format!("`{}` cannot be read: {error}", golden.display()))?;
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    found.sort();
    match found.len() {
        0 => Err(format!("`{}` has no samples", golden.display())),
        1..=CASES_MAX => Ok(found),
        count => Err(format!("{count} samples are more than {CASES_MAX}")),
    }
}

/// Runs the case in `path` on `engine`.
pub fn run(folder: &ModelFolder, engine: &dyn Engine, path: &Path) -> Case {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut case = Case { name, wrong: Vec::new(), run_ms: 0.0 };
    match infer(folder, engine, path) {
        Ok((lane, time)) => {
            case.run_ms = time.as_secs_f64() * 1e3;
            for (index, spec) in engine.signature().outputs.iter().enumerate() {
                let checked = expected(path, &spec.name).and_then(|expected| {
                    let found = lane.output(index).ok_or("it is not there")?;
                    compare(found, expected.view(), folder.golden)
                });
                case.wrong
                    .extend(checked.err().map(|what| format!("output `{}`: {what}", spec.name)));
            }
        }
        Err(what) => case.wrong.push(what),
    }
    case
}

fn infer(
    folder: &ModelFolder,
    engine: &dyn Engine,
    path: &Path,
) -> Result<(Box<dyn Lane>, Duration), String> {
    let said = |error: &dyn std::error::Error| report::chain(error);
    let inputs = &engine.signature().inputs;
    let picture = path.join("input.png");
    let mut lane;
    if let Some(spec) = folder.picture.as_ref().filter(|_| picture.is_file()) {
        lane = engine.lane(1).map_err(|error| said(&error))?;
        let input = lane.input_mut(folder.input).map_err(|error| said(&error))?;
        show(spec, &picture, input)?;
    } else {
        let arrays = inputs
            .iter()
            .map(|spec| {
                let file = path.join(file_name(&spec.name));
                Array::read(&file).map_err(|error| said(&error))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let batch = arrays.first().and_then(|array| array.shape.first()).copied();
        // What has no batch takes one item.
        lane = batch
            .and_then(|batch| engine.lane(batch).ok())
            .map_or_else(|| engine.lane(1), Ok)
            .map_err(|error| said(&error))?;
        for (index, (array, spec)) in arrays.iter().zip(inputs).enumerate() {
            let shape = lane.input(index).map(|view| view.shape.to_vec()).unwrap_or_default();
            if shape != array.shape {
                return Err(format!(
                    "input `{}` has shape {:?}, expected {shape:?}",
                    spec.name, array.shape
                ));
            }
            let input = lane.input_mut(index).map_err(|error| said(&error))?;
            fill(input, array.view().elements)
                .map_err(|what| format!("input `{}` is {what}", spec.name))?;
        }
    }
    let started = Instant::now();
    lane.run().map_err(|error| said(&error))?;
    Ok((lane, started.elapsed()))
}

/// Fills the model's input with the picture in `path`.
fn show(spec: &PictureSpec, path: &Path, input: ElementsMut<'_>) -> Result<(), String> {
    let wrong = |error: &dyn std::error::Error| format!("`input.png`: {}", report::chain(error));
    let mut frame = Frame::default();
    replay::load(path, &mut frame, &mut Vec::new()).map_err(|error| wrong(&error))?;
    if (frame.width, frame.height) != (spec.width, spec.height)
        || matches!(frame.format, PixelFormat::Mjpeg | PixelFormat::Samples)
    {
        return Err(format!(
            "`input.png` is a picture of {} x {} pixels, the model's input is {} x {}",
            frame.width, frame.height, spec.width, spec.height
        ));
    }
    let mut preprocess = Preprocess::new(spec).map_err(|error| wrong(&error))?;
    preprocess.run(&frame, input).map_err(|error| wrong(&error))?;
    Ok(())
}

fn fill(to: ElementsMut<'_>, from: Elements<'_>) -> Result<(), String> {
    match (to, from) {
        (ElementsMut::F32(to), Elements::F32(from)) => to.copy_from_slice(from),
        (ElementsMut::F16(to), Elements::F16(from)) => to.copy_from_slice(from),
        (ElementsMut::U8(to), Elements::U8(from)) => to.copy_from_slice(from),
        (ElementsMut::I8(to), Elements::I8(from)) => to.copy_from_slice(from),
        (_, from) => {
            return Err(format!(
                "{} in its file, which is not the model's type",
                from.element().name()
            ));
        }
    }
    Ok(())
}

fn expected(path: &Path, output: &str) -> Result<Array, String> {
    Array::read(&path.join(file_name(output))).map_err(|error| report::chain(&error))
}

fn file_name(tensor: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let name: String = tensor.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{name}.npy")
}

/// Whether `found` is `expected` within `tolerance`; otherwise the worst element, in words.
fn compare(found: View<'_>, expected: View<'_>, tolerance: Tolerance) -> Result<(), String> {
    let (element, wanted) = (found.elements.element(), expected.elements.element());
    if element != wanted || found.shape != expected.shape {
        let of = |view: View<'_>| format!("{} {:?}", view.elements.element().name(), view.shape);
        return Err(format!("it is {}, expected {}", of(found), of(expected)));
    }
    let (Some(found_numbers), Some(expected_numbers)) =
        (numbers(found.elements), numbers(expected.elements))
    else {
        return Err(format!("elements of type {} are not compared", element.name()));
    };
    let (mut worst, mut wrong): (Option<(f64, usize, f64, f64)>, usize) = (None, 0);
    let pairs = found_numbers.iter().zip(&expected_numbers);
    for (index, (&found, &expected)) in pairs.enumerate() {
        let allowed = tolerance.atol + tolerance.rtol * expected.abs();
        // Nothing that is no number is within anything.
        let excess =
            if found.is_finite() { (found - expected).abs() - allowed } else { f64::INFINITY };
        if excess > 0.0 || !expected.is_finite() {
            wrong += 1;
            if worst.is_none_or(|(most, ..)| excess > most) {
                worst = Some((excess, index, found, expected));
            }
        }
    }
    let Some((_, index, found_number, expected_number)) = worst else { return Ok(()) };
    Err(format!(
        "{wrong} of {} elements are off; the worst is at {:?}: found {found_number}, expected {expected_number}",
        found_numbers.len(),
        place(index, found.shape)
    ))
}

/// Where in a tensor element `index` is.
fn place(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let at = index % extent.max(1);
            index /= extent.max(1);
            at
        })
        .collect();
    place.reverse();
    place
}

/// Elements as the widest float. Integers beyond 2^53 lose their last bits, on both sides alike.
#[expect(clippy::as_conversions, reason = "a rounded integer is compared with one rounded alike")]
fn numbers(elements: Elements<'_>) -> Option<Vec<f64>> {
    Some(match elements {
        Elements::F32(all) => all.iter().map(|&x| f64::from(x)).collect(),
        Elements::F16(all) => all.iter().map(|&x| f64::from(x)).collect(),
        Elements::F64(all) => all.to_vec(),
        Elements::U8(all) => all.iter().map(|&x| f64::from(x)).collect(),
        Elements::I8(all) => all.iter().map(|&x| f64::from(x)).collect(),
        Elements::I32(all) => all.iter().map(|&x| f64::from(x)).collect(),
        Elements::I64(all) => all.iter().map(|&x| x as f64).collect(),
        Elements::Bool(all) => all.iter().map(|&x| f64::from(u8::from(x))).collect(),
        Elements::Other(..) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(found: &[f32], expected: &[f32]) -> Result<(), String> {
        let view = |elements| View { shape: &[2, 2], elements: Elements::F32(elements) };
        compare(view(found), view(expected), Tolerance { atol: 0.01, rtol: 0.1 })
    }

    #[test]
    fn the_worst_element_is_named_with_its_place() {
        let expected = [1.0, 2.0, 3.0, -4.0];
        assert_eq!(compared(&[1.1, 1.8, 3.0, -4.4], &expected), Ok(()));
        for (found, what) in [
            (
                [1.2, 2.0, 3.0, -9.0],
                "2 of 4 elements are off; the worst is at [1, 1]: found -9, expected -4",
            ),
            (
                [1.0, f32::NAN, 3.0, -4.0],
                "1 of 4 elements are off; the worst is at [0, 1]: found NaN, expected 2",
            ),
            (
                [1.0, 2.0, f32::INFINITY, -4.0],
                "1 of 4 elements are off; the worst is at [1, 0]: found inf, expected 3",
            ),
        ] {
            assert_eq!(compared(&found, &expected), Err(what.to_owned()));
        }
    }

    #[test]
    fn what_is_no_number_is_wrong_even_where_it_is_expected() {
        assert!(compared(&[f32::NAN, 0.0, 0.0, 0.0], &[f32::NAN, 0.0, 0.0, 0.0]).is_err());
        assert!(compared(&[0.0; 4], &[f32::INFINITY, 0.0, 0.0, 0.0]).is_err());
    }

    #[test]
    fn another_type_or_shape_is_told_with_both() {
        let found = View { shape: &[1, 4], elements: Elements::F32(&[0.0; 4]) };
        let expected = View { shape: &[4], elements: Elements::F64(&[0.0; 4]) };
        let tolerance = Tolerance { atol: 1.0, rtol: 1.0 };
        let what = compare(found, expected, tolerance).unwrap_err();
        assert_eq!(what, "it is f32 [1, 4], expected f64 [4]");
    }

    #[test]
    fn a_tensors_name_becomes_a_file_name() {
        assert_eq!(file_name("output0"), "output0.npy");
        assert_eq!(file_name("model/block:0"), "model_block_0.npy");
    }
}
