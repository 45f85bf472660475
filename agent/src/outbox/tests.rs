//! The ledger through seeded bad luck, and the store through the ends that a daemon meets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ledger::Ledger;
use super::record::{Class, Id, Mark, Record};
use super::store::Store;
use super::{DIRECTORY, Limits, Outbox, RECORD_MAX_BYTES, Taken, WINDOW, worker};
use crate::stop::Stop;
use crate::supervisor::Supervisor;

/// How long a test waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits(max_bytes: u64) -> Limits {
    Limits {
        max_bytes,
        max_age: Duration::from_secs(3600),
        replay_pause: Duration::from_millis(100),
    }
}

fn push(ledger: &mut Ledger, class: Class, text: &str, now_ms: u64) -> bool {
    ledger.push(class, Bytes::from_static(b"t"), Bytes::copy_from_slice(text.as_bytes()), now_ms)
}

fn text(taken: &Taken) -> String {
    String::from_utf8(taken.record.body.to_vec()).unwrap()
}

/// The texts that go out, each acknowledged at once.
fn drain(ledger: &mut Ledger, now_ms: u64) -> Vec<String> {
    std::iter::from_fn(|| {
        let taken = ledger.next(now_ms)?;
        ledger.acknowledged(taken.record.id);
        Some(text(&taken))
    })
    .collect()
}

#[test]
fn the_more_important_goes_first_and_each_class_in_its_order() {
    let mut ledger = Ledger::new(limits(1 << 20));
    for (class, name) in [
        (Class::Telemetry, "t1"),
        (Class::Observation, "o1"),
        (Class::Event, "e1"),
        (Class::Observation, "o2"),
        (Class::Alarm, "a1"),
        (Class::Event, "e2"),
    ] {
        assert!(push(&mut ledger, class, name, 0));
    }
    assert_eq!(drain(&mut ledger, 0), ["a1", "e1", "e2", "o1", "o2", "t1"]);
    assert!(ledger.is_empty());
}

#[test]
fn without_room_the_oldest_of_the_least_important_class_gives_way_and_is_counted() {
    // Each record counts 64 + 1 + 2 bytes: four have room.
    let mut ledger = Ledger::new(limits(4 * 67));
    for (class, name) in [
        (Class::Observation, "o1"),
        (Class::Telemetry, "t1"),
        (Class::Telemetry, "t2"),
        (Class::Alarm, "a1"),
        (Class::Event, "e1"),
        (Class::Event, "e2"),
        (Class::Event, "e3"),
    ] {
        push(&mut ledger, class, name, 0);
    }
    assert_eq!(ledger.figures(0).dropped, [0, 0, 1, 2]);
    assert_eq!(ledger.figures(0).lost(), 1, "the next telemetry is as good");
    assert_eq!(drain(&mut ledger, 0), ["a1", "e1", "e2", "e3"]);
}

#[test]
fn what_is_too_old_is_dropped_and_counted() {
    let mut ledger = Ledger::new(limits(1 << 20));
    push(&mut ledger, Class::Alarm, "a1", 0);
    push(&mut ledger, Class::Alarm, "a2", 1000);
    ledger.age(3_600_500);
    assert_eq!(ledger.figures(3_600_500).oldest_age_s, Some(3599));
    assert_eq!(
        (drain(&mut ledger, 0), ledger.figures(0).dropped),
        (vec!["a2".into()], [1, 0, 0, 0])
    );
}

#[test]
fn a_record_larger_than_brokers_take_is_refused_and_counted() {
    let mut ledger = Ledger::new(limits(1 << 20));
    let large = Bytes::from(vec![0; RECORD_MAX_BYTES]);
    assert!(!ledger.push(Class::Alarm, Bytes::from_static(b"t"), large, 0));
    assert_eq!((ledger.figures(0).oversized, ledger.is_empty()), (1, true));
}

#[test]
fn after_a_lost_connection_what_was_on_its_way_is_sent_again_in_its_place() {
    let mut ledger = Ledger::new(limits(1 << 20));
    for number in 0..WINDOW + 4 {
        push(&mut ledger, Class::Event, &format!("{number:02}"), 0);
    }
    let sent: Vec<Taken> = std::iter::from_fn(|| ledger.next(0)).collect();
    assert_eq!(sent.len(), WINDOW);
    ledger.acknowledged(sent[1].record.id);
    ledger.unsend();
    let again = drain(&mut ledger, 0);
    let wanted: Vec<String> = (0..WINDOW + 4)
        .filter(|number| *number != 1)
        .map(|number| format!("{number:02}"))
        .collect();
    assert_eq!(again, wanted);
}

