//! An engine that only waits as long as an accelerator would run, for benchmarks.
//!
//! It shows what everything *around* the run costs on a machine without the accelerator: the wait leaves the
//! processor free, as a GPU does. Its outputs are the same drawn numbers at every run: for outputs shaped like
//! those of a YOLO detector some clusters of boxes above any usual threshold, so that what comes after has
//! its usual work. No finding of it means anything.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use half::f16;
use rustix::thread::{ClockId, clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::{Timespec, clock_gettime};

use super::engine::{Engine, EngineError, EngineReport, EngineSpec, Lane, ModelFiles, Signature};
use super::shape::extents;
use super::tensor::{Element, Elements, ElementsMut, TensorSpec, View};
use crate::config::Section;
use crate::hw::pages;

/// Longest wait: no accelerator that serves live frames takes longer.
const LATENCY_US_MAX: u64 = 10_000_000;

/// Most that a sleep is asked to end early, to be on time; the rest is spent spinning.
const EARLY_NS_MAX: u64 = 100_000;

/// An example of its table.
pub const EXAMPLE: &str = "kind = \"shadow\"\nlatency_us = 3500\n";

/// How long each run takes.
#[derive(Debug, Clone, Copy)]
pub struct Shadow {
    latency: Duration,
}

impl Shadow {
    /// Reads its table.
    pub fn build(section: &Section<'_>) -> Option<Box<dyn EngineSpec>> {
        if !section.has("latency_us") {
            section.mistake("latency_us", "is missing: how long a run takes");
        }
        let latency_us = section.integer("latency_us", 1..=LATENCY_US_MAX)?;
        Some(Box::new(Self { latency: Duration::from_micros(latency_us) }))
    }
}

impl EngineSpec for Shadow {
    fn open(&self, model: &ModelFiles<'_>) -> Result<Arc<dyn Engine>, EngineError> {
        let Some(signature) = model.signature.cloned() else {
            return Err(EngineError::Shape("a shadow needs a `model.toml`".to_owned()));
        };
        let report = EngineReport {
            requested: vec!["shadow".to_owned()],
            provider: "shadow".to_owned(),
            library: "none: it only waits".to_owned(),
            ..EngineReport::default()
        };
        Ok(Arc::new(ShadowEngine {
            signature,
            report,
            accelerator: Arc::default(),
            latency: self.latency,
        }))
    }
}

#[derive(Debug)]
struct ShadowEngine {
    signature: Signature,
    report: EngineReport,
    /// It does one run at a time.
    accelerator: Arc<Mutex<()>>,
    latency: Duration,
}

impl Engine for ShadowEngine {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn lane(&self, batch: usize) -> Result<Box<dyn Lane>, EngineError> {
        let sizes = extents(&self.signature, batch)?;
        let tensor = |(spec, shape): (&TensorSpec, &Vec<usize>)| Tensor::new(spec, shape, false);
        let inputs = self.signature.inputs.iter().zip(&sizes.inputs).map(tensor).collect();
        let outputs = self.signature.outputs.iter().zip(&sizes.outputs).map(|(spec, shape)| {
            let free =
                || EngineError::Shape(format!("output {spec}: a shadow cannot know its extents"));
            Ok(Tensor::new(spec, shape.as_ref().ok_or_else(free)?, true))
        });
        Ok(Box::new(ShadowLane {
            inputs,
            outputs: outputs.collect::<Result<_, EngineError>>()?,
            ran: false,
            accelerator: self.accelerator.clone(),
            latency: self.latency,
        }))
    }

    fn report(&self) -> &EngineReport {
        &self.report
    }

    fn overlaps(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct ShadowLane {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    ran: bool,
    accelerator: Arc<Mutex<()>>,
    latency: Duration,
}

impl Lane for ShadowLane {
    fn input_mut(&mut self, index: usize) -> Result<ElementsMut<'_>, EngineError> {
        match self.inputs.get_mut(index).map(|tensor| &mut tensor.elements) {
            Some(Memory::F32(elements)) => Ok(ElementsMut::F32(elements)),
            Some(Memory::F16(elements)) => Ok(ElementsMut::F16(elements)),
            Some(Memory::U8(elements)) => Ok(ElementsMut::U8(elements)),
            Some(Memory::I8(elements)) => Ok(ElementsMut::I8(elements)),
            _ => Err(EngineError::Shape(format!("input {index} is none that a source fills"))),
        }
    }

    fn input(&self, index: usize) -> Option<View<'_>> {
        self.inputs.get(index).map(Tensor::view)
    }

    fn run(&mut self) -> Result<(), EngineError> {
        let _turn = self.accelerator.lock().unwrap_or_else(PoisonError::into_inner);
        wait(self.latency).map_err(|error| EngineError::Run(Box::new(error)))?;
        self.ran = true;
        Ok(())
    }

    fn output(&self, index: usize) -> Option<View<'_>> {
        self.outputs.get(index).filter(|_| self.ran).map(Tensor::view)
    }
}

