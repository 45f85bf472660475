//! The outbox and the connection against real brokers that go, hang, lie and fill up. In this process, so that
//! thousands of records a second can be said; the daemon itself where it is killed.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tests::bench::{self, BRIGHTNESS, RUNNING};
use tests::heard::observation;
use tests::{Broker, Daemon, Durable, Folder, PATIENCE, onnx};
use vedette::mqtt::{self, Address, Link, MqttSettings};
use vedette::outbox::{Class, LIVE, Limits, RECORD_MAX_BYTES};
use vedette::said::Said;
use vedette::stop::Stop;
use vedette::supervisor::Supervisor;
use wire::topic::Topics;

/// The shortest keep-alive: how soon a silent broker is noticed follows from it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// One end of a connection, with a runtime of its own.
struct Device {
    link: Link,
    supervisor: Supervisor,
    runtime: tokio::runtime::Runtime,
    _folder: Folder,
}

impl Device {
    fn new(urls: &[String], max_bytes: u64) -> Result<Self> {
        Self::paced(urls, max_bytes, Duration::from_millis(1))
    }

    /// One with `replay_pause` between two records of stored telemetry.
    fn paced(urls: &[String], max_bytes: u64, replay_pause: Duration) -> Result<Self> {
        let folder = Folder::new()?;
        let brokers: Result<Vec<Address>, String> =
            urls.iter().map(|url| Address::parse(url)).collect();
        let settings = MqttSettings {
            brokers: brokers.map_err(anyhow::Error::msg)?,
            client_id: None,
            username: None,
            password: None,
            ca: None,
            identity: None,
            keep_alive: KEEP_ALIVE,
            queue: 300,
            acknowledged: true,
            limits: Limits { max_bytes, max_age: Duration::from_secs(3600), replay_pause },
        };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let supervisor = Supervisor::new(Stop::new(), runtime.handle().clone());
        let said = Arc::new(Said::new());
        let link = mqtt::start(&settings, &Topics::new("dut")?, folder.path(), &said, &supervisor);
        Ok(Self { link, supervisor, runtime, _folder: folder })
    }

    /// Waits until there is a connection for the `count`th time.
    fn connected(&self, count: u64) -> Result<()> {
        let mut reached = self.link.connected();
        let wait = reached.wait_for(|now| now.up && now.count >= count);
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, wait).await })??;
        Ok(())
    }

    /// Waits until the oldest of what waits is older than `age`.
    fn aged(&self, age: Duration) -> Result<()> {
        let deadline = Instant::now() + age + PATIENCE;
        self.runtime.block_on(async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while self.link.store_figures().oldest_age_s.is_none_or(|old| old <= age.as_secs()) {
                ensure!(Instant::now() < deadline, "young: {:?}", self.link.store_figures());
                ticks.tick().await;
            }
            Ok(())
        })
    }

    /// Waits until the broker has acknowledged everything.
    fn all_acknowledged(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        self.runtime.block_on(async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while self.link.store_figures().records > 0 {
                ensure!(Instant::now() < deadline, "left: {:?}", self.link.store_figures());
                ticks.tick().await;
            }
            Ok(())
        })
    }

    fn end(self) -> Result<()> {
        self.supervisor.stop().say();
        self.link.queue().close();
        let ended = self.supervisor.join_tasks(Instant::now() + PATIENCE);
        ensure!(self.runtime.block_on(ended), "the workers did not end");
        Ok(())
    }
}

/// A small generator, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

const CLASSES: [(Class, &str); 3] =
    [(Class::Alarm, "alarm"), (Class::Event, "event"), (Class::Observation, "observation")];

fn topic(name: &str) -> String {
    format!("vedette/v1/dut/{name}/x")
}

/// The numbers heard on `topic`, doubles left out, and how many doubles there were.
fn numbers(messages: &[(String, Vec<u8>)], topic: &str) -> Result<(Vec<u64>, usize)> {
    let (mut seen, mut numbers, mut doubles) = (HashSet::new(), Vec::new(), 0);
    for (_, body) in messages.iter().filter(|(on, _)| on == topic) {
        let number = String::from_utf8_lossy(body).trim().parse()?;
        if seen.insert(number) {
            numbers.push(number);
        } else {
            doubles += 1;
        }
    }
    Ok((numbers, doubles))
}

