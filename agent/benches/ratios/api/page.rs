//! What those who look cost: `/metrics`, and the device's page beside the encoding of its pictures.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};
use vedette::hw::jpeg::Encoder;
use vedette::pipeline::frame::Frame;
use vedette::pipeline::rgb;
use vedette::pipeline::source::Next;
use vedette::stop::Stop;

use super::client::{Client, get};
use super::live::CAMERA;
use super::subject::Subject;
use crate::Bench;
use crate::daemon::Daemon;
use crate::model::build;
use crate::quiet::{Plan, rounds};
use crate::table::{Goal, Row, median, quantile};

/// People who look: as many streams as there may be.
const VIEWERS: usize = 4;
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
    let config = [subject.config().as_str(), CAMERA].concat();
    let daemon = Daemon::with_api(bench, "", &config);
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

/// The daemon's processor time with people who look, less that without, less the encoding of what they see.
fn page(bench: &Bench, subject: &Subject) -> Row {
    // What runs the model is no matter, and would be noise.
    let config =
        format!("[models.it]\npath = {:?}\nengine = 'shadow'\nlatency_us = 1000\n", subject.folder);
    let daemon = &Daemon::with_api(bench, "", &[&config, CAMERA].concat());
    let encode_ms = encoding();
    let time = bench.either(Duration::from_secs(4), Duration::from_secs(1));
    let plan = bench.either(Plan { enough: 5, most: 12 }, Plan { enough: 1, most: 1 });
    let rounds = rounds(plan, &[daemon.pid()], || {
        let without = share(daemon, time, &mut |_| {});
        let mut watched = Watched::open(daemon.port);
        // The first pictures are on their way.
        std::thread::sleep(TICK);
        let (mut pictures, mut asked) = (0, Duration::ZERO);
        let with = share(daemon, time, &mut |at| {
            pictures += watched.take();
            watched.ask(asked, at);
            asked = at;
        });
        let pictures = f64::from(u32::try_from(pictures).unwrap());
        let shown_hz = pictures / time.as_secs_f64();
        let encoding = shown_hz * encode_ms / 1e3;
        let viewers = f64::from(u32::try_from(VIEWERS).unwrap());
        // As if each had been shown as many pictures as he asked for.
        let scale = PICTURES_HZ * viewers / shown_hz;
        (
            100.0 * (with - without - encoding) / viewers * scale,
            100.0 * with,
            100.0 * without,
            shown_hz,
        )
    });
    let middle = |of: fn(&(f64, f64, f64, f64)) -> f64| median(&rounds.each(of));
    Row {
        name: "the page, % of a processor a viewer at 10 fps, beyond JPEG, 720p".to_owned(),
        rounds: rounds.each(|round| round.0),
        goal: Goal::AtMost(2.0),
        peer: format!(
            "{VIEWERS} viewers: {:.1} % with, {:.1} % without; {:.0} pictures/s; JPEG {encode_ms:.2} ms each; {}",
            middle(|round| round.1),
            middle(|round| round.2),
            middle(|round| round.3),
            rounds.how
        ),
    }
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

/// Milliseconds of a processor that one picture's encoding takes, without making it RGB and drawing in it.
fn encoding() -> f64 {
    let text = "kind = 'pattern'\nwidth = 1280\nheight = 720\nformat = 'nv12'\npace = 'free'\n";
    let mut source = build(vedette::kinds::SOURCES, text).open().unwrap();
    let (mut frame, mut pixels, mut jpeg) = (Frame::default(), Vec::new(), Vec::new());
    assert_eq!(source.next(&mut frame, &Stop::new()).unwrap(), Next::Frame);
    rgb::to_rgb(&frame, &mut pixels).unwrap();
    let mut encoder = Encoder::new().unwrap();
    let times: Vec<f64> = (0..40)
        .map(|_| {
            let before = spent();
            encoder.encode_rgb(&pixels, frame.width, frame.height, QUALITY, &mut jpeg).unwrap();
            (spent() - before).as_secs_f64() * 1e3
        })
        .collect();
    median(&times)
}

/// Processor time of this thread.
fn spent() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(tv_sec.try_into().unwrap(), tv_nsec.try_into().unwrap())
}

/// Pages that are open.
struct Watched {
    streams: Vec<TcpStream>,
    others: Client,
    buffer: Vec<u8>,
}

impl Watched {
    fn open(port: u16) -> Self {
        let request = get("/v1/pipelines/door/live.mjpg?fps=10");
        let streams = (0..VIEWERS).map(|_| {
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

    /// Asks for all that pages ask for between `from` and `to`.
    fn ask(&mut self, from: Duration, to: Duration) {
        for (path, period) in ASKS {
            let due = to.as_nanos() / period.as_nanos() - from.as_nanos() / period.as_nanos();
            for _ in 0..u128::try_from(VIEWERS).unwrap() * due {
                assert_eq!(self.others.ask(&get(path)).status, 200, "{path}");
            }
        }
    }
}