thread_local! {
    /// How late sleeps of this thread end, on average, once its timer was made exact.
    static LATE_NS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Sleeps for `time`, never less, and little more: as late as this thread's sleeps usually end, they are asked
/// to end early.
fn wait(time: Duration) -> rustix::io::Result<()> {
    let started = Instant::now();
    let late = LATE_NS
        .get()
        .map_or_else(|| set_current_timer_slack(NonZeroU64::new(1)).map(|()| 0), Ok)?;
    let early = Duration::from_nanos(late.min(EARLY_NS_MAX));
    let asked = time.saturating_sub(early);
    let now = clock_gettime(ClockId::Monotonic);
    let until = Timespec::try_from(asked).ok().and_then(|asked| now.checked_add(asked));
    loop {
        match clock_nanosleep_absolute(ClockId::Monotonic, &until.unwrap_or(now)) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    }
    let overslept = started.elapsed().saturating_sub(asked).as_nanos();
    let overslept = u64::try_from(overslept).unwrap_or(EARLY_NS_MAX).min(EARLY_NS_MAX);
    // A sixteenth of the news: one interruption does not make the next sleeps short.
    LATE_NS.set(Some((late * 15 + overslept) / 16));
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
    Ok(())
}

/// A tensor of a lane.
#[derive(Debug)]
struct Tensor {
    shape: Vec<usize>,
    elements: Memory,
}

#[derive(Debug)]
enum Memory {
    F32(Vec<f32>),
    F16(Vec<f16>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    I64(Vec<i64>),
    Other(Element, Vec<u8>),
}

impl Tensor {
    fn new(spec: &TensorSpec, shape: &[usize], drawn: bool) -> Self {
        let count = shape.iter().product();
        let numbers = || if drawn { draw(shape) } else { zeroed(count) };
        let elements = match spec.element {
            Element::F32 => Memory::F32(numbers()),
            Element::F16 => Memory::F16(numbers().into_iter().map(f16::from_f32).collect()),
            Element::U8 => Memory::U8(vec![0; count]),
            Element::I8 => Memory::I8(vec![0; count]),
            Element::I64 => Memory::I64(vec![0; count]),
            other => Memory::Other(other, vec![0; count * other.size_bytes()]),
        };
        Self { shape: shape.to_vec(), elements }
    }

    fn view(&self) -> View<'_> {
        let elements = match &self.elements {
            Memory::F32(elements) => Elements::F32(elements),
            Memory::F16(elements) => Elements::F16(elements),
            Memory::U8(elements) => Elements::U8(elements),
            Memory::I8(elements) => Elements::I8(elements),
            Memory::I64(elements) => Elements::I64(elements),
            Memory::Other(element, bytes) => Elements::Other(*element, bytes),
        };
        View { shape: &self.shape, elements }
    }
}

/// So many zeros.
fn zeroed(count: usize) -> Vec<f32> {
    let mut numbers = pages::with_room(count);
    numbers.resize(count, 0.0);
    numbers
}

/// Objects that the drawn outputs show.
const OBJECTS: usize = 8;

/// Boxes around each of them.
const BOXES: usize = 6;

/// Numbers for an output of this shape: faint scores everywhere, and [`OBJECTS`] clusters of boxes where the
/// shape is `[batch, 4 + classes, boxes]` (YOLOv8) or `[batch, boxes, 5 + classes]` (YOLOv5).
fn draw(shape: &[usize]) -> Vec<f32> {
    let mut dice = Dice(0x5eed);
    let count = shape.iter().product();
    let mut found = pages::with_room(count);
    found.extend((0..count).map(|_| dice.number() * 0.05));
    let &[_, rows, columns] = shape else { return found };
    let by_column = rows < columns;
    let (fields, boxes) = if by_column { (rows, columns) } else { (columns, rows) };
    // Four numbers of the box, for YOLOv5 one for "some object", then the classes.
    let first = if by_column { 4 } else { 5 };
    if fields <= first || boxes < OBJECTS * BOXES {
        return found;
    }
    for item in found.chunks_exact_mut(rows * columns) {
        let mut put = |field: usize, which: usize, value: f32| {
            let at = if by_column { field * columns + which } else { which * columns + field };
            if let Some(number) = item.get_mut(at) {
                *number = value;
            }
        };
        for object in 0..OBJECTS {
            let centre = [dice.number() * 400.0 + 100.0, dice.number() * 400.0 + 100.0];
            let side = dice.number() * 80.0 + 20.0;
            for copy in 0..BOXES {
                let which = (object * BOXES + copy) * (boxes / (OBJECTS * BOXES));
                put(0, which, centre[0] + dice.number() * 4.0);
                put(1, which, centre[1] + dice.number() * 4.0);
                put(2, which, side + dice.number() * 4.0);
                put(3, which, side + dice.number() * 4.0);
                if !by_column {
                    put(4, which, 0.95);
                }
                put(first + object % (fields - first), which, 0.6 + dice.number() * 0.35);
            }
        }
    }
    found
}

/// The same numbers every time (xorshift64*).
struct Dice(u64);

impl Dice {
    /// From 0 to below 1.
    fn number(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 48;
        u16::try_from(bits).map_or(0.0, f32::from) / 65_536.0
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tensor::Dim;
    use super::*;

    fn engine(latency: Duration) -> Arc<dyn Engine> {
        let spec = |name: &str, dims: &[usize]| TensorSpec {
            name: name.to_owned(),
            element: Element::F32,
            dims: dims.iter().map(|&extent| Dim::Fixed(extent)).collect(),
        };
        let signature = Signature {
            inputs: vec![spec("images", &[1, 3, 8, 8])],
            outputs: vec![spec("output0", &[1, 8, 2100])],
        };
        let files = ModelFiles {
            graph: Path::new("none.onnx"),
            data: &[],
            digest: "",
            signature: Some(&signature),
            cache: None,
        };
        Shadow { latency }.open(&files).unwrap()
    }

    #[test]
    fn a_run_never_takes_less_than_it_should() {
        let mut lane = engine(Duration::from_millis(1)).lane(1).unwrap();
        assert!(lane.output(0).is_none());
        for _ in 0..20 {
            let started = Instant::now();
            lane.run().unwrap();
            assert!(started.elapsed() >= Duration::from_millis(1));
        }
        assert_eq!(lane.output(0).unwrap().shape, [1, 8, 2100]);
    }

    #[test]
    fn outputs_show_clusters_of_boxes_above_faint_scores() {
        for shape in [[1, 8, 2100], [1, 2100, 9]] {
            let drawn = draw(&shape);
            assert_eq!(drawn, draw(&shape));
            let strong = drawn.iter().filter(|&&number| (0.5..1.0).contains(&number)).count();
            let expected = OBJECTS * BOXES * if shape[1] == 8 { 1 } else { 2 };
            assert_eq!(strong, expected, "{shape:?}");
        }
    }
}