#[test]
fn twenty_thousand_records_survive_a_broker_that_is_restarted_at_random() -> Result<()> {
    const RECORDS: u64 = 20_000;
    let seed = 4;
    let mut random = Random(seed);
    let mut broker = Broker::with(None, true)?;
    let listener = Durable::start(broker.port())?;
    let device = Device::new(&[broker.url()], 64 << 20)?;
    let mut counts = BTreeMap::new();
    let (mut next_restart, mut connections) = (500, 1);
    for number in 0..RECORDS {
        let (class, name) = CLASSES[usize::try_from(random.below(3))?];
        let count = counts.entry(name).or_insert(0_u64);
        *count += 1;
        device.link.publish(class, &topic(name), format!("{count:0300}").into_bytes());
        if number == next_restart {
            next_restart += 1000 + random.below(3000);
            // Sometimes in the middle of what was just said, sometimes after a part of it has gone.
            if random.below(2) == 0 {
                device.connected(connections)?;
            }
            broker.restart()?;
            connections = device.link.connected().borrow().count + 1;
        }
    }
    device.all_acknowledged(PATIENCE)?;
    let last = |name: &str| format!("{:0300}", counts[name]).into_bytes();
    let lasts: Vec<(String, Vec<u8>)> =
        CLASSES.iter().map(|(_, name)| (topic(name), last(name))).collect();
    let heard = listener.wait("the last of each class", PATIENCE, |messages| {
        lasts.iter().all(|last| messages.contains(last))
    })?;
    for (_, name) in CLASSES {
        let (numbers, doubles) = numbers(&heard, &topic(name))?;
        let wanted: Vec<u64> = (1..=counts[name]).collect();
        ensure!(numbers == wanted, "seed {seed}: {name}: {} of {}", numbers.len(), wanted.len());
        ensure!(doubles <= 200, "seed {seed}: {name}: {doubles} doubles");
    }
    let figures = device.link.store_figures();
    assert_eq!((figures.dropped, figures.damaged), ([0; 4], 0), "seed {seed}");
    device.end()
}

#[test]
fn an_alarm_of_an_earlier_run_is_told_and_what_holds_now_is_the_last_word() -> Result<()> {
    let mut broker = Broker::with(None, true)?;
    let listener = Durable::start(broker.port())?;
    broker.stop()?;
    // What the run before left in its outbox, and what this one found at its start.
    let device = Device::new(&[broker.url()], 1 << 20)?;
    let topic = topic("alarm");
    device.link.publish(Class::Alarm, &topic, b"raised".to_vec());
    device.link.retain(&topic, b"quiet".to_vec());
    broker.restart()?;
    device.all_acknowledged(PATIENCE)?;
    let own = |messages: &[(String, Vec<u8>)]| -> Vec<String> {
        let own = messages.iter().filter(|(on, _)| *on == topic);
        own.map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect()
    };
    let heard = listener.wait("the state after the alarm", PATIENCE, |messages| {
        let own = own(messages);
        own.contains(&"raised".to_owned()) && own.last().is_some_and(|last| last == "quiet")
    })?;
    assert_eq!(own(&heard), ["quiet", "raised", "quiet"]);
    device.end()
}

#[test]
fn stored_telemetry_is_replayed_in_order_at_its_pace_and_what_is_live_goes_before_it() -> Result<()>
{
    const STORED: u64 = 40;
    const PAUSE: Duration = Duration::from_millis(50);
    let mut broker = Broker::with(None, true)?;
    let listener = Durable::start(broker.port())?;
    broker.stop()?;
    let device = Device::paced(&[broker.url()], 1 << 20, PAUSE)?;
    let publish = |number: u64| {
        let body = number.to_string().into_bytes();
        device.link.publish(Class::Telemetry, &topic("telemetry"), body);
    };
    (1..=STORED).for_each(publish);
    device.aged(LIVE)?;
    broker.restart()?;
    device.connected(1)?;
    let began = Instant::now();
    publish(STORED + 1);
    device.all_acknowledged(PATIENCE)?;
    // One pause less than there are records; the first may have gone before this looked at the clock.
    let least = PAUSE * u32::try_from(STORED - 3)?;
    ensure!(began.elapsed() >= least, "{:?} is faster than its pace", began.elapsed());
    let replay = Topics::new("dut")?.replay(&topic("telemetry"));
    let heard = listener.wait("the last", PATIENCE, |messages| {
        messages
            .iter()
            .any(|(topic, body)| *topic == replay && *body == STORED.to_string().as_bytes())
    })?;
    assert_eq!(numbers(&heard, &replay)?.0, (1..=STORED).collect::<Vec<_>>());
    assert_eq!(numbers(&heard, &topic("telemetry"))?.0, [STORED + 1]);
    let place = |name: &str| heard.iter().rposition(|(topic, _)| topic == name);
    ensure!(place(&topic("telemetry")) < place(&replay), "what is live waited for what is old");
    device.end()
}

