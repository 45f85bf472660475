//! The daemon's data path in this process, from the mailbox to the queue of a sink, fed by whoever measures.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};
use vedette::pipeline::frame::Frame;
use vedette::pipeline::health::{Health, Summary};
use vedette::pipeline::latest::Desk;
use vedette::pipeline::sink::Queue;
use vedette::pipeline::worker::{Generation, Seat, Swap, Worker};
use vedette::said::Said;
use wire::{Observation, Timings};

use crate::frames::{Format, Frames};
use crate::table::median;

/// More observations than any row makes before it takes them.
const QUEUE: usize = 1 << 15;

/// Frames at the start of a round that are not counted: the threads were asleep.
const WARM_UP: usize = 2;

/// A data path that runs.
pub(crate) struct DataPath {
    pub(crate) desk: Arc<Desk>,
    pub(crate) swap: Swap,
    health: Arc<Health>,
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    taker: tokio::runtime::Runtime,
    frame: Frame,
    seq: u64,
}

/// What some frames in a row took.
pub(crate) struct Round {
    /// Median time from frame to frame.
    pub(crate) frame_ms: f64,
    /// Median of that time without the model's run.
    pub(crate) outside_ms: f64,
    /// Frames a second.
    pub(crate) fps: f64,
    /// Processor time a frame, without that of the thread that feeds.
    pub(crate) cpu_ms: f64,
    /// Median of the first step.
    pub(crate) preprocess_ms: f64,
    /// Median of the step after the run, without writing it down.
    pub(crate) postprocess_ms: f64,
}

impl DataPath {
    /// Starts it with `first`. Without a rate every frame waits for its turn; with one the newest wins.
    pub(crate) fn start(first: Generation, rate_hz: Option<f64>) -> Self {
        let desk = Arc::new(Desk::new(&[rate_hz]));
        let (queue, health) = (Arc::new(Queue::new(QUEUE)), Arc::<Health>::default());
        let outlets = vec![(queue.clone(), "bench".into())];
        let seat = Seat {
            pipeline: "bench".into(),
            outlets,
            health: health.clone(),
            door: Arc::default(),
            analysis: Arc::default(),
            watch: Arc::default(),
            twin: None,
        };
        let (reaper, old) = sync_channel(8);
        let build = || unreachable!("nothing fails here");
        let said = Arc::new(Said::new());
        let mut worker = Worker::new(desk.clone(), vec![seat], Box::new(build), reaper, said);
        let swap = worker.swap();
        swap.hand_over(first);
        let threads = vec![
            std::thread::spawn(move || worker.work().unwrap()),
            std::thread::spawn(move || old.into_iter().for_each(drop)),
        ];
        let taker = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (frame, seq) = (Frame::default(), 0);
        Self { desk, swap, health, queue, threads, taker, frame, seq }
    }

    /// Feeds `count` frames as fast as they are taken.
    ///
    /// A frame is accepted when the one before it is taken, which is when the one before that is finished: the
    /// time from one acceptance to the next is the time that a whole frame took.
    pub(crate) fn round(&mut self, frames: &Frames, format: Format, count: usize) -> Round {
        let (mut accepted, mut cpu) = (Vec::with_capacity(count + WARM_UP + 2), Vec::new());
        for number in 0..count + WARM_UP + 2 {
            self.frame = frames.next(format, self.seq);
            self.seq += 1;
            assert!(self.desk.post(0, &mut self.frame));
            accepted.push(Instant::now());
            if number == WARM_UP + 1 {
                cpu.push(busy());
            }
        }
        cpu.push(busy());
        let times: Vec<Duration> = accepted.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let times = &times[WARM_UP + 1..];
        let all: Duration = times.iter().sum();
        let frame_ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        let timings = self.timings(accepted.len()).split_off(WARM_UP);
        let step = |of: fn(&Timings) -> f32| -> Vec<f64> {
            timings.iter().take(count).map(|timings| f64::from(of(timings))).collect()
        };
        let run_ms = step(|timings| timings.inference_ms);
        let outside: Vec<f64> =
            frame_ms.iter().zip(&run_ms).map(|(frame_ms, run_ms)| frame_ms - run_ms).collect();
        let frames = f64::from(u32::try_from(count).unwrap());
        Round {
            frame_ms: median(&frame_ms),
            outside_ms: median(&outside),
            fps: frames / all.as_secs_f64(),
            cpu_ms: (cpu[1] - cpu[0]).as_secs_f64() * 1e3 / frames,
            preprocess_ms: median(&step(|timings| timings.preprocess_ms)),
            postprocess_ms: median(&step(|timings| timings.postprocess_ms)),
        }
    }

    /// Waits until every frame that was fed is finished, and takes the timings of the last `count`.
    fn timings(&self, count: usize) -> Vec<Timings> {
        while self.health.summary().inferred < self.seq {
            std::thread::sleep(Duration::from_micros(200));
        }
        let mut timings = Vec::with_capacity(count);
        self.take(count, |seen| timings.push(seen.timings));
        timings
    }

    /// Takes `count` observations, waiting for them.
    pub(crate) fn take(&self, count: usize, mut see: impl FnMut(&Observation<'_>)) {
        self.taker.block_on(async {
            for _ in 0..count {
                let record = self.queue.pop().await.unwrap();
                see(&serde_json::from_slice(&record.body).unwrap());
                self.queue.recycle(record);
            }
        });
    }

    /// What was counted so far.
    pub(crate) fn health(&self) -> Summary {
        self.health.summary()
    }
}

impl Drop for DataPath {
    fn drop(&mut self) {
        self.desk.close();
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Processor time of all threads but this one.
fn busy() -> Duration {
    spent(ClockId::ProcessCPUTime).saturating_sub(spent(ClockId::ThreadCPUTime))
}

/// Processor time by `clock`: this thread's, or this process's.
pub(crate) fn spent(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(tv_sec.try_into().unwrap(), tv_nsec.try_into().unwrap())
}
