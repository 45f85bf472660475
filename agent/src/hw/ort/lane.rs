//! One set of input and output buffers, bound to a session once and reused for every run.
//!
//! Where runs are of one to so many items, the same buffers are bound once for each number of them (a [`Part`]): a
//! run of fewer reads and writes the first items.
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
use super::replayer::Replayer;
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
    /// Where runs are replayed.
    pub(super) graphs: Option<Arc<Graphs>>,
    pub(super) session: Session,
}

/// CUDA graphs of an engine's lanes: each part has one of its own, with its own addresses.
#[derive(Debug)]
pub(super) struct Graphs {
    /// Where all of the engine's runs are.
    replayer: Replayer,
    /// How many there are so far.
    count: AtomicI32,
}

impl Graphs {
    pub(super) fn new() -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self { replayer: Replayer::start()?, count: AtomicI32::new(1) }))
    }
}

/// One set of buffers of a loaded graph.
#[derive(Debug)]
pub(super) struct OrtLane {
    /// By the number of items, the largest last; one at least.
    parts: Vec<Part>,
    /// Which of them ran last, where it succeeded, so that there is something to see.
    ran: Option<usize>,
    inputs: Vec<Bound>,
    outputs: Vec<Output>,
    /// Whether the library allocates some output.
    takes: bool,
    /// For the extents of such an output.
    extents: Vec<i64>,
    shared: Arc<Shared>,
}

/// What the library sees of the buffers in runs of so many items.
#[derive(Debug)]
struct Part {
    binding: Binding,
    /// Where runs are replayed: which graph is this one's, once [`OrtLane::record`] was called.
    options: Option<RunOptions>,
    inputs: Vec<Seen>,
    /// `None` where the library allocates it.
    outputs: Vec<Option<Seen>>,
}

/// The part of a buffer that one run sees.
#[derive(Debug)]
struct Seen {
    value: Value,
    shape: Vec<usize>,
    bytes: usize,
}

/// A tensor in our memory.
#[derive(Debug)]
struct Bound {
    buffer: Buffer,
    /// Where the library has it, if that is not `buffer` itself.
    there: Option<DeviceBuffer>,
    name: CString,
    element: Element,
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
    /// For as many bytes as the largest run needs.
    fn new(spec: &TensorSpec, largest: &[usize], shared: &Shared) -> Result<Self, EngineError> {
        let refuse = |why: &str| EngineError::Shape(format!("{spec}: {why}"));
        if spec.element == Element::String {
            return Err(refuse("text is not handled"));
        }
        let length = bytes(spec.element, largest).ok_or_else(|| refuse("it is too large"))?;
        let buffer = Buffer::new(length, shared.host.as_ref());
        let there = match &shared.device {
            Some((device, _)) => Some(
                DeviceBuffer::new(device, buffer.len())
                    .map_err(|failure| refuse(failure.message()))?,
            ),
            None => None,
        };
        Ok(Self { buffer, there, name: name_of(spec)?, element: spec.element })
    }

    /// The part of it that a run with a tensor of this `shape` sees.
    fn seen(
        &self,
        spec: &TensorSpec,
        shape: &[usize],
        shared: &Shared,
    ) -> Result<Seen, EngineError> {
        let refuse = |why: &str| EngineError::Shape(format!("{spec}: {why}"));
        let fits = |bytes: &usize| *bytes <= self.buffer.len();
        let length =
            bytes(spec.element, shape).filter(fits).ok_or_else(|| refuse("it is too large"))?;
        let extents: Vec<i64> = shape
            .iter()
            .map(|&extent| i64::try_from(extent))
            .collect::<Result<_, _>>()
            .map_err(|_| refuse("it is too large"))?;
        let failed = |failure: Failure| refuse(failure.message());
        let (info, data) = match (&shared.device, &self.there) {
            (Some((_, info)), Some(there)) => (info, there.data().map_err(failed)?),
            // Pinned memory is the processor's to the library, too: bound as what it is, it fails to copy an
            // output out of it (1.31).
            _ => (&shared.cpu, self.buffer.data()),
        };
        let kind = kind_of(spec.element);
        // SAFETY: the buffer holds the shape's elements, and is dropped after the value and the binding.
        let value = unsafe { Value::over(info, data, length, &extents, kind) }.map_err(failed)?;
        Ok(Seen { value, shape: shape.to_vec(), bytes: length })
    }

    /// What was filled in becomes what the library sees.
    #[inline]
    fn send(&self, bytes: usize) -> Result<(), Failure> {
        self.there.as_ref().map_or(Ok(()), |there| there.fill(&self.buffer.bytes()[..bytes]))
    }

