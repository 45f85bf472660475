//! Messages that a broker did not take are there after a power cut, each once and in order.
//!
//! A process of the agent's own outbox takes in some, has the oldest acknowledged, ends and says so; another does the
//! same with what the first left, and so on. All of that is one recording, and the power is cut at each of its
//! moments. What was said to be kept must come out of what the cut leaves.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tests::{Folder, PATIENCE};
use vedette::outbox::{Class, Limits, Outbox};
use vedette::stop::Stop;
use vedette::supervisor::Supervisor;

use crate::WALKERS;
use crate::disk::{Crash, Disk};
use crate::recording::{Recorder, Step};
use crate::states::{quick, short, spread};

/// Which of the processes a process of this test is; set only for those.
const ROUND: &str = "POWER_CUT_TEST_ROUND";
const WHERE: &str = "POWER_CUT_TEST_WHERE";

/// Processes one after the other.
const ROUNDS: usize = 5;
/// Messages that each takes in, and of what was there before has acknowledged.
const TAKEN: usize = 6;
const ACKNOWLEDGED: usize = 2;
/// Bytes of a message: a few of them fill a page of the store.
const BYTES: usize = 600;
/// Most states that are opened; of more, so many spread evenly.
const STATES_MAX: usize = 400;
/// A pause in which the store may bring more.
const MOMENT: Duration = Duration::from_millis(20);

/// An outbox in `directory`, and who runs its worker.
fn open(directory: &Path) -> (Outbox, Supervisor) {
    let max_age = Duration::from_secs(3600);
    let limits = Limits { max_bytes: 1 << 20, max_age, replay_pause: Duration::ZERO };
    let outbox = Outbox::open(directory, limits);
    let supervisor = Supervisor::new(Stop::new(), tokio::runtime::Handle::current());
    outbox.start(&supervisor);
    (outbox, supervisor)
}