#[test]
fn stored_telemetry_is_replayed_at_its_pace_and_delays_nothing_live() {
    let mut ledger = Ledger::new(limits(1 << 20));
    for name in ["old 1", "old 2"] {
        push(&mut ledger, Class::Telemetry, name, 0);
    }
    let now = 60_000;
    push(&mut ledger, Class::Telemetry, "live", now);
    let commit = ledger.commit(now, true);
    ledger.committed(&commit);
    ledger.age(now);
    let stored: BTreeMap<Id, Record> =
        commit.puts.into_iter().map(|record| (record.id, record)).collect();
    let wanted = ledger.wanted();
    ledger.loaded(wanted.iter().map(|id| (*id, stored.get(id).cloned())).collect());
    let mut said = |now| {
        let taken = ledger.next(now)?;
        ledger.acknowledged(taken.record.id);
        Some((text(&taken), taken.replay))
    };
    assert_eq!(said(now), Some(("live".into(), false)));
    assert_eq!(said(now), Some(("old 1".into(), true)));
    assert_eq!(said(now + 99), None);
    assert_eq!(said(now + 100), Some(("old 2".into(), true)));
}

/// A small generator, so that a seed is a story.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// One device's outbox, with a disk that is a map.
struct Device {
    ledger: Ledger,
    disk: BTreeMap<Id, Record>,
    sent: Vec<Id>,
    /// What must still arrive: taken in, and not acknowledged, dropped or lost by a crash.
    last_sent: [u64; 4],
    now_ms: u64,
}

impl Device {
    fn commit(&mut self, all: bool) {
        let commit = self.ledger.commit(self.now_ms, all);
        for id in &commit.deletes {
            self.disk.remove(id);
        }
        for record in &commit.puts {
            self.disk.insert(record.id, record.clone());
        }
        self.ledger.committed(&commit);
    }

    fn load(&mut self) {
        let wanted = self.ledger.wanted();
        let read = wanted.iter().map(|id| (*id, self.disk.get(id).cloned())).collect();
        self.ledger.loaded(read);
    }

    fn crash(&mut self, limits: Limits) {
        let dropped = self.ledger.figures(0).dropped;
        self.ledger = Ledger::new(limits);
        let found: Vec<(Class, Mark)> =
            self.disk.values().map(|record| (record.id.class, Mark::of(record))).collect();
        self.ledger.recover(&found);
        assert_eq!(self.ledger.figures(0).records, u64::try_from(found.len()).unwrap());
        assert_eq!(self.ledger.figures(0).damaged, 0, "{dropped:?}");
        self.sent.clear();
        self.last_sent = [0; 4];
    }

    fn step(&mut self, random: &mut Random, limits: Limits) {
        self.now_ms += random.below(60);
        match random.below(100) {
            0..40 => {
                let class = Class::ALL[usize::try_from(random.below(4)).unwrap()];
                let body = "x".repeat(usize::try_from(random.below(300)).unwrap());
                push(&mut self.ledger, class, &body, self.now_ms);
            }
            40..65 => {
                if let Some(taken) = self.ledger.next(self.now_ms) {
                    let id = taken.record.id;
                    if id.class != Class::Telemetry {
                        let last = &mut self.last_sent[id.class.index()];
                        assert!(id.number > *last, "{id:?} after {last}");
                        *last = id.number;
                    }
                    self.sent.push(id);
                }
            }
            65..85 if self.sent.is_empty() => {}
            65..85 => {
                let at = random.below(u64::try_from(self.sent.len()).unwrap());
                let id = self.sent.remove(usize::try_from(at).unwrap());
                self.ledger.acknowledged(id);
            }
            85..87 => {
                self.ledger.unsend();
                self.sent.clear();
                self.last_sent = [0; 4];
            }
            87..93 => self.commit(random.below(2) == 0),
            93..97 => self.load(),
            97..99 => self.ledger.age(self.now_ms),
            _ if random.below(20) == 0 => self.crash(limits),
            _ => {}
        }
        let figures = self.ledger.figures(self.now_ms);
        assert!(figures.bytes <= limits.max_bytes && self.sent.len() <= WINDOW, "{figures:?}");
    }
}

