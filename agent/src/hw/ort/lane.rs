//! One set of input and output buffers, bound to a session once and reused for every run.
//!
//! **Invariant:** a run allocates nothing in Rust (`tests/engine_alloc.rs` counts), and what is bound outlives
//! its binding: fields are dropped in the order in which they stand here.
#![expect(unsafe_code, reason = "the library reads and writes the buffers by their addresses")]

use std::ffi::CString;
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::pipeline::engine::{EngineError, Lane};
use crate::pipeline::shape::{Extents, bytes};
use crate::pipeline::tensor::{Element, ElementsMut, TensorSpec, View};

use super::buffer::{Buffer, elements};
use super::device::{Device, DeviceBuffer};
use super::failure::{Failure, of_run};
use super::raw::{Binding, HostAllocator, MemoryInfo, RunOptions, Value};
use super::session::{Session, kind_of};
use super::turns;
use super::warm::ones_where_integers;

/// The number that says to the library: do not record this run.
const NO_GRAPH: i32 = -1;
/// Runs until it is certain that a graph was recorded: one to allocate, one to record, one to see that it is there.
const RUNS_TO_RECORD: usize = 3;

/// What lanes of an engine share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Memory that the accelerator copies from without a detour, where there is one that has it.
    pub(super) host: Option<Arc<HostAllocator>>,
    /// Ordinary memory.
    pub(super) cpu: MemoryInfo,
    /// The accelerator's own memory, where one runs nodes.
    pub(super) device: Option<(Arc<Device>, MemoryInfo)>,
    /// Lanes so far, where runs are replayed: each has a CUDA graph of its own, with its own addresses.
    pub(super) graphs: Option<AtomicI32>,
    pub(super) session: Session,
}

/// One set of buffers of a loaded graph.
#[derive(Debug)]
pub(super) struct OrtLane {
    binding: Binding,
    /// Where runs are replayed: which graph is this lane's, once [`OrtLane::record`] was called.
    options: Option<RunOptions>,
    /// Whether runs are being recorded as that graph.
    records: bool,
    inputs: Vec<Bound>,
    outputs: Vec<Output>,
    /// Whether a run has succeeded, so that there is something to see.
    ran: bool,
    /// Whether the library allocates some output.
    takes: bool,
    /// For the extents of such an output.
    extents: Vec<i64>,
    shared: Arc<Shared>,
}

/// A tensor in our memory.
#[derive(Debug)]
struct Bound {
    value: Value,
    buffer: Buffer,
    /// Where the library has it, if that is not `buffer` itself.
    there: Option<DeviceBuffer>,
    name: CString,
    element: Element,
    shape: Vec<usize>,
}

/// A tensor that the library allocates at each run.
#[derive(Debug)]
struct Taken {
    value: Option<Value>,
    data: *const u8,
    bytes: usize,
    name: CString,
    element: Element,
    shape: Vec<usize>,
}

// SAFETY: `data` points into `value`, which is this one's own.
unsafe impl Send for Taken {}

#[derive(Debug)]
enum Output {
    Bound(Bound),
    Taken(Taken),
}

impl Bound {
    fn new(spec: &TensorSpec, shape: &[usize], shared: &Shared) -> Result<Self, EngineError> {
        let refuse = |why: &str| EngineError::Shape(format!("{spec}: {why}"));
        if spec.element == Element::String {
            return Err(refuse("text is not handled"));
        }
        let length = bytes(spec.element, shape).ok_or_else(|| refuse("it is too large"))?;
        let extents: Vec<i64> = shape
            .iter()
            .map(|&extent| i64::try_from(extent))
            .collect::<Result<_, _>>()
            .map_err(|_| refuse("it is too large"))?;
        let failed = |failure: Failure| refuse(failure.message());
        let buffer = Buffer::new(length, shared.host.as_ref());
        let (there, info, data) = match &shared.device {
            Some((device, info)) => {
                let there = DeviceBuffer::new(device, buffer.len()).map_err(failed)?;
                let data = there.data().map_err(failed)?;
                (Some(there), info, data)
            }
            // Pinned memory is the processor's to the library, too: bound as what it is, it fails to copy an
            // output out of it (1.31).
            None => (None, &shared.cpu, buffer.data()),
        };
        let kind = kind_of(spec.element);
        // SAFETY: the buffer holds the shape's elements, and is dropped after the value and the binding.
        let value =
            unsafe { Value::over(info, data, buffer.len(), &extents, kind) }.map_err(failed)?;
        let name = name_of(spec)?;
        Ok(Self { value, buffer, there, name, element: spec.element, shape: shape.to_vec() })
    }

