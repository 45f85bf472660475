//! A model that is asked: as a bare run in this process, and as the request for the same run.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use vedette::pipeline::engine::Lane;
use vedette::pipeline::tensor::{Dim, Elements, ElementsMut};

use super::client::{self, Answer, Client};
use crate::Bench;
use crate::model::{Model, on_cpu};

/// Answers of another batch may differ in their last bits.
const TOLERANCE: f32 = 0.01;
/// Runs or requests of one turn.
const TURN: usize = 15;

pub(super) struct Subject {
    pub(super) folder: PathBuf,
    pub(super) asked: Asked,
    lane: Box<dyn Lane>,
    input: Vec<f32>,
}

/// What clients ask, and what they are to be told; a lane stays with its thread, this need not.
pub(super) struct Asked {
    pub(super) request: Vec<u8>,
    /// What the bare run gives.
    numbers: Vec<f32>,
    /// Bytes of the answer that was greeted.
    length: usize,
}

/// Times in milliseconds.
#[derive(Default)]
pub(super) struct Pairs {
    pub(super) runs: Vec<f64>,
    pub(super) requests: Vec<f64>,
}

impl Asked {
    /// Whether `answer` is one to the request, as far as is seen without reading it.
    pub(super) fn fits(&self, answer: &Answer<'_>) -> bool {
        answer.status == 200 && answer.body.len() == self.length
    }

    /// What `answer` says that the bare run does not, if anything.
    pub(super) fn fault(&self, answer: &Answer<'_>) -> Option<String> {
        let json = client::header(answer.head, "inference-header-content-length");
        let bytes = json.and_then(|json| answer.body.get(json..));
        let whole = |bytes: &&[u8]| answer.status == 200 && bytes.len() == 4 * self.numbers.len();
        let Some(bytes) = bytes.filter(whole) else {
            let said = String::from_utf8_lossy(answer.body);
            return Some(format!("{}: {said}", answer.status));
        };
        let theirs = bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four));
        let mut pairs = self.numbers.iter().copied().zip(theirs);
        let (own, theirs) = pairs.find(|(own, theirs)| !near(*own, *theirs))?;
        Some(format!("{theirs} instead of {own}"))
    }
}

impl Subject {
    /// The small model: 3 KB in, 3 KB out.
    pub(super) fn small(bench: &Bench) -> Self {
        Self::read(&bench.models.join("dense-768"))
    }

    /// The committed detector: 1.2 MB in, 67 KB out.
    pub(super) fn detector(bench: &Bench) -> Self {
        Self::read(&bench.shapes)
    }

    fn read(folder: &Path) -> Self {
        let folder = std::path::absolute(folder).unwrap();
        let engine = Model::read(&folder).engine(&on_cpu(1));
        let (input, output) = (&engine.signature().inputs[0], &engine.signature().outputs[0]);
        let rest = input.dims.iter().skip(1).map(|dim| match dim {
            Dim::Fixed(extent) => *extent,
            Dim::Free(name) => unreachable!("{name} is free"),
        });
        let shape: Vec<usize> = std::iter::once(1).chain(rest).collect();
        let input_name = input.name.clone();
        let mut lane = engine.lane(1).unwrap();
        let input = noise(shape.iter().product());
        let bytes: Vec<u8> = input.iter().flat_map(|x| x.to_le_bytes()).collect();
        let request = client::infer("it", &input_name, &output.name, &shape, &bytes);
        fill(lane.as_mut(), &input);
        lane.run().unwrap();
        let numbers = numbers(lane.as_ref());
        Self { folder, asked: Asked { request, numbers, length: 0 }, lane, input }
    }

    /// The configuration of a daemon that has this model, as `it`.
    pub(super) fn config(&self) -> String {
        format!("[models.it]\npath = {:?}\nproviders = ['cpu']\nthreads = 1\n", self.folder)
    }

    /// Times of `count` bare runs, in milliseconds.
    pub(super) fn runs(&mut self, count: usize) -> Vec<f64> {
        timed(count, || self.lane.run().unwrap())
    }

    /// Times of `count` bare runs and as many requests. They take turns, so that both find the machine alike, which is not
    /// the same from one second to the next; not after each, since who asks again and again finds its model in the
    /// processor's cache, as the loop of bare runs does.
    pub(super) fn pairs(&mut self, client: &mut Client, count: usize) -> Pairs {
        let mut pairs = Pairs::default();
        for _ in 0..count.div_ceil(TURN) {
            pairs.runs.extend(self.runs(TURN));
            let ask = || assert_eq!(client.ask(&self.asked.request).status, 200);
            pairs.requests.extend(timed(TURN, ask));
        }
        pairs
    }

    /// Bare runs a second on `processors` of them at one time.
    pub(super) fn most_hz(&self, processors: usize, time: Duration) -> f64 {
        let (model, input) = (Model::read(&self.folder), &self.input);
        let start = Barrier::new(processors);
        let run = || {
            let mut lane = model.engine(&on_cpu(1)).lane(1).unwrap();
            fill(lane.as_mut(), input);
            lane.run().unwrap();
            start.wait();
            let (began, mut runs) = (Instant::now(), 0_u32);
            while began.elapsed() < time {
                lane.run().unwrap();
                runs += 1;
            }
            f64::from(runs) / began.elapsed().as_secs_f64()
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..processors).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    }

    /// Opens the model there, and sees that it answers what the bare run gives.
    pub(super) fn greet(&mut self, port: u16) -> Client {
        let mut client = Client::open(port);
        let answer = client.ask(&self.asked.request);
        assert_eq!(self.asked.fault(&answer), None);
        self.asked.length = answer.body.len();
        client
    }
}

fn fill(lane: &mut dyn Lane, input: &[f32]) {
    let ElementsMut::F32(elements) = lane.input_mut(0).unwrap() else { unreachable!("no numbers") };
    elements.copy_from_slice(input);
}

/// What the last run gave.
fn numbers(lane: &dyn Lane) -> Vec<f32> {
    let output = lane.output(0).unwrap();
    let Elements::F32(numbers) = output.elements else { unreachable!("no numbers") };
    numbers.to_vec()
}

fn near(own: f32, theirs: f32) -> bool {
    (own - theirs).abs() <= TOLERANCE
}

/// Numbers from 0 to 1, the same each time.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(state.to_be_bytes()[0]) / 255.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn timed(count: usize, mut act: impl FnMut()) -> Vec<f64> {
    let each = |_| {
        let began = Instant::now();
        act();
        began.elapsed().as_secs_f64() * 1e3
    };
    (0..count).map(each).collect()
}