#[test]
fn through_any_luck_the_bounds_hold_the_order_holds_and_in_the_end_nothing_is_left() {
    for seed in 1..=300 {
        let (mut random, limits) = (Random(seed * 0x9E37_79B9), limits(12_000));
        let mut device = Device {
            ledger: Ledger::new(limits),
            disk: BTreeMap::new(),
            sent: Vec::new(),
            last_sent: [0; 4],
            now_ms: 1,
        };
        for _ in 0..2000 {
            device.step(&mut random, limits);
        }
        // A good end: everything that waits is sent, once, and the disk is empty after it.
        device.ledger.unsend();
        let before = device.ledger.figures(device.now_ms).records;
        let mut seen = BTreeSet::new();
        for _ in 0..10_000 {
            device.now_ms += 100;
            device.load();
            device.ledger.age(device.now_ms);
            while let Some(taken) = device.ledger.next(device.now_ms) {
                assert!(seen.insert(taken.record.id), "seed {seed}: {:?} twice", taken.record.id);
                device.ledger.acknowledged(taken.record.id);
            }
            device.commit(true);
            if device.ledger.is_empty() {
                break;
            }
        }
        device.commit(true);
        assert_eq!(u64::try_from(seen.len()).unwrap(), before, "seed {seed}");
        assert!(device.disk.is_empty(), "seed {seed}: {:?}", device.disk.keys());
    }
}

/// An outbox below `directory` with its worker, and what ends it.
fn started(directory: &std::path::Path) -> (Outbox, Supervisor) {
    let outbox = Outbox::open(directory, limits(4 << 20));
    let supervisor = Supervisor::new(Stop::new(), tokio::runtime::Handle::current());
    outbox.start(&supervisor);
    (outbox, supervisor)
}

async fn all(outbox: &Outbox, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while texts.len() < count {
        assert!(Instant::now() < deadline, "{texts:?}");
        while let Some(taken) = outbox.next() {
            outbox.acknowledged(taken.record.id);
            texts.push(text(&taken));
        }
        drop(tokio::time::timeout(Duration::from_millis(50), outbox.ready()).await);
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_the_end_and_gone_after_its_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let wanted: Vec<String> = (0..2000).map(|number| format!("{number:0600}")).collect();
    {
        let (outbox, supervisor) = started(dir.path());
        for text in &wanted {
            outbox.push(Class::Observation, "t", text.clone());
        }
        // More than the bodies that stay in memory.
        outbox.end();
        assert!(supervisor.join_tasks(Instant::now() + PATIENCE).await);
        assert_eq!(outbox.figures().records, 2000);
    }
    unlocked(&dir.path().join(DIRECTORY)).await;
    let (outbox, supervisor) = started(dir.path());
    assert_eq!(all(&outbox, 2000).await, wanted);
    assert!(outbox.is_empty());
    outbox.end();
    assert!(supervisor.join_tasks(Instant::now() + PATIENCE).await);
    drop(outbox);
    unlocked(&dir.path().join(DIRECTORY)).await;
    let store = Store::open(&dir.path().join(DIRECTORY)).unwrap();
    assert!(store.scan().unwrap().marks.is_empty());
}

/// Waits until the store in `directory` may be opened again: its file is unlocked once the library's own threads have
/// ended, which no other process has to wait for.
async fn unlocked(directory: &Path) {
    let file = std::fs::File::open(directory.join("db")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) =
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
    {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_at_once_never_touches_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (outbox, supervisor) = started(dir.path());
    for number in 0..100 {
        outbox.push(Class::Observation, "t", format!("{number}"));
        assert_eq!(all(&outbox, 1).await, [format!("{number}")]);
    }
    outbox.end();
    assert!(supervisor.join_tasks(Instant::now() + PATIENCE).await);
    assert!(!dir.path().join(DIRECTORY).exists());
}

#[test]
fn a_damaged_store_is_set_aside_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DIRECTORY);
    {
        let mut ledger = Ledger::new(limits(1 << 20));
        push(&mut ledger, Class::Alarm, "a", 0);
        Store::open(&path).unwrap().commit(&ledger.commit(0, true)).unwrap();
    }
    // Its own words about itself, and every page, are rubbish.
    for name in ["conf", "db"] {
        let file = path.join(name);
        let length = std::fs::metadata(&file).unwrap().len();
        let rubbish = vec![0x5A; usize::try_from(length).unwrap()];
        crate::disk::replace(&file, &rubbish).unwrap();
    }
    let mut ledger = Ledger::new(limits(1 << 20));
    assert!(worker::recover(&path, &mut ledger).0.is_none());
    assert_eq!((ledger.figures(0).quarantined, ledger.is_empty()), (1, true));
    assert!(dir.path().join("outbox.broken").join("conf").exists());
    assert!(Store::open(&path).unwrap().scan().unwrap().marks.is_empty());
}
