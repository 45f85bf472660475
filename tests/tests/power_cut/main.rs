//! The power goes at any moment of what a real daemon does, and comes back: the device stands on a whole, verified
//! release, knows what it had seen, and goes on to the end without help. Also if the power goes again meanwhile.
//!
//! Each test records with strace what the daemon does to its state directory in one chapter of a device's life,
//! and takes every moment of it. [`disk`] says what a cut there can leave; each such state is checked as it is,
//! shown an older view of the fleet, walked to its end by the agent's own modules and checked again. From some,
//! spread evenly, the walk is recorded too and cut at every moment, and from some the real daemon is started.

mod disk;
mod messages;
mod recording;
mod recovery;
mod states;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::heard::exactly;
use tests::{Bench, Daemon, Ended, Fleet, Kind, Launch, PATIENCE, onnx, places};
use wire::release::CHUNK_BYTES;
use wire::{ModelState, Phase};

use crate::disk::Disk;
use crate::recording::{Recorder, Step};
use crate::recovery::{BAD, Memory, Signed, check, recover, replay};
use crate::states::{State, States, quick, spread};

/// Most states of one chapter that are walked to their end; of more, so many spread evenly.
const STATES_MAX: usize = 200;
/// Recoveries that are recorded and cut again, of each chapter.
const SECOND_CUTS: usize = 3;
/// Most states of one recovery that are walked to their end.
const SECOND_STATES_MAX: usize = 30;
/// States of each chapter that the real daemon starts from.
const DAEMONS: usize = 1;
/// Walks at the same time.
const WALKERS: usize = 2;

/// Where the process that this test starts is to recover; set only for that.
const STATE: &str = "POWER_CUT_TEST_STATE";
const ROOT: &str = "POWER_CUT_TEST_ROOT";
const BUNDLE: &str = "POWER_CUT_TEST_BUNDLE";

const SOURCE: &str = r#"kind = "pattern", width = 64, height = 64, rate_hz = 30, format = "nv12""#;

/// One device's life.
struct Life {
    bench: Bench,
    fleet: Fleet,
    signed: Signed,
    config: String,
    /// Bundles of the view before, and of the one now.
    old: PathBuf,
    new: PathBuf,
}

/// What was recorded: the disk before, and what happened.
struct Chapter {
    name: &'static str,
    before: Disk,
    steps: Vec<Step>,
    right: Right,
}

impl Life {
    /// A device that has its configured model only, and a fleet with the release 1.0.1, which nobody takes.
    fn new() -> Result<Self> {
        let (bench, fleet) = (Bench::new()?, Fleet::new()?);
        tests::fleet::write_model(&bench.folder, BRIGHTNESS, &onnx::brightness(13), "1.0.0", 0.5)?;
        let model = bench::model(BRIGHTNESS, BRIGHTNESS) + "release = \"brightness\"\n";
        let pipeline = bench::pipeline("door", BRIGHTNESS, SOURCE, "");
        let config = fleet.update() + &model + &pipeline;
        std::fs::create_dir(bench.folder.join("state"))?;
        let signed = Signed::new(&fleet);
        let (old, new) = (fleet.folder().join("old.tar"), fleet.folder().join("new.tar"));
        let mut life = Self { bench, fleet, signed, config, old, new };
        life.publish("1.0.1", Kind::Good)?;
        Ok(life)
    }

    /// A release of two chunks and some small files.
    fn publish(&mut self, version: &str, kind: Kind) -> Result<()> {
        let length = usize::try_from(CHUNK_BYTES)? + (64 << 10);
        self.fleet.folder().write(&format!("m-{version}/weights.bin"), vec![7_u8; length])?;
        self.fleet.release(version, kind, 1)?;
        self.noted()
    }

    /// The view of the fleet is another one now.
    fn noted(&mut self) -> Result<()> {
        if self.new.exists() {
            std::fs::copy(&self.new, &self.old)?;
            std::fs::remove_file(&self.new)?;
        }
        self.fleet.must(&["bundle", "repo", "new.tar", "--model", BRIGHTNESS])?;
        self.signed.note(&self.fleet)
    }

    fn state(&self) -> Result<PathBuf> {
        Ok(self.bench.folder.path().canonicalize()?.join("state"))
    }

    /// Runs `vedette` with `args` to its end.
    fn vedette(&self, args: &[&str]) -> Result<Ended> {
        let args: Vec<&str> = args.iter().copied().chain(["--config", "vedette.toml"]).collect();
        Launch::test(&self.bench.folder, &args)?.start()?.wait_exit(PATIENCE)
    }

