//! The outbox end to end against raw `rumqttc` at QoS 1, which loses messages: records a second until the last
//! acknowledgement, both to one mosquitto on loopback, in rounds that alternate.
//!
//!     cargo bench --package agent --bench outbox
//!
//! A third row has a backlog on disk to send: what a device does after a long night.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must fail")]
#![expect(clippy::print_stdout, reason = "this is its output")]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::runtime::Runtime;
use vedette::mqtt::{self, Address, MqttSettings};
use vedette::outbox::{Class, Limits};
use vedette::said::Said;
use vedette::stop::Stop;
use vedette::supervisor::Supervisor;
use wire::topic::Topics;

/// Records of a round, and their size: an observation with a few detections.
const RECORDS: u32 = 10_000;
const BYTES: usize = 600;
const ROUNDS: usize = 9;
const TOPIC: &str = "vedette/v1/bench/observation/door";
/// Records that may wait: the producer is held back, as it is by the library's own channel.
const WAITING: u64 = 256;
const QUEUED: usize = 200;

/// A mosquitto, killed on drop.
struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let config = folder.join("mosquitto.conf");
        let text =
            format!("user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nlog_type error\n");
        vedette::disk::replace(&config, text.as_bytes()).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new("mosquitto")
            .env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"))
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::yield_now();
        }
        Self { child, port }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Records a second by the library alone, as its own examples use it.
fn raw(port: u16) -> f64 {
    let mut options = MqttOptions::new("raw", "127.0.0.1", port);
    options.set_inflight(100);
    runtime().block_on(async {
        let (client, mut events) = AsyncClient::new(options, 32);
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::ConnAck(_))) {}
        let began = Instant::now();
        let said = async {
            for _ in 0..RECORDS {
                client.publish(TOPIC, QoS::AtLeastOnce, false, vec![b'x'; BYTES]).await.unwrap();
            }
        };
        let heard = async {
            let mut acknowledged = 0;
            while acknowledged < RECORDS {
                if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.unwrap() {
                    acknowledged += 1;
                }
            }
        };
        tokio::join!(said, heard);
        rate(began)
    })
}

/// Records a second through the outbox; `backlog`: all are there, on disk, before there is a broker.
fn ours(port: u16, backlog: bool) -> f64 {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let url = format!("mqtt://127.0.0.1:{port}");
    let limits = Limits {
        max_bytes: 64 << 20,
        max_age: Duration::from_secs(3600),
        replay_pause: Duration::from_millis(50),
    };
    let settings = MqttSettings {
        brokers: vec![Address::parse(&url).unwrap()],
        client_id: None,
        username: None,
        password: None,
        ca: None,
        identity: None,
        keep_alive: Duration::from_secs(30),
        queue: 300,
        acknowledged: true,
        limits,
    };
    if backlog {
        let outbox = vedette::outbox::Outbox::open(folder.path(), limits);
        for _ in 0..RECORDS {
            outbox.push(Class::Observation, TOPIC, vec![b'x'; BYTES]);
        }
        let supervisor = Supervisor::new(Stop::new(), runtime.handle().clone());
        outbox.start(&supervisor);
        outbox.end();
        let end = Instant::now() + Duration::from_secs(30);
        assert!(runtime.block_on(supervisor.join_tasks(end)));
    }
    let supervisor = Supervisor::new(Stop::new(), runtime.handle().clone());
    let (topics, said) = (Topics::new("bench").unwrap(), Arc::new(Said::new()));
    let link = mqtt::start(&settings, &topics, folder.path(), &said, &supervisor);
    let mut reached = link.connected();
    runtime.block_on(reached.wait_for(|now| now.up)).unwrap();
    let began = Instant::now();
    if !backlog {
        let topic: Arc<str> = TOPIC.into();
        for _ in 0..RECORDS {
            while link.store_figures().records >= WAITING || link.queue().waiting() >= QUEUED {
                std::thread::yield_now();
            }
            link.queue().push(&topic, &[b'x'; BYTES]);
        }
    }
    runtime.block_on(async {
        while link.store_figures().records > 0 || link.queue().waiting() > 0 {
            tokio::task::yield_now().await;
        }
    });
    let rate = rate(began);
    assert_eq!(link.store_figures().dropped, [0; 4], "nothing may be lost");
    supervisor.stop().say();
    link.queue().close();
    assert!(runtime.block_on(supervisor.join_tasks(Instant::now() + Duration::from_secs(5))));
    rate
}

fn rate(began: Instant) -> f64 {
    f64::from(RECORDS) / began.elapsed().as_secs_f64()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path());
    let (mut plain, mut live, mut stored) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let bare = raw(broker.port);
        plain.push(bare);
        live.push(ours(broker.port, false) / bare);
        stored.push(ours(broker.port, true) / bare);
    }
    println!("raw rumqttc, QoS 1          {:>8.0} records/s", median(&plain));
    for (name, ratios) in [("outbox, live ÷ raw", &live), ("outbox, from disk ÷ raw", &stored)] {
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        println!("{name:<27} {:>8.2} (rounds {low:.2} to {high:.2})", median(ratios));
    }
}
