//! The capture process itself: reads what to do on standard input, and the answers to large frames after it; says on
//! what was its standard output which frames there are.

use std::fs::File;
use std::io::{self, BufRead, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::super::live::LOOK_EVERY;
use super::super::when::monotonic_ns;
use super::layout::{CAPS, layout};
use super::message::{HAVE_IT, Header, LENT_BYTES_MIN, TROUBLE_BYTES_MAX, WRITE_IT, What};
use super::{COMMAND, Request};
use crate::hw::gstreamer::{Library, Pulled, Sample, Trouble};
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
    let (mut text, mut answers) = (Vec::new(), io::stdin().lock());
    answers.by_ref().take(REQUEST_BYTES_MAX).read_until(b'\n', &mut text)?;
    let request: Request = serde_json::from_slice(&text)?;
    let header = |what, bytes| Header { what, captured_ns: 0, bytes, at: 0 }.encode();
    match stream(&request, &mut out, &mut answers) {
        Ok(()) => out.write_all(&header(What::End, 0)),
        Err(Stopped::Out(error)) => Err(error),
        Err(Stopped::Trouble(trouble)) => {
            let most = usize::try_from(TROUBLE_BYTES_MAX).unwrap_or_default() / 8;
            let cut = |text: String| text.chars().take(most).collect::<String>();
            let (message, debug) = (cut(trouble.message), cut(trouble.debug));
            let text = serde_json::to_vec(&Trouble { message, debug, ..trouble })?;
            let bytes = u64::try_from(text.len()).unwrap_or_default();
            out.write_all(&header(What::Trouble, bytes))?;
            out.write_all(&text)
        }
    }
}

/// What was standard output, which plugins print to, becomes a file of ours; they print to standard error then.
fn frames_out() -> io::Result<File> {
    let out = io::stdout().as_fd().try_clone_to_owned()?;
    print_as_errors()?;
    Ok(out.into())
}

/// Why no more frames are written.
enum Stopped {
    /// GStreamer, or what it gave.
    Trouble(Trouble),
    /// The pipes.
    Out(io::Error),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

fn stream(request: &Request, out: &mut File, answers: &mut impl BufRead) -> Result<(), Stopped> {
    let library = Library::open()?;
    let has_all = |needs: &[String]| needs.iter().all(|element| library.has(element));
    let chosen = request.candidates.iter().find(|candidate| has_all(&candidate.needs));
    let chosen = chosen.ok_or_else(|| unusable("no pipeline"))?;
    let text = format!("{} ! {}", chosen.text, Library::sink(CAPS));
    let pipeline = library.pipeline(&text, &request.set)?;
    pipeline.play()?;
    loop {
        match pipeline.next(LOOK_EVERY)? {
            Pulled::Sample(sample) => show(sample, out, answers)?,
            Pulled::Nothing => {}
            Pulled::End => return Ok(()),
        }
    }
}

fn show(mut sample: Sample<'_>, out: &mut File, answers: &mut impl BufRead) -> Result<(), Stopped> {
    let (layout, expected) = layout(&sample.caps()).map_err(|why| unusable(&why))?;
    let now_ns = monotonic_ns();
    let age = u64::try_from(sample.age().min(AGE_MAX).as_nanos()).unwrap_or_default();
    let bytes = sample.bytes()?;
    if expected > bytes.len() {
        let have = bytes.len();
        return Err(unusable(&format!("a picture has {have} bytes instead of {expected}")).into());
    }
    let captured_ns = now_ns.saturating_sub(age);
    give(What::Frame(layout), captured_ns, bytes, out, answers).map_err(Stopped::Out)
}

/// Gives a frame to the daemon, and returns once it has it.
pub(super) fn give(
    what: What,
    captured_ns: u64,
    frame: &[u8],
    out: &mut File,
    answers: &mut impl BufRead,
) -> io::Result<()> {
    let bytes = u64::try_from(frame.len()).unwrap_or(u64::MAX);
    if frame.len() < LENT_BYTES_MIN {
        out.write_all(&Header { what, captured_ns, bytes, at: 0 }.encode())?;
        return out.write_all(frame);
    }
    let at = u64::try_from(frame.as_ptr().expose_provenance()).unwrap_or_default();
    out.write_all(&Header { what, captured_ns, bytes, at }.encode())?;
    let mut answer = [0];
    match answers.read_exact(&mut answer).map(|()| answer) {
        Ok([HAVE_IT]) => Ok(()),
        Ok([WRITE_IT]) => out.write_all(frame),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        // Nobody will ask any more.
        Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

fn unusable(why: &str) -> Trouble {
    Trouble { domain: UNUSABLE.to_owned(), code: 0, message: why.to_owned(), debug: String::new() }
}

/// [`Trouble::domain`] of pictures that cannot be used.
pub(super) const UNUSABLE: &str = "vedette-picture";