    /// Lets the daemon run while `act` is done.
    fn run(&self, act: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.bench.listener.take();
        let mut daemon = self.bench.start(&self.config)?;
        act(self)?;
        ended_well(&mut daemon)
    }

    /// The same, and what it does to its disk.
    fn record(
        &self,
        name: &'static str,
        right: Right,
        act: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Chapter> {
        let before = Disk::of(&self.state()?)?;
        self.bench.folder.write("vedette.toml", self.bench.head() + &self.config)?;
        self.bench.listener.take();
        let recorder = Recorder::new(&self.bench.folder.join("recording"))?;
        let (strace, args) = recorder.before(&places::vedette()?)?;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let args = [&args[..], &["run", "--config", "vedette.toml"]].concat();
        let folder = self.bench.folder.path();
        let mut daemon = Launch::new(&strace, &places::onnxruntime()?, folder, &args).start()?;
        daemon.wait_log(bench::RUNNING, PATIENCE)?;
        act(self)?;
        ended_well(&mut daemon)?;
        let steps = recorder.end(&folder.canonicalize()?, &self.state()?)?;
        ensure!(!steps.is_empty(), "strace saw nothing");
        Ok(Chapter { name, before, steps, right })
    }

    /// Waits until the slot rests with `installed`, and `refused` refused.
    fn rests(&self, installed: Option<&str>, refused: Option<&str>) -> Result<()> {
        let topic = self.bench.topics.model_state(BRIGHTNESS);
        let what = format!("{installed:?} installed and {refused:?} refused");
        self.bench.listener.wait(&what, PATIENCE * 2, |messages| {
            let last = messages.iter().rev().find(|message| message.topic == topic)?;
            let state: ModelState<'_> = exactly(&last.body).ok()?;
            let good = state.installed.as_ref().map(|one| one.version.as_str());
            let bad = state.refused.as_ref().map(|one| one.release.version.as_str());
            (state.phase == Phase::Idle && good == installed && bad == refused).then_some(())
        })
    }

    /// Publishes 2.0.0 and has the device take it.
    fn with_a_release(mut self) -> Result<Self> {
        self.publish("2.0.0", Kind::Good)?;
        self.run(|life| life.look().and_then(|()| life.rests(Some("2.0.0"), None)))?;
        Ok(self)
    }

    /// The files of the repository.
    fn targets(&self) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(self.fleet.folder().join("repo/targets"))?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }

    /// Waits until the device has an offer of which a file does not come.
    fn waits_for_a_file(&self) -> Result<()> {
        let topic = self.bench.topics.model_state(BRIGHTNESS);
        self.bench.listener.wait("a file that does not come", PATIENCE, |messages| {
            let last = messages.iter().rev().find(|message| message.topic == topic)?;
            let state: ModelState<'_> = exactly(&last.body).ok()?;
            (state.phase == Phase::Fetching && state.check_error.is_some()).then_some(())
        })
    }

    fn look(&self) -> Result<()> {
        self.bench.listener.say(&self.bench.topics.model_install(BRIGHTNESS), "now")
    }