/// Has the oldest `count` acknowledged, fewer where there are not so many: their numbers.
async fn take(outbox: &Outbox, count: usize) -> Result<Vec<usize>> {
    let (mut numbers, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while numbers.len() < count && !outbox.is_empty() {
        ensure!(Instant::now() < deadline, "only {numbers:?} came: {:?}", outbox.figures());
        if let Some(taken) = outbox.next() {
            let text = String::from_utf8(taken.record.body.to_vec())?;
            numbers.push(text.trim().parse()?);
            outbox.acknowledged(taken.record.id);
        } else {
            drop(tokio::time::timeout(MOMENT, outbox.ready()).await);
        }
    }
    Ok(numbers)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn end(outbox: &Outbox, supervisor: &Supervisor) -> Result<()> {
    outbox.end();
    ensure!(supervisor.join_tasks(Instant::now() + PATIENCE).await, "it does not end");
    Ok(())
}

#[test]
fn one_of_the_processes_takes_messages_in() -> Result<()> {
    let [Some(round), Some(place)] = [ROUND, WHERE].map(std::env::var_os) else {
        // Only as a process of the other.
        return Ok(());
    };
    let (round, place) = (round.to_string_lossy().parse::<usize>()?, Path::new(&place));
    runtime()?.block_on(async {
        let (outbox, supervisor) = open(&place.join("device"));
        take(&outbox, ACKNOWLEDGED).await?;
        for number in (round * TAKEN)..(round * TAKEN + TAKEN) {
            outbox.push(Class::Event, "event", format!("{number:BYTES$}"));
        }
        end(&outbox, &supervisor).await
    })?;
    File::create(place.join("said").join(round.to_string()))?;
    Ok(())
}

/// What all the processes do to the disk, in order.
fn record(folder: &Folder) -> Result<(Disk, Vec<Step>)> {
    let place = folder.path().canonicalize()?.join("place");
    for directory in ["", "device", "said"] {
        std::fs::create_dir(place.join(directory))?;
    }
    let (before, mut steps) = (Disk::of(&place)?, Vec::new());
    for round in 0..ROUNDS {
        let recorder = Recorder::new(&folder.join("recording"))?;
        let (strace, args) = recorder.before(&std::env::current_exe()?)?;
        let output = Command::new(strace)
            .args(args)
            .args(["--exact", "messages::one_of_the_processes_takes_messages_in"])
            .env(ROUND, round.to_string())
            .env(WHERE, &place)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        steps.extend(recorder.end(&std::env::current_dir()?, &place)?);
    }
    Ok((before, steps))
}

/// What must come out of a state in which so many processes had said that all is kept.
fn comes_out(place: &Path, said: usize) -> Result<()> {
    let numbers = runtime()?.block_on(async {
        let (outbox, supervisor) = open(&place.join("device"));
        let numbers = take(&outbox, usize::MAX).await?;
        let figures = outbox.figures();
        // A store of which the first process had not said that it is there may be half made, and be set aside.
        let is_well = figures.quarantined == 0 && figures.damaged == 0;
        ensure!(said == 0 || is_well, "{figures:?}");
        end(&outbox, &supervisor).await?;
        Ok(numbers)
    })?;
    // The next process may have had the oldest of them acknowledged, and taken in some more.
    let must = (said * ACKNOWLEDGED)..(said * TAKEN);
    for number in must {
        ensure!(numbers.contains(&number), "{number} is lost: {numbers:?}");
    }
    ensure!(numbers.is_sorted_by(|one, next| one < next), "out of order: {numbers:?}");
    ensure!(numbers.iter().all(|number| *number < (said + 1) * TAKEN), "{numbers:?}");
    Ok(())
}

#[test]
fn a_power_cut_loses_no_message_that_was_said_to_be_kept() -> Result<()> {
    let folder = Folder::quick()?;
    let (mut disk, steps) = record(&folder)?;
    let (mut seen, mut states, mut said, mut possible) = (BTreeSet::new(), Vec::new(), 0, 0.0);
    for (moment, step) in steps.iter().enumerate() {
        disk.step(step).with_context(|| format!("step {moment}"))?;
        said += usize::from(matches!(step, Step::File(path) if path.starts_with("said")));
        let crashes = disk.crashes();
        possible += crashes.possible;
        let new = crashes.chosen.into_iter().filter(|crash| seen.insert(crash.clone()));
        states.extend(new.map(|crash| (moment, crash, said)));
    }
    ensure!(said == ROUNDS, "{said} processes came to their end");
    // Each moment that left another state, at least once; of the rest so many, spread evenly.
    let firsts = (0..states.len()).filter(|&one| one == 0 || states[one - 1].0 != states[one].0);
    let walked: BTreeSet<usize> =
        spread(states.len(), STATES_MAX).into_iter().chain(firsts).collect();
    let walked: Vec<usize> = walked.into_iter().collect();
    let places = tempfile::Builder::new().prefix("vedette-cut-").tempdir_in(quick())?;
    let next = AtomicUsize::new(0);
    let walk = |place: &Path| -> Result<()> {
        while let Some(&one) = walked.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (moment, crash, said): &(usize, Crash, usize) = &states[one];
            disk.make(crash, place)?;
            comes_out(place, *said).with_context(|| {
                let last: Vec<String> = steps[..=*moment].iter().rev().take(8).map(short).collect();
                format!("cut after {moment} steps, the last first: {}\n{crash:?}", last.join("\n"))
            })?;
            std::fs::remove_dir_all(place)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..WALKERS)
            .map(|walker| places.path().join(walker.to_string()))
            .map(|place| scope.spawn(move || walk(&place)))
            .collect();
        for walker in walkers {
            match walker.join() {
                Ok(outcome) => outcome?,
                Err(_) => bail!("a walker panicked"),
            }
        }
        Ok(())
    })?;
    println!(
        "{} steps, {} different states of {possible:.3e} possible, {} opened",
        steps.len(),
        states.len(),
        walked.len()
    );
    Ok(())
}
