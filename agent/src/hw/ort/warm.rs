//! The first runs of a graph that was just loaded: whether it runs, what it gives, and that no memory stays of
//! them which later runs do not need.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pipeline::engine::{Lane, Signature};
use crate::pipeline::shape::extents;
use crate::pipeline::tensor::Element;

use super::device::Device;
use super::failure::{Failure, reason};
use super::lane::{Graphs, OrtLane, Shared};
use super::options::Options;
use super::raw::{HostAllocator, MemoryInfo};
use super::session::Session;

/// A graph that is loaded with certain providers and ran once.
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) signature: Signature,
    pub(super) surprising: Vec<bool>,
    /// Nodes by the library's name of the provider; empty where the run did not tell.
    pub(super) nodes: BTreeMap<String, u64>,
    /// Why the run failed, where it did.
    pub(super) failed: Option<String>,
}

/// Runs the graph once on zeros, in ordinary memory where it does not run in the accelerator's.
pub(super) fn warm(
    session: Session,
    signature: Signature,
    accelerated: bool,
    replays: bool,
    options: &Options,
) -> Result<Opened, Failure> {
    let host = if accelerated { pinned(&session, options.device) } else { None };
    let cpu = MemoryInfo::cpu()?;
    let was_pinned = host.is_some();
    let device = match accelerated {
        true => Some((Device::open(options.device)?, MemoryInfo::cuda(options.device)?)),
        false => None,
    };
    let graphs = (accelerated && replays).then(Graphs::new).transpose()?;
    let shared = Arc::new(Shared { host, cpu, device, graphs, session });
    let mut opened = Opened {
        shared,
        surprising: vec![false; signature.outputs.len()],
        signature,
        nodes: BTreeMap::new(),
        failed: None,
    };
    match first_run(&mut opened) {
        Err(_) if was_pinned => {
            let shared = Arc::into_inner(opened.shared)
                .ok_or_else(|| Failure::new("the first run's buffers are still in use"))?;
            opened.shared = Arc::new(Shared { host: None, ..shared });
            first_run(&mut opened)?;
        }
        Err(failure) if accelerated => return Err(failure),
        // Zeros may be no input that the graph takes. Its golden samples tell; nothing is lost but the report.
        Err(failure) => opened.failed = Some(reason(&failure)),
        Ok(()) => {}
    }
    Ok(opened)
}

fn pinned(session: &Session, device: u16) -> Option<Arc<HostAllocator>> {
    HostAllocator::pinned(session.ptr().cast_const(), device).ok()
}

/// Runs on zeros, and notes the outputs that have other extents than the graph says. A graph that cannot be
/// run without knowing more is left alone: whoever wants a lane of it is told why not.
fn first_run(opened: &mut Opened) -> Result<(), Failure> {
    let Signature { inputs, outputs } = &opened.signature;
    let batch = match inputs.iter().find_map(|spec| spec.dims.first()) {
        Some(crate::pipeline::tensor::Dim::Fixed(batch)) => *batch,
        _ => 1,
    };
    let Ok(mut sizes) = extents(&opened.signature, batch) else { return Ok(()) };
    let promised = std::mem::take(&mut sizes.outputs);
    sizes.outputs = vec![None; outputs.len()];
    let Ok(mut lane) = OrtLane::new(&opened.shared, inputs, outputs, &[sizes]) else {
        return Ok(());
    };
    for index in 0..inputs.len() {
        if let Some((element, bytes)) = lane.input_bytes(index) {
            ones_where_integers(element, bytes);
        }
    }
    lane.run_raw()?;
    for (index, promised) in promised.iter().enumerate() {
        let found = lane.output(index);
        if let (Some(promised), Some(found), Some(flag)) =
            (promised, found, opened.surprising.get_mut(index))
        {
            *flag = promised != found.shape;
        }
    }
    Ok(())
}

/// Runs once more, with outputs in our memory, and lets the library's arena go.
///
/// The first run takes its memory piece by piece, twice as much each time; from the second on the library takes
/// all that a run needs as one piece, which is much less, beside it. The next run begins with an empty arena.
pub(super) fn slim(opened: &Opened) -> Result<(), Failure> {
    let Signature { inputs, outputs } = &opened.signature;
    let Ok(sizes) = extents(&opened.signature, 1) else { return Ok(()) };
    if opened.failed.is_some() || opened.surprising.contains(&true) {
        return Ok(());
    }
    let Ok(mut lane) = OrtLane::new(&opened.shared, inputs, outputs, &[sizes]) else {
        return Ok(());
    };
    for index in 0..inputs.len() {
        if let Some((element, bytes)) = lane.input_bytes(index) {
            ones_where_integers(element, bytes);
        }
    }
    lane.run_and_shrink()
}

/// A graph that divides an integer by a zero ends the process in older libraries (seen in 1.19; 1.31 answers an
/// error). Ones are no worse an input.
pub(super) fn ones_where_integers(element: Element, bytes: &mut [u8]) {
    let size = element.size_bytes().max(1);
    if matches!(
        element,
        Element::I16 | Element::U16 | Element::I32 | Element::U32 | Element::I64 | Element::U64
    ) {
        for number in bytes.chunks_exact_mut(size) {
            // Little-endian, as every processor that this runs on.
            number[0] = 1;
        }
    }
}