    /// What was filled in becomes what the library sees.
    #[inline]
    fn send(&self) -> Result<(), Failure> {
        self.there.as_ref().map_or(Ok(()), |there| there.fill(self.buffer.bytes()))
    }

    /// What the library wrote becomes what is seen here.
    #[inline]
    fn receive(&mut self) -> Result<(), Failure> {
        let Self { there, buffer, .. } = self;
        there.as_ref().map_or(Ok(()), |there| there.read(buffer.bytes_mut()))
    }

    fn view(&self) -> View<'_> {
        View { shape: &self.shape, elements: self.buffer.elements(self.element) }
    }
}

fn name_of(spec: &TensorSpec) -> Result<CString, EngineError> {
    CString::new(spec.name.as_str())
        .map_err(|_| EngineError::Shape(format!("{spec}: its name contains a NUL")))
}

impl OrtLane {
    /// Buffers for tensors of these extents; the library allocates the outputs whose extents are not known.
    pub(super) fn new(
        shared: &Arc<Shared>,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
        extents: &Extents,
    ) -> Result<Self, EngineError> {
        let refuse = |failure: Failure| EngineError::Shape(failure.message().to_owned());
        let binding = Binding::new(shared.session.ptr()).map_err(refuse)?;
        let unrecorded = shared.graphs.as_ref().map(|_| RunOptions::of_graph(NO_GRAPH));
        let mut lane = Self {
            binding,
            options: unrecorded.transpose().map_err(refuse)?,
            records: false,
            inputs: Vec::new(),
            outputs: Vec::new(),
            ran: false,
            takes: false,
            extents: Vec::new(),
            shared: shared.clone(),
        };
        for (spec, shape) in inputs.iter().zip(&extents.inputs) {
            let bound = Bound::new(spec, shape, shared)?;
            lane.binding.input(&bound.name, &bound.value).map_err(refuse)?;
            lane.inputs.push(bound);
        }
        for (spec, shape) in outputs.iter().zip(&extents.outputs) {
            match shape {
                Some(shape) if spec.element != Element::String => {
                    let bound = Bound::new(spec, shape, shared)?;
                    lane.binding.output(&bound.name, &bound.value).map_err(refuse)?;
                    lane.outputs.push(Output::Bound(bound));
                }
                _ => {
                    let (name, element) = (name_of(spec)?, spec.element);
                    lane.binding.output_in(&name, &shared.cpu).map_err(refuse)?;
                    lane.outputs.push(Output::Taken(Taken {
                        value: None,
                        data: null(),
                        bytes: 0,
                        name,
                        element,
                        shape: Vec::new(),
                    }));
                    lane.takes = true;
                }
            }
        }
        Ok(lane)
    }

    /// Where runs are replayed: records this lane's, alone on the device. No later run of it is recorded, so that
    /// none keeps other models' frames waiting.
    pub(super) fn record(&mut self) -> Result<(), Failure> {
        let Some(graphs) = &self.shared.graphs else { return Ok(()) };
        self.options = Some(RunOptions::of_graph(graphs.fetch_add(1, Ordering::Relaxed))?);
        self.inputs.iter_mut().for_each(|input| {
            ones_where_integers(input.element, input.buffer.bytes_mut());
        });
        self.records = true;
        let recorded = (0..RUNS_TO_RECORD).try_for_each(|_| self.run_raw());
        (self.records, self.ran) = (false, false);
        self.inputs.iter_mut().for_each(|input| input.buffer.bytes_mut().fill(0));
        recorded
    }