    /// What the library wrote becomes what is seen here.
    #[inline]
    fn receive(&mut self, bytes: usize) -> Result<(), Failure> {
        let Self { there, buffer, .. } = self;
        there.as_ref().map_or(Ok(()), |there| there.read(&mut buffer.bytes_mut()[..bytes]))
    }

    fn view<'a>(&'a self, seen: &'a Seen) -> View<'a> {
        View { shape: &seen.shape, elements: self.buffer.elements(self.element, seen.bytes) }
    }
}

fn name_of(spec: &TensorSpec) -> Result<CString, EngineError> {
    CString::new(spec.name.as_str())
        .map_err(|_| EngineError::Shape(format!("{spec}: its name contains a NUL")))
}

impl OrtLane {
    /// Buffers for runs with tensors of each of these extents, the largest last; the library allocates the outputs
    /// whose extents are not known.
    pub(super) fn new(
        shared: &Arc<Shared>,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
        extents: &[Extents],
    ) -> Result<Self, EngineError> {
        let Some(largest) = extents.last() else {
            return Err(EngineError::Shape("a lane of no items".to_owned()));
        };
        let bound = |(spec, shape): (&TensorSpec, &Vec<usize>)| Bound::new(spec, shape, shared);
        let own = inputs.iter().zip(&largest.inputs).map(bound).collect::<Result<_, _>>()?;
        let output = |(spec, shape): (&TensorSpec, &Option<Vec<usize>>)| match shape {
            Some(shape) if spec.element != Element::String => {
                Bound::new(spec, shape, shared).map(Output::Bound)
            }
            _ => Taken::new(spec).map(Output::Taken),
        };
        let given: Vec<Output> =
            outputs.iter().zip(&largest.outputs).map(output).collect::<Result<_, _>>()?;
        let mut lane = Self {
            parts: Vec::with_capacity(extents.len()),
            ran: None,
            inputs: own,
            takes: given.iter().any(|output| matches!(output, Output::Taken(_))),
            outputs: given,
            extents: Vec::new(),
            shared: shared.clone(),
        };
        for extents in extents {
            let part = lane.part(inputs, outputs, extents)?;
            lane.parts.push(part);
        }
        Ok(lane)
    }

    /// Binds the buffers for runs with tensors of these extents.
    fn part(
        &self,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
        extents: &Extents,
    ) -> Result<Part, EngineError> {
        let refuse = |failure: Failure| EngineError::Shape(failure.message().to_owned());
        let binding = Binding::new(self.shared.session.ptr()).map_err(refuse)?;
        let unrecorded = self.shared.graphs.as_ref().map(|_| RunOptions::of_graph(NO_GRAPH));
        let options = unrecorded.transpose().map_err(refuse)?;
        let mut part = Part { binding, options, inputs: Vec::new(), outputs: Vec::new() };
        for ((spec, shape), bound) in inputs.iter().zip(&extents.inputs).zip(&self.inputs) {
            let seen = bound.seen(spec, shape, &self.shared)?;
            part.binding.input(&bound.name, &seen.value).map_err(refuse)?;
            part.inputs.push(seen);
        }
        for ((spec, shape), output) in outputs.iter().zip(&extents.outputs).zip(&self.outputs) {
            part.outputs.push(match (output, shape) {
                (Output::Bound(bound), Some(shape)) => {
                    let seen = bound.seen(spec, shape, &self.shared)?;
                    part.binding.output(&bound.name, &seen.value).map_err(refuse)?;
                    Some(seen)
                }
                (Output::Bound(Bound { name, .. }) | Output::Taken(Taken { name, .. }), _) => {
                    part.binding.output_in(name, &self.shared.cpu).map_err(refuse)?;
                    None
                }
            });
        }
        Ok(part)
    }

    /// Where runs are replayed: records this lane's, alone on the device. No later run of it is recorded, so that
    /// none keeps other models' frames waiting.
    pub(super) fn record(&mut self) -> Result<(), Failure> {
        if self.shared.graphs.is_none() {
            return Ok(());
        }
        self.inputs.iter_mut().for_each(|input| {
            ones_where_integers(input.element, input.buffer.bytes_mut());
        });
        // The largest first: what the library keeps for it does for the others.
        let recorded = (0..self.parts.len()).rev().try_for_each(|part| self.record_part(part));
        self.ran = None;
        self.inputs.iter_mut().for_each(|input| input.buffer.bytes_mut().fill(0));
        recorded
    }

