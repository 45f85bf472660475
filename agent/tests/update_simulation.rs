//! Thousands of unlucky devices, each with a seed: power cuts before, in and after every write and every action,
//! releases good and bad, halts, owners who go back. The record that survives is walked by the real machine.
//!
//! A failure prints its seed; `VEDETTE_SIMULATION_SEED=<seed>` walks that device alone, and prints its steps.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "the numbers are what a simulation is for")]

use std::collections::{BTreeMap, BTreeSet};

use vedette::update::machine::{Action, Event};
use vedette::update::slot::{Happened, Installed, SlotRecord, TRIES};
use wire::{Digest, Phase, ReleaseRef};

/// Devices that are walked.
const DEVICES: u64 = 4000;
/// Releases that each of them is offered.
const RELEASES: u64 = 6;
/// Steps within which every deployment must end, power cuts included.
const STEPS_MAX: u32 = 2000;
/// One power cut in so many chances, on an unlucky device.
const CUT_IN: u64 = 40;

/// A small generator of numbers: the same ones for the same seed.
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.next().is_multiple_of(chances)
    }
}

/// What a release does to whoever loads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Good,
    FailsGolden,
    SlowOnTrial,
    /// Every load ends the process.
    Crashes,
    /// Passes its trial, and ends the process as soon as it is to speak.
    CrashesAtOnce,
    /// Passes its trial, and ends the process in probation.
    CrashesLater,
}

/// One device.
struct Device {
    luck: Luck,
    /// What is on the disk.
    disk: SlotRecord,
    pending: Option<Action>,
    natures: BTreeMap<u64, Nature>,
    refused: BTreeSet<u64>,
    /// Those of them that the owner went back from.
    ordered: BTreeSet<u64>,
    loads: BTreeMap<u64, u32>,
    /// Counters of what was whole and verified before it could be committed.
    staged: BTreeSet<u64>,
    cuts: u32,
    loud: bool,
}

/// Power cuts, deaths of a bad model: the process is gone.
struct Died;

impl Device {
    fn cut(&mut self) -> Result<(), Died> {
        if self.luck.one_in(CUT_IN) {
            self.cuts += 1;
            return Err(Died);
        }
        Ok(())
    }

    /// Writes the next step down, as the worker does; a cut leaves the old record or the new one.
    fn happen(&mut self, happened: Happened) -> Result<(), Died> {
        let (next, action) = self.disk.walk(happened.clone()).unwrap_or_else(|error| {
            panic!("{error} with {:?}", self.disk);
        });
        if self.loud {
            println!("{:?} -- {happened:?} -> {:?} {action:?}", self.disk.phase, next.phase);
        }
        self.cut()?;
        self.invariants(&next);
        self.disk = next;
        self.cut()?;
        self.pending = Some(action);
        Ok(())
    }

    fn counter(record: &SlotRecord) -> u64 {
        record.offered.as_ref().map_or(0, |offered| offered.installed.release.counter)
    }

    /// What must hold of every record that reaches the disk.
    fn invariants(&self, next: &SlotRecord) {
        let good = next.good.as_ref().map_or(0, |good| good.release.counter);
        let before = self.disk.good.as_ref().map_or(0, |good| good.release.counter);
        assert!(
            good == 0 || self.staged.contains(&good),
            "committed before it was whole: {next:?}"
        );
        assert!(next.floor >= self.disk.floor, "the floor fell: {next:?}");
        assert!(next.min_counter >= self.disk.min_counter, "the minimum fell: {next:?}");
        assert!(good >= before || before > self.disk.min_counter || good >= self.disk.min_counter);
        if good < before {
            assert!(good >= next.min_counter, "below the signed minimum: {next:?}");
        }
        if let Some(offered) = &next.offered
            && next.phase == Phase::Fetching
        {
            assert!(!self.refused.contains(&offered.installed.release.counter), "again: {next:?}");
        }
    }

    fn load(&mut self) {
        let counter = Self::counter(&self.disk);
        *self.loads.entry(counter).or_default() += 1;
    }

    /// Does `action`; what came of it.
    fn act(&mut self, action: Action) -> Result<Option<Happened>, Died> {
        self.cut()?;
        let counter = Self::counter(&self.disk);
        let nature = self.natures.get(&counter).copied().unwrap_or(Nature::Good);
        let plain = |event| Ok(Some(Happened::Plain(event)));
        let failed = |why: &str| Ok(Some(Happened::Failed(why.to_owned())));
        match action {
            Action::Fetch if self.luck.one_in(20) => plain(Event::Halted),
            Action::Fetch => plain(Event::Fetched),
            Action::Stage => {
                self.staged.insert(counter);
                plain(Event::Staged)
            }
            Action::Rehearse => {
                self.load();
                match nature {
                    Nature::Crashes => Err(Died),
                    Nature::FailsGolden => failed("golden"),
                    _ => plain(Event::Rehearsed),
                }
            }
            Action::Try => match nature {
                Nature::SlowOnTrial => failed("slow"),
                _ if self.luck.one_in(20) => plain(Event::Halted),
                _ => plain(Event::Passed),
            },
            Action::Commit if nature == Nature::CrashesAtOnce => {
                self.load();
                Err(Died)
            }
            Action::Commit => plain(Event::Committed),
            Action::Watch => {
                if nature == Nature::CrashesLater {
                    self.load();
                    return Err(Died);
                }
                if self.luck.one_in(30) {
                    Ok(Some(Happened::Ordered))
                } else {
                    plain(Event::Survived)
                }
            }
            Action::RollBack => plain(Event::RolledBack),
            Action::Refuse => {
                let refusal = self.disk.refused.clone().unwrap();
                self.refused.insert(refusal.release.counter);
                if refusal.reason.contains("the owner") {
                    self.ordered.insert(refusal.release.counter);
                }
                self.cut()?;
                plain(Event::Refused)
            }
            Action::Withdraw => plain(Event::Withdrawn),
            Action::Rest => {
                self.pending = None;
                Ok(None)
            }
        }
    }