    /// Input `index`, of whatever type, as bytes to be filled.
    pub(super) fn input_bytes(&mut self, index: usize) -> Option<(Element, &mut [u8])> {
        let bound = self.inputs.get_mut(index)?;
        Some((bound.element, bound.buffer.bytes_mut()))
    }

    /// As [`Lane::run`], in the library's own words.
    #[inline]
    pub(super) fn run_raw(&mut self) -> Result<(), Failure> {
        self.ran = false;
        self.run_once()?;
        self.ran = true;
        Ok(())
    }

    /// Runs, and lets go of what the arena held for earlier runs and does not need.
    pub(super) fn run_and_shrink(&mut self) -> Result<(), Failure> {
        self.shared.session.run_and_shrink(&self.binding)
    }

    #[inline]
    fn run_once(&mut self) -> Result<(), Failure> {
        if self.takes {
            self.untake()?;
        }
        // A processor's runs are in nobody's way.
        let _turn = self.shared.device.is_some().then(|| turns::to_run(self.records));
        for input in &self.inputs {
            input.send()?;
        }
        self.shared.session.run(&self.binding, self.options.as_ref())?;
        if self.shared.device.is_some() {
            self.binding.synchronize()?;
            for output in &mut self.outputs {
                if let Output::Bound(bound) = output {
                    bound.receive()?;
                }
            }
        }
        if self.takes {
            self.take()?;
        }
        Ok(())
    }

    /// Forgets what the library allocated for the last run. Left bound, it would be the buffer of the next,
    /// which may have another shape.
    fn untake(&mut self) -> Result<(), Failure> {
        for output in &mut self.outputs {
            if let Output::Taken(taken) = output {
                (taken.value, taken.data, taken.bytes) = (None, null(), 0);
                self.binding.output_in(&taken.name, &self.shared.cpu)?;
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(), Failure> {
        let (outputs, extents) = (&mut self.outputs, &mut self.extents);
        let mut result = Ok(());
        self.binding.outputs(|index, value| {
            if let (Some(Output::Taken(taken)), Ok(())) = (outputs.get_mut(index), &result) {
                result = taken.set(value, extents);
            }
        })?;
        result
    }
}

impl Taken {
    fn set(&mut self, value: Value, extents: &mut Vec<i64>) -> Result<(), Failure> {
        value.shape(extents)?;
        self.shape.clear();
        for extent in extents.iter() {
            let extent = usize::try_from(*extent);
            self.shape.push(extent.map_err(|_| Failure::new("an output has a negative extent"))?);
        }
        // Text is not kept as bytes one after the other.
        if self.element != Element::String {
            self.data = value.data()?;
            let elements =
                self.shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n));
            let bytes =
                elements.and_then(|elements| elements.checked_mul(self.element.size_bytes()));
            self.bytes = bytes.ok_or_else(|| Failure::new("an output is too large"))?;
        }
        self.value = Some(value);
        Ok(())
    }

    fn view(&self) -> View<'_> {
        // SAFETY: `value` has as many bytes at `data`, and lives until the next run, which borrows mutably.
        let elements = unsafe { elements(self.element, self.data, self.bytes) };
        View { shape: &self.shape, elements }
    }
}

impl Lane for OrtLane {
    fn input_mut(&mut self, index: usize) -> Result<ElementsMut<'_>, EngineError> {
        let Some(bound) = self.inputs.get_mut(index) else {
            return Err(EngineError::Shape(format!("there is no input {index}")));
        };
        let element = bound.element;
        bound.buffer.elements_mut(element).ok_or_else(|| {
            EngineError::Shape(format!(
                "input {index} is {}, which no source fills",
                element.name()
            ))
        })
    }

    fn input(&self, index: usize) -> Option<View<'_>> {
        self.inputs.get(index).map(Bound::view)
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.run_raw().map_err(of_run)
    }

    fn output(&self, index: usize) -> Option<View<'_>> {
        match self.outputs.get(index).filter(|_| self.ran)? {
            Output::Bound(bound) => Some(bound.view()),
            Output::Taken(taken) => Some(taken.view()),
        }
    }
}
