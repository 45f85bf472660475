//! What those who look cost: `/metrics`, and the device's page beside the encoding of its pictures.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::time::ClockId;
use vedette::hw::jpeg::Encoder;
use vedette::pipeline::frame::Frame;
use vedette::pipeline::source::Next;
use vedette::pipeline::yuv::{Reader, Yuv};
use vedette::stop::Stop;

use super::client::{Client, get};
use super::live::{await_frames, camera};
use super::subject::Subject;
use crate::Bench;
use crate::daemon::Daemon;
use crate::model::build;
use crate::path::spent;
use crate::quiet::{Plan, rounds};
use crate::table::{Goal, Row, median, quantile};

/// People who look: as many streams as there may be.
const VIEWERS: u32 = 4;
/// Pictures a second that the page asks for.
const PICTURES_HZ: f64 = 10.0;
/// How good a picture is, as the daemon has it.
const QUALITY: u8 = 80;
/// What the page asks for beside its stream, and how often.
const ASKS: [(&str, Duration); 4] = [
    ("/v1/status", Duration::from_secs(2)),
    ("/v1/slow", Duration::from_secs(2)),
    ("/v1/log", Duration::from_secs(2)),
    ("/v1/history", Duration::from_secs(10)),
];
/// How often somebody who looks is thought of.
const TICK: Duration = Duration::from_millis(50);

/// Both.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let mut subject = Subject::detector(bench);
    vec![metrics(bench, &mut subject), page(bench, &subject)]
}