    /// Cuts the power at every moment of `chapter`.
    fn cut(&self, chapter: &Chapter) -> Result<()> {
        let states = States::of(&chapter.before, &chapter.steps)?;
        let walked = spread(states.found.len(), STATES_MAX);
        let places = tempfile::Builder::new().prefix("vedette-cut-").tempdir_in(quick())?;
        let next = AtomicUsize::new(0);
        let outcome = std::thread::scope(|scope| {
            let walkers: Vec<_> = (0..WALKERS)
                .map(|walker| {
                    let (walked, states, next) = (&walked, &states, &next);
                    let place = places.path().join(walker.to_string());
                    scope.spawn(move || {
                        while let Some(&one) = walked.get(next.fetch_add(1, Ordering::Relaxed)) {
                            self.survives(chapter, states, &states.found[one], &place)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            walkers.into_iter().try_for_each(|walker| walker.join().expect("a walker panicked"))
        });
        let outcome: Result<()> = outcome;
        outcome?;
        let again = self.cut_again(chapter, &states, places.path())?;
        let daemons = self.restart(chapter, &states)?;
        #[expect(clippy::print_stdout, reason = "the numbers are what an enumeration is for")]
        {
            println!(
                "{}: {} steps, {} different states of {:.3e} possible, {} walked; {again} states of recoveries \
                 that were cut; {daemons} daemons",
                chapter.name,
                chapter.steps.len(),
                states.found.len(),
                states.possible,
                walked.len(),
            );
        }
        Ok(())
    }

    /// What must hold of one state, and of the way from it to the end.
    fn survives(
        &self,
        chapter: &Chapter,
        states: &States,
        state: &State,
        place: &Path,
    ) -> Result<()> {
        states.last.make(&state.crash, place)?;
        let survived = self.walk(place, &state.least, chapter.right);
        if let Err(error) = survived {
            return Err(error.context(format!("{}, cut at step {}", chapter.name, state.moment)));
        }
        Ok(std::fs::remove_dir_all(place)?)
    }

    fn walk(&self, place: &Path, least: &Memory, right: Right) -> Result<()> {
        let begin = check(&self.signed, place, Some(least)).context("as it was left")?;
        replay(&self.signed, place, &self.old)?;
        recover(&self.root(), place, &self.new).context("on the way to the end")?;
        let end = check(&self.signed, place, Some(&begin)).context("at the end")?;
        ensure!(end.record.phase == Phase::Idle && right(&begin, &end), "{begin:?} became {end:?}");
        ensure!(replay(&self.signed, place, &self.old).is_ok(), "an older view at the end");
        Ok(())
    }

    fn root(&self) -> PathBuf {
        self.fleet.folder().join("keys/root.json")
    }

    /// Recovers from some of the states in a process of its own, and cuts that at every moment, too.
    fn cut_again(&self, chapter: &Chapter, states: &States, places: &Path) -> Result<usize> {
        let mut walked = 0;
        for one in spread(states.found.len(), SECOND_CUTS) {
            let (first, place) = (&states.found[one], places.join("again"));
            states.last.make(&first.crash, &place)?;
            let before = Disk::of(&place)?;
            let recorder = Recorder::new(&places.join("recording"))?;
            let (strace, args) = recorder.before(&std::env::current_exe()?)?;
            let output = Command::new(strace)
                .args(args)
                .args(["--exact", "a_device_recovers_from_wherever_it_stands"])
                .env(STATE, &place)
                .env(ROOT, self.root())
                .env(BUNDLE, &self.new)
                .output()?;
            let said = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "cut at step {}: {said}", first.moment);
            let steps = recorder.end(places, &place)?;
            std::fs::remove_dir_all(&place)?;
            let name = format!("the recovery of {} from step {}", chapter.name, first.moment);
            let again = States::of(&before, &steps)?;
            for second in spread(again.found.len(), SECOND_STATES_MAX) {
                let second = &again.found[second];
                again.last.make(&second.crash, &place)?;
                let right = |_: &Memory, _: &Memory| true;
                let survived = self.walk(&place, &second.least, right);
                survived.with_context(|| format!("{name}, cut at step {}", second.moment))?;
                let end = Memory::of(&place)?;
                ensure!((chapter.right)(&first.least, &end), "{name}: {end:?}");
                std::fs::remove_dir_all(&place)?;
                walked += 1;
            }
        }
        Ok(walked)
    }

    /// Starts the real daemon from some of the states: it comes to the end by itself.
    fn restart(&self, chapter: &Chapter, states: &States) -> Result<usize> {
        let chosen = spread(states.found.len(), DAEMONS + 2);
        let inner = &chosen[1..chosen.len() - 1];
        for &one in inner {
            let (first, state) = (&states.found[one], self.state()?);
            std::fs::remove_dir_all(&state)?;
            states.last.make(&first.crash, &state)?;
            let begin = Memory::of(&state)?;
            self.run(|life| {
                life.look()?;
                life.bench.listener.wait("its end", PATIENCE * 2, |_| {
                    let end = Memory::of(&state).ok()?;
                    let rests = end.record.phase == Phase::Idle;
                    (rests && (chapter.right)(&begin, &end)).then_some(())
                })
            })
            .with_context(|| format!("{}, cut at step {}", chapter.name, first.moment))?;
            check(&self.signed, &state, Some(&begin))?;
        }
        Ok(inner.len())
    }
}

/// Whether the end of a walk is right, by what was remembered at its begin.
type Right = fn(&Memory, &Memory) -> bool;

fn ended_well(daemon: &mut Daemon) -> Result<()> {
    let ended = daemon.stop()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

#[test]
fn a_device_recovers_from_wherever_it_stands() -> Result<()> {
    let [Some(state), Some(root), Some(bundle)] = [STATE, ROOT, BUNDLE].map(std::env::var_os)
    else {
        // Only as a process of the others.
        return Ok(());
    };
    recover(Path::new(&root), Path::new(&state), Path::new(&bundle)).map(drop)
}

#[test]
fn a_power_cut_in_an_install_ends_on_the_release() -> Result<()> {
    let mut life = Life::new()?;
    life.publish("2.0.0", Kind::Good)?;
    let right: Right = |_, end| end.version() == Some("2.0.0");
    let chapter = life.record("an install", right, |life| {
        life.look()?;
        life.rests(Some("2.0.0"), None)
    })?;
    life.cut(&chapter)
}

#[test]
fn a_power_cut_in_a_refresh_forgets_nothing_that_was_seen() -> Result<()> {
    let mut life = Life::new()?.with_a_release()?;
    for args in [&["refresh", "repo", "--targets"][..], &["halt", "repo", BRIGHTNESS]] {
        life.fleet.must(&[args, &["--keys", "keys"]].concat())?;
    }
    life.noted()?;
    let right: Right = |_, end| end.version() == Some("2.0.0");
    let chapter = life.record("a refresh", right, |life| {
        let checked = life.vedette(&["update", "check"])?;
        ensure!(checked.code == Some(0), "{checked:?}");
        Ok(())
    })?;
    life.cut(&chapter)
}

#[test]
fn a_power_cut_in_a_bundle_import_ends_on_its_release() -> Result<()> {
    let mut life = Life::new()?.with_a_release()?;
    life.publish("3.0.0", Kind::Good)?;
    life.config = life.config.replace(life.fleet.url(), "http://127.0.0.1:9");
    let bundle = life.new.display().to_string();
    let right: Right = |_, end| end.version() == Some("3.0.0");
    let chapter = life.record("a bundle import", right, |life| {
        let taken = life.vedette(&["update", "install", &bundle])?;
        ensure!(taken.code == Some(0), "{taken:?}");
        life.rests(Some("3.0.0"), None)
    })?;
    // The daemons that come back after it find the release on the network, too.
    life.config = life.config.replace("http://127.0.0.1:9", life.fleet.url());
    life.cut(&chapter)
}

#[test]
fn a_power_cut_in_a_rollback_ends_on_the_release_before_or_on_the_one_after() -> Result<()> {
    let mut life = Life::new()?.with_a_release()?;
    life.publish("3.0.0", Kind::Good)?;
    life.run(|life| life.look().and_then(|()| life.rests(Some("3.0.0"), None)))?;
    // What is written down at the begin is what it ends on.
    let right: Right = |begin, end| match begin.version() {
        Some("3.0.0") => end.version() == Some("3.0.0") || end.version() == Some("2.0.0"),
        _ => end.version() == Some("2.0.0"),
    };
    let chapter = life.record("a rollback", right, |life| {
        let back = life.vedette(&["model", "rollback"])?;
        ensure!(back.code == Some(0), "{back:?}");
        life.rests(Some("2.0.0"), Some("3.0.0"))
    })?;
    life.cut(&chapter)
}

#[test]
fn a_power_cut_in_a_refusal_never_commits_what_was_refused() -> Result<()> {
    let mut life = Life::new()?.with_a_release()?;
    life.publish(BAD, Kind::Wrong)?;
    let right: Right = |_, end| {
        let refused = end.record.refused.as_ref().map(|one| one.release.version.as_str());
        end.version() == Some("2.0.0") && refused == Some(BAD)
    };
    let chapter = life.record("a refusal", right, |life| {
        life.look()?;
        life.rests(Some("2.0.0"), Some(BAD))
    })?;
    life.cut(&chapter)
}

#[test]
fn a_power_cut_in_a_withdrawal_ends_on_the_release_before() -> Result<()> {
    let mut life = Life::new()?.with_a_release()?;
    let known = life.targets()?;
    life.publish("3.0.0", Kind::Good)?;
    // One of its files is not on the server: the device waits for it, until the release is taken back.
    let mut new = life.targets()?.into_iter().filter(|target| !known.contains(target));
    let missing = new.rfind(|target| !target.to_string_lossy().contains('~'));
    let missing = missing.context("3.0.0 has no file of its own")?;
    let elsewhere = life.fleet.folder().join("missing");
    std::fs::copy(&missing, &elsewhere)?;
    std::fs::remove_file(&missing)?;
    let right: Right = |begin, end| match begin.record.phase {
        // The bundle that it is walked with has that file.
        Phase::Fetching => end.version().is_some(),
        _ => end.version() == Some("2.0.0"),
    };
    let chapter = life.record("a withdrawal", right, |life| {
        life.look()?;
        life.waits_for_a_file()?;
        life.fleet.must(&["halt", "repo", BRIGHTNESS, "--keys", "keys"])?;
        life.look()?;
        life.rests(Some("2.0.0"), None)
    })?;
    std::fs::copy(&elsewhere, &missing)?;
    life.noted()?;
    life.cut(&chapter)
}
