//! The capture process itself: reads what to do on standard input, and writes frames on what was its standard
//! output.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::super::live::LOOK_EVERY;
use super::super::when::monotonic_ns;
use super::layout::{CAPS, layout};
use super::message::{Header, TROUBLE_BYTES_MAX, What};
use super::{COMMAND, Request};
use crate::hw::gstreamer::{Library, Pulled, Sample, Trouble};
use crate::hw::pipe;
use crate::hw::process::print_as_errors;

/// Longest request: a description and a few properties.
const REQUEST_BYTES_MAX: u64 = 256 << 10;
/// What is said of a frame's age at most: a clock that is wrong must not make frames look a day old.
const AGE_MAX: Duration = Duration::from_secs(10);

/// Serves frames until there are no more or nobody reads them. Returns the exit code, with which the process must
/// end at once: GStreamer's threads may still run.
#[must_use]
pub fn serve() -> u8 {
    match work() {
        Ok(()) => 0,
        // Whoever read frames has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            drop(writeln!(io::stderr(), "{COMMAND}: {error}"));
            1
        }
    }
}

fn work() -> io::Result<()> {
    // Without the daemon nobody would end this process.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let mut out = frames_out()?;
    let mut text = Vec::new();
    io::stdin().lock().take(REQUEST_BYTES_MAX).read_to_end(&mut text)?;
    let request: Request = serde_json::from_slice(&text)?;
    match stream(&request, &mut out) {
        Ok(()) => out.write_all(&Header { what: What::End, captured_ns: 0, bytes: 0 }.encode()),
        Err(Stopped::Out(error)) => Err(error),
        Err(Stopped::Trouble(trouble)) => {
            let most = usize::try_from(TROUBLE_BYTES_MAX).unwrap_or_default() / 8;
            let cut = |text: String| text.chars().take(most).collect::<String>();
            let (message, debug) = (cut(trouble.message), cut(trouble.debug));
            let text = serde_json::to_vec(&Trouble { message, debug, ..trouble })?;
            let bytes = u64::try_from(text.len()).unwrap_or_default();
            out.write_all(&Header { what: What::Trouble, captured_ns: 0, bytes }.encode())?;
            out.write_all(&text)
        }
    }
}

/// What was standard output, which plugins print to, becomes a file of ours; they print to standard error then.
fn frames_out() -> io::Result<std::fs::File> {
    let out = io::stdout().as_fd().try_clone_to_owned()?;
    print_as_errors()?;
    Ok(out.into())
}

/// Why no more frames are written.
enum Stopped {
    /// GStreamer, or what it gave.
    Trouble(Trouble),
    /// The pipe.
    Out(io::Error),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

fn stream(request: &Request, out: &mut std::fs::File) -> Result<(), Stopped> {
    let library = Library::open()?;
    let has_all = |needs: &[String]| needs.iter().all(|element| library.has(element));
    let chosen = request.candidates.iter().find(|candidate| has_all(&candidate.needs));
    let chosen = chosen.ok_or_else(|| unusable("no pipeline"))?;
    let text = format!("{} ! {}", chosen.text, Library::sink(CAPS));
    let pipeline = library.pipeline(&text, &request.set)?;
    pipeline.play()?;
    loop {
        match pipeline.next(LOOK_EVERY)? {
            Pulled::Sample(sample) => write(sample, out)?,
            Pulled::Nothing => {}
            Pulled::End => return Ok(()),
        }
    }
}

fn write(mut sample: Sample<'_>, out: &mut std::fs::File) -> Result<(), Stopped> {
    let (layout, expected) = layout(&sample.caps()).map_err(|why| unusable(&why))?;
    let now_ns = monotonic_ns();
    let age = u64::try_from(sample.age().min(AGE_MAX).as_nanos()).unwrap_or_default();
    let bytes = sample.bytes()?;
    if expected > bytes.len() {
        let have = bytes.len();
        return Err(unusable(&format!("a picture has {have} bytes instead of {expected}")).into());
    }
    let header = Header {
        what: What::Frame(layout),
        captured_ns: now_ns.saturating_sub(age),
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
    };
    out.write_all(&header.encode()).and_then(|()| pipe::give(out, bytes)).map_err(Stopped::Out)
}

fn unusable(why: &str) -> Trouble {
    Trouble { domain: UNUSABLE.to_owned(), code: 0, message: why.to_owned(), debug: String::new() }
}

/// [`Trouble::domain`] of pictures that cannot be used.
pub(super) const UNUSABLE: &str = "vedette-picture";