/// The time of one answer, of a daemon with a camera, with requests to models and all routes behind it.
fn metrics(bench: &Bench, subject: &mut Subject) -> Row {
    let config = [subject.config(), camera()].concat();
    let daemon = Daemon::with_api(bench, "", &config);
    await_frames(daemon.port);
    let mut client = subject.greet(daemon.port);
    for (path, _) in ASKS {
        assert_eq!(client.ask(&get(path)).status, 200, "{path}");
    }
    let (request, mut bytes, mut all) = (get("/metrics"), 0, Vec::new());
    let count = bench.either(200, 20);
    let rounds = rounds(bench.plan(), &[daemon.pid()], || {
        let times: Vec<f64> = (0..count)
            .map(|_| {
                let began = Instant::now();
                bytes = client.ask(&request).body.len();
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        all.extend_from_slice(&times);
        median(&times)
    });
    Row {
        name: "/metrics, median ms, beside a camera of 30 fps".to_owned(),
        rounds: rounds.each(|time| *time),
        goal: Goal::AtMost(1.0),
        peer: format!(
            "{bytes} bytes; p99 of all rounds {:.2} ms; {}",
            quantile(&all, 0.99),
            rounds.how
        ),
    }
}

/// One round: processors that the daemon took, and what explains them.
struct Sample {
    /// Nobody looks.
    without: f64,
    /// All that pages ask for, but their streams.
    asking: f64,
    /// That and the streams.
    with: f64,
    shown_hz: f64,
    encode_ms: f64,
}

impl Sample {
    fn take(daemon: &Daemon, time: Duration) -> Self {
        let encode_ms = encoding();
        let without = share(daemon, time, &mut |_| {});
        let (asking, _) = looked_at(daemon, time, 0);
        let (with, shown_hz) = looked_at(daemon, time, VIEWERS);
        Self { without, asking, with, shown_hz, encode_ms }
    }

    /// Percent of a processor that one who looks costs, without the encoding of what he sees.
    fn beyond(&self) -> f64 {
        let encoding = self.shown_hz * self.encode_ms / 1e3;
        let viewers = f64::from(VIEWERS);
        // As if each had been shown as many pictures as he asked for.
        let scale = PICTURES_HZ * viewers / self.shown_hz;
        let streams = (self.with - self.asking - encoding) * scale;
        100.0 * (self.asking - self.without + streams) / viewers
    }
}

/// The daemon's processor time with people who look, less that without, less the encoding of what they see.
fn page(bench: &Bench, subject: &Subject) -> Row {
    // What runs the model is no matter, and would be noise.
    let config =
        format!("[models.it]\npath = {:?}\nengine = 'shadow'\nlatency_us = 1000\n", subject.folder);
    let daemon = Daemon::with_api(bench, "", &[config, camera()].concat());
    await_frames(daemon.port);
    let time = bench.either(Duration::from_secs(10), Duration::from_secs(1));
    let plan = bench.either(Plan { enough: 5, most: 12 }, Plan { enough: 1, most: 1 });
    let rounds = rounds(plan, &[daemon.pid()], || Sample::take(&daemon, time));
    let middle = |of: fn(&Sample) -> f64| median(&rounds.each(of));
    Row {
        name: "the page, % of a processor a viewer at 10 fps, beyond JPEG, 720p".to_owned(),
        rounds: rounds.each(Sample::beyond),
        goal: Goal::AtMost(2.0),
        peer: format!(
            "{VIEWERS} viewers: {:.1} % with, {:.1} % without their streams, {:.1} % without them; \
             {:.0} pictures/s, their part scaled to {:.0}; JPEG {:.2} ms each; {}",
            middle(|round| 100.0 * round.with),
            middle(|round| 100.0 * round.asking),
            middle(|round| 100.0 * round.without),
            middle(|round| round.shown_hz),
            PICTURES_HZ * f64::from(VIEWERS),
            middle(|round| round.encode_ms),
            rounds.how
        ),
    }
}

/// The daemon's share of a processor while pages ask, so many of them with a stream, and pictures a second.
fn looked_at(daemon: &Daemon, time: Duration, streams: u32) -> (f64, f64) {
    let mut watched = Watched::open(daemon.port, streams);
    // The first pictures are on their way.
    std::thread::sleep(TICK);
    let (mut pictures, mut asked) = (0, Duration::ZERO);
    let share = share(daemon, time, &mut |at| {
        pictures += watched.take();
        watched.ask(asked, at);
        asked = at;
    });
    (share, f64::from(u32::try_from(pictures).unwrap()) / time.as_secs_f64())
}

/// The daemon's share of a processor during `time`, while `tick` is called again and again.
fn share(daemon: &Daemon, time: Duration, tick: &mut dyn FnMut(Duration)) -> f64 {
    let (began, before) = (Instant::now(), daemon.busy());
    while began.elapsed() < time {
        tick(began.elapsed());
        std::thread::sleep(TICK);
    }
    (daemon.busy() - before).as_secs_f64() / began.elapsed().as_secs_f64()
}

/// Milliseconds of a processor that one picture's encoding takes, without reading the frame and drawing in it.
fn encoding() -> f64 {
    let text = "kind = 'pattern'\nwidth = 1280\nheight = 720\nformat = 'nv12'\npace = 'free'\n";
    let mut source = build(vedette::kinds::SOURCES, text).open().unwrap();
    let (mut frame, mut picture, mut jpeg) = (Frame::default(), Yuv::default(), Vec::new());
    assert_eq!(source.next(&mut frame, &Stop::new()).unwrap(), Next::Frame);
    Reader::default().read(&frame, frame.width, &mut picture).unwrap();
    let mut encoder = Encoder::new().unwrap();
    let times: Vec<f64> = (0..40)
        .map(|_| {
            let before = spent(ClockId::ThreadCPUTime);
            let (planes, width, height) = (picture.planes(), frame.width, frame.height);
            encoder.encode_planes(planes, width, height, QUALITY, &mut jpeg).unwrap();
            (spent(ClockId::ThreadCPUTime) - before).as_secs_f64() * 1e3
        })
        .collect();
    median(&times)
}

/// Pages that are open.
struct Watched {
    streams: Vec<TcpStream>,
    others: Client,
    buffer: Vec<u8>,
}

impl Watched {
    fn open(port: u16, streams: u32) -> Self {
        let request = get("/v1/pipelines/door/live.mjpg?fps=10");
        let streams = (0..streams).map(|_| {
            let stream = Client::open(port).watch(&request);
            stream.set_nonblocking(true).unwrap();
            stream
        });
        Self { streams: streams.collect(), others: Client::open(port), buffer: vec![0; 1 << 20] }
    }

    /// How many pictures have come.
    fn take(&mut self) -> usize {
        let mut pictures = 0;
        for stream in &mut self.streams {
            while let Ok(count @ 1..) = stream.read(&mut self.buffer) {
                let parts = self.buffer[..count].windows(16).filter(|w| *w == b"--vedette-frame\r");
                pictures += parts.count();
            }
        }
        pictures
    }

    /// Asks for all that pages ask for from `from` to before `to`: at once on opening, and after each period.
    fn ask(&mut self, from: Duration, to: Duration) {
        for (path, period) in ASKS {
            let until = |at: Duration| at.as_nanos().div_ceil(period.as_nanos());
            for _ in 0..u128::from(VIEWERS) * (until(to) - until(from)) {
                assert_eq!(self.others.ask(&get(path)).status, 200, "{path}");
            }
        }
    }
}