#[test]
fn a_broker_that_is_away_for_too_long_costs_the_least_important_and_that_is_counted() -> Result<()>
{
    let mut broker = Broker::with(None, true)?;
    let listener = Durable::start(broker.port())?;
    broker.stop()?;
    // Room for some 700 records of 300 bytes.
    let device = Device::new(&[broker.url()], 256 << 10)?;
    for number in 1..=400 {
        for (class, name) in [(Class::Event, "event"), (Class::Observation, "observation")] {
            device.link.publish(class, &topic(name), format!("{number:0300}").into_bytes());
        }
    }
    device.link.publish(Class::Alarm, &topic("alarm"), vec![b' '; RECORD_MAX_BYTES]);
    let figures = device.link.store_figures();
    let [0, 0, dropped, 0] = figures.dropped else {
        anyhow::bail!("the wrong class was dropped: {figures:?}")
    };
    ensure!(dropped > 50 && figures.oversized == 1, "{figures:?}");
    ensure!(figures.bytes <= 256 << 10 && figures.oldest_age_s == Some(0), "{figures:?}");
    broker.restart()?;
    device.all_acknowledged(PATIENCE)?;
    let heard = listener.wait("the last", PATIENCE, |messages| {
        let (on, last) = (topic("observation"), format!("{:0300}", 400).into_bytes());
        messages.iter().any(|(topic, body)| *topic == on && *body == last)
    })?;
    let all: Vec<u64> = (1..=400).collect();
    assert_eq!(numbers(&heard, &topic("event"))?.0, all);
    assert_eq!(numbers(&heard, &topic("observation"))?.0, all[usize::try_from(dropped)?..]);
    device.end()
}

#[test]
fn a_retained_bomb_silences_its_topic_and_nothing_else() -> Result<()> {
    let broker = Broker::start()?;
    let (client, mut connection) = rumqttc::Client::new(
        {
            let mut options = rumqttc::MqttOptions::new("bomber", "127.0.0.1", broker.port());
            options.set_max_packet_size(1 << 20, 1 << 20);
            options
        },
        8,
    );
    client.publish("vedette/v1/dut/cmd/bomb", rumqttc::QoS::AtLeastOnce, true, vec![0; 1 << 19])?;
    let acknowledged = connection
        .iter()
        .any(|event| matches!(event, Ok(rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_)))));
    ensure!(acknowledged, "the bomb was not laid");
    let device = Device::new(&[broker.url()], 1 << 20)?;
    let mut bombed = device.link.listen("vedette/v1/dut/cmd/#");
    let mut good = device.link.listen("vedette/v1/dut/model/+/install");
    // Twice the bomb ends the connection; the third stays.
    device.connected(3)?;
    device.link.publish(Class::Event, &topic("event"), b"1".to_vec());
    device.all_acknowledged(PATIENCE)?;
    let topic = "vedette/v1/dut/model/a/install";
    let heard = device.runtime.block_on(async {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                heard = good.recv() => break heard.context("the listener is gone"),
                // Until it is subscribed to: nothing tells us when.
                _ = ticks.tick() => device.link.publish(Class::Event, topic, b"now".to_vec()),
                () = tokio::time::sleep_until(deadline) => anyhow::bail!("nothing was heard"),
            }
        }
    })?;
    assert_eq!(
        (heard.topic.as_str(), &heard.payload[..], heard.retained),
        (topic, &b"now"[..], false)
    );
    assert_eq!(device.link.connected().borrow().count, 3);
    assert!(bombed.try_recv().is_err());
    device.end()
}

/// Takes packets and answers the greeting and pings, but no message.
fn acknowledge_nothing(mut caller: TcpStream) -> std::io::Result<()> {
    caller.set_read_timeout(Some(PATIENCE))?;
    loop {
        let (mut byte, mut length, mut shift) = ([0], 0_u64, 0);
        caller.read_exact(&mut byte)?;
        let kind = byte[0] >> 4;
        loop {
            caller.read_exact(&mut byte)?;
            length |= u64::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] < 0x80 {
                break;
            }
        }
        std::io::copy(&mut (&mut caller).take(length), &mut std::io::sink())?;
        match kind {
            1 => caller.write_all(&[0x20, 2, 0, 0])?,
            12 => caller.write_all(&[0xd0, 0])?,
            _ => {}
        }
    }
}