    fn record_part(&mut self, part: usize) -> Result<(), Failure> {
        let Some(graphs) = self.shared.graphs.clone() else { return Ok(()) };
        // The first run of a size plans its kernels, in tenths of a second: other models' frames need not wait for it.
        self.run_part(part)?;
        let graph = graphs.count.fetch_add(1, Ordering::Relaxed);
        self.parts[part].options = Some(RunOptions::of_graph(graph)?);
        graphs.replayer.run(&mut || {
            let _turn = turns::to_record();
            (0..RUNS_TO_RECORD).try_for_each(|_| self.pass(part))
        })
    }

    /// Input `index`, of whatever type, as bytes to be filled.
    pub(super) fn input_bytes(&mut self, index: usize) -> Option<(Element, &mut [u8])> {
        let bound = self.inputs.get_mut(index)?;
        Some((bound.element, bound.buffer.bytes_mut()))
    }

    /// As [`Lane::run`], in the library's own words.
    #[inline]
    pub(super) fn run_raw(&mut self) -> Result<(), Failure> {
        self.run_part(self.parts.len() - 1)
    }

    /// Runs, and lets go of what the arena held for earlier runs and does not need.
    pub(super) fn run_and_shrink(&mut self) -> Result<(), Failure> {
        let whole = &self.parts[self.parts.len() - 1];
        self.shared.session.run_and_shrink(&whole.binding)
    }

    #[inline]
    fn run_part(&mut self, part: usize) -> Result<(), Failure> {
        self.ran = None;
        self.run_once(part)?;
        self.ran = Some(part);
        Ok(())
    }

    #[inline]
    fn run_once(&mut self, part: usize) -> Result<(), Failure> {
        if self.shared.device.is_none() {
            // A processor's runs are in nobody's way.
            return self.pass(part);
        }
        let beside = |this: &mut Self| {
            let _turn = turns::to_run();
            this.pass(part)
        };
        match self.shared.graphs.clone() {
            Some(graphs) => graphs.replayer.run(&mut || beside(self)),
            None => beside(self),
        }
    }

    /// One run, in whatever turn the caller has on the device.
    #[inline]
    fn pass(&mut self, part: usize) -> Result<(), Failure> {
        if self.takes {
            self.untake();
        }
        let part = &self.parts[part];
        for (input, seen) in self.inputs.iter().zip(&part.inputs) {
            input.send(seen.bytes)?;
        }
        self.shared.session.run(&part.binding, part.options.as_ref())?;
        if self.shared.device.is_some() {
            part.binding.synchronize()?;
            for (output, seen) in self.outputs.iter_mut().zip(&part.outputs) {
                if let (Output::Bound(bound), Some(seen)) = (output, seen) {
                    bound.receive(seen.bytes)?;
                }
            }
        }
        if self.takes {
            Self::take(&part.binding, &mut self.outputs, &mut self.extents)?;
            // Left bound, it would be the buffer of the next run, which may have another shape, and stay allocated
            // while other parts run.
            for output in &self.outputs {
                if let Output::Taken(Taken { name, .. }) = output {
                    part.binding.output_in(name, &self.shared.cpu)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what the library allocated for the last run.
    fn untake(&mut self) {
        for output in &mut self.outputs {
            if let Output::Taken(taken) = output {
                (taken.value, taken.data, taken.bytes) = (None, null(), 0);
            }
        }
    }

    fn take(
        binding: &Binding,
        outputs: &mut [Output],
        extents: &mut Vec<i64>,
    ) -> Result<(), Failure> {
        let mut result = Ok(());
        binding.outputs(|index, value| {
            if let (Some(Output::Taken(taken)), Ok(())) = (outputs.get_mut(index), &result) {
                result = taken.set(value, extents);
            }
        })?;
        result
    }
}

impl Taken {
    fn new(spec: &TensorSpec) -> Result<Self, EngineError> {
        Ok(Self {
            value: None,
            data: null(),
            bytes: 0,
            name: name_of(spec)?,
            element: spec.element,
            shape: Vec::new(),
        })
    }

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
        let seen = self.parts.last()?.inputs.get(index)?;
        self.inputs.get(index).map(|bound| bound.view(seen))
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.run_raw().map_err(|failure| of_run(&failure))
    }

    fn run_first(&mut self, items: usize) -> Result<(), EngineError> {
        let largest = self.parts.len() - 1;
        self.run_part(items.saturating_sub(1).min(largest)).map_err(|failure| of_run(&failure))
    }

    fn output(&self, index: usize) -> Option<View<'_>> {
        let part = self.parts.get(self.ran?)?;
        match self.outputs.get(index)? {
            Output::Bound(bound) => part.outputs.get(index)?.as_ref().map(|seen| bound.view(seen)),
            Output::Taken(taken) => Some(taken.view()),
        }
    }
}