    /// Walks on after an offer, a restart or an order, through every power cut, until the slot rests.
    fn settle(&mut self, seed: u64) {
        for _ in 0..STEPS_MAX {
            let done = match self.pending {
                Some(action) => self.act(action).and_then(|happened| match happened {
                    Some(happened) => self.happen(happened),
                    None => Ok(()),
                }),
                None if self.disk.phase == Phase::Idle => return,
                // The process began anew.
                None => self.happen(Happened::Restarted),
            };
            if done.is_err() {
                self.pending = None;
            }
        }
        panic!("seed {seed}: it does not end: {:?}", self.disk);
    }
}

fn release(counter: u64, min_counter: u64) -> Installed {
    let release = ReleaseRef {
        version: format!("{counter}.0.0"),
        counter,
        release: Digest::of(&counter.to_be_bytes()),
    };
    Installed { release, min_counter }
}

/// How the fleet fared.
#[derive(Debug, Default)]
struct Tally {
    good: u32,
    good_refused: u32,
    bad: u32,
    cuts: u32,
}

fn walk(seed: u64, loud: bool, tally: &mut Tally) {
    let mut luck = Luck(seed);
    let natures = [
        Nature::Good,
        Nature::Good,
        Nature::FailsGolden,
        Nature::SlowOnTrial,
        Nature::Crashes,
        Nature::CrashesAtOnce,
        Nature::CrashesLater,
    ];
    let mut device = Device {
        luck: Luck(luck.next()),
        disk: SlotRecord::new("s"),
        pending: None,
        natures: BTreeMap::new(),
        refused: BTreeSet::new(),
        ordered: BTreeSet::new(),
        loads: BTreeMap::new(),
        staged: BTreeSet::new(),
        cuts: 0,
        loud,
    };
    for counter in 1..=RELEASES {
        let nature = natures[usize::try_from(luck.next() % 7).unwrap()];
        device.natures.insert(counter, nature);
        let minimum = if luck.one_in(5) { counter.saturating_sub(1) } else { 0 };
        let cuts_before = device.cuts;
        // The operator goes on offering it, until the device has it or will not have it.
        for _ in 0..50 {
            let have = device.disk.floor >= counter || device.refused.contains(&counter);
            if have {
                break;
            }
            // An operator who halts and resumes asks for a new beginning.
            device.loads.insert(counter, 0);
            if device.happen(Happened::Offered(release(counter, minimum))).is_err() {
                device.pending = None;
            }
            device.settle(seed);
        }
        if luck.one_in(4) && device.disk.way_back().is_some() && device.disk.good.is_some() {
            if device.happen(Happened::Ordered).is_err() {
                device.pending = None;
            }
            device.settle(seed);
        }
        let loads = device.loads.get(&counter).copied().unwrap_or(0);
        match nature {
            Nature::Good => {
                tally.good += 1;
                let refused = device.refused.contains(&counter);
                let lost = refused && !device.ordered.contains(&counter);
                tally.good_refused += u32::from(lost);
                let cuts = device.cuts - cuts_before;
                assert!(!lost || cuts >= TRIES, "seed {seed}: {cuts} cuts lost a good release");
            }
            _ => {
                tally.bad += 1;
                let kept =
                    device.disk.good.as_ref().is_some_and(|one| one.release.counter == counter);
                // It stays only where the operator signed that nothing may be returned to.
                assert!(!kept || device.disk.way_back().is_none(), "seed {seed}: {nature:?} stays");
                assert!(
                    device.refused.contains(&counter),
                    "seed {seed}: {nature:?} is not refused"
                );
                assert!(loads <= TRIES + 1, "seed {seed}: {nature:?} was loaded {loads} times");
            }
        }
    }
    tally.cuts += device.cuts;
}

#[test]
fn no_device_is_lost_whatever_happens_to_it() {
    if let Ok(seed) = std::env::var("VEDETTE_SIMULATION_SEED") {
        walk(seed.parse().unwrap(), true, &mut Tally::default());
        return;
    }
    let mut tally = Tally::default();
    for seed in 0..DEVICES {
        let walked = std::panic::catch_unwind(|| {
            let mut own = Tally::default();
            walk(seed, false, &mut own);
            own
        });
        let own = walked.unwrap_or_else(|_| panic!("seed {seed}"));
        tally.good += own.good;
        tally.good_refused += own.good_refused;
        tally.bad += own.bad;
        tally.cuts += own.cuts;
    }
    println!("{DEVICES} devices: {tally:?}");
    // The simulation saw what it is for.
    assert!(tally.cuts > 10_000 && tally.bad > 5000 && tally.good > 5000, "{tally:?}");
    assert!(tally.good_refused * 100 < tally.good, "{tally:?}");
}