#[test]
fn a_broker_that_acknowledges_nothing_is_left_for_the_next_and_nothing_is_lost() -> Result<()> {
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    let port = silent.local_addr()?.port();
    std::thread::spawn(move || {
        for caller in silent.incoming().flatten() {
            std::thread::spawn(move || drop(acknowledge_nothing(caller)));
        }
    });
    let broker = Broker::with(None, true)?;
    let listener = Durable::start(broker.port())?;
    let device = Device::new(&[format!("mqtt://127.0.0.1:{port}"), broker.url()], 1 << 20)?;
    device.connected(1)?;
    for number in 1..=100 {
        device.link.publish(Class::Event, &topic("event"), number.to_string().into_bytes());
    }
    device.all_acknowledged(PATIENCE)?;
    let heard = listener.wait("the last", PATIENCE, |messages| {
        messages.contains(&(topic("event"), b"100".to_vec()))
    })?;
    assert_eq!(numbers(&heard, &topic("event"))?, ((1..=100).collect(), 0));
    device.end()
}

#[test]
fn a_connection_whose_other_end_is_gone_is_noticed_and_nothing_is_lost() -> Result<()> {
    let (gone, broker) = (Broker::start()?, Broker::with(None, true)?);
    let listener = Durable::start(broker.port())?;
    let device = Device::new(&[gone.url(), broker.url()], 1 << 20)?;
    device.connected(1)?;
    // As after a router forgot the connection: nothing comes back, and nothing says so.
    gone.freeze()?;
    for number in 1..=100 {
        device.link.publish(Class::Event, &topic("event"), number.to_string().into_bytes());
    }
    let heard = listener.wait("the last", PATIENCE, |messages| {
        messages.contains(&(topic("event"), b"100".to_vec()))
    })?;
    assert_eq!(numbers(&heard, &topic("event"))?.0, (1..=100).collect::<Vec<u64>>());
    device.end()
}

#[test]
fn what_a_killed_daemon_had_stored_is_said_by_the_next_one() -> Result<()> {
    let mut broker = Broker::with(None, true)?;
    let listener = Durable::start(broker.port())?;
    broker.stop()?;
    let folder = Folder::new()?;
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let file = "[sinks.file]\nkind = \"jsonl\"\npath = \"seen.jsonl\"\n";
    let door =
        bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "sinks = [\"mqtt\", \"file\"]");
    let url = broker.url();
    let config = format!("{}[mqtt]\nurl = \"{url}\"\n{model}{file}{door}", bench::head());
    let mut daemon = Daemon::start(&folder, &config)?;
    daemon.wait_log(RUNNING, PATIENCE)?;
    // The file is written once a second: when its first lines are there, what they say is older than what
    // may be lost. Nothing less than a kill is a test.
    let deadline = Instant::now() + PATIENCE;
    let stored = loop {
        let seen = folder.read("seen.jsonl").unwrap_or_default();
        let lines = seen.lines().count();
        if lines >= 30 {
            break u64::try_from(lines)?;
        }
        ensure!(Instant::now() < deadline, "{}", daemon.log());
        std::thread::park_timeout(Duration::from_millis(20));
    };
    daemon.signal(Signal::KILL)?;
    daemon.wait_exit(PATIENCE)?;
    broker.restart()?;
    let mut daemon = Daemon::start(&folder, &config)?;
    let on = bench::topics()?.observation("door");
    let heard = listener.wait("two lives", PATIENCE, |messages| {
        let boots: HashSet<String> = messages
            .iter()
            .filter(|(topic, _)| *topic == on)
            .filter_map(|(_, body)| Some(observation(body).ok()?.envelope.boot_id.into_owned()))
            .collect();
        boots.len() >= 2
    })?;
    let seen: Vec<_> = heard
        .iter()
        .filter(|(topic, _)| *topic == on)
        .map(|(_, body)| observation(body))
        .collect::<Result<_>>()?;
    let first = seen.first().context("nothing")?.envelope.boot_id.clone();
    let before: Vec<u64> = seen
        .iter()
        .filter(|one| one.envelope.boot_id == first)
        .map(|one| one.envelope.seq)
        .collect();
    // All of the first life that was older than a second, in order, from the first on.
    assert_eq!(before, (1..=u64::try_from(before.len())?).collect::<Vec<_>>());
    ensure!(before.len() + 10 >= usize::try_from(stored)?, "{} of {stored}", before.len());
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
