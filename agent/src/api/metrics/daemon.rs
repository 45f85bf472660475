//! The families of the daemon itself: its build, its process, the API, the broker and the releases.

use std::path::Path;

use wire::Phase;

use super::text::{Kind, Text};
use crate::api::{Api, ready};
use crate::disk;
use crate::hw::process;
use crate::outbox::StoreFigures;
use crate::update::Standing;

/// Largest file of `/proc/self` that is read.
const STAT_BYTES_MAX: u64 = 4 << 10;
/// Linux tells user programs of time in hundredths of a second, whatever its own clock is.
const TICKS_PER_S: f64 = 100.0;
/// Every phase of a release, by its name in other messages.
const PHASES: [(Phase, &str); 10] = [
    (Phase::Idle, "idle"),
    (Phase::Fetching, "fetching"),
    (Phase::Staging, "staging"),
    (Phase::Rehearsing, "rehearsing"),
    (Phase::Trialing, "trialing"),
    (Phase::Committing, "committing"),
    (Phase::Probation, "probation"),
    (Phase::RollingBack, "rolling_back"),
    (Phase::Refusing, "refusing"),
    (Phase::Withdrawing, "withdrawing"),
];

pub(super) fn write(api: &Api, text: &mut Text) {
    let view = &api.view;
    let facts = (view.facts)();
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("architecture", std::env::consts::ARCH),
        ("onnxruntime", facts.onnxruntime_version.as_deref().unwrap_or_default()),
    ];
    text.family("vedette_build_info", Kind::Gauge, "What runs.").sample(&labels, 1);
    let uptime = view.said.uptime().as_secs_f64();
    text.gauge("vedette_uptime_seconds", "Time since the daemon started.", Some(uptime));
    let ready = u8::from(ready::reasons(api).is_empty());
    text.gauge("vedette_ready", "Whether it does what it is there for.", Some(ready));
    this_process(text);
    traffic(api, text);
    if let Some(link) = &view.link {
        let reached = *link.connected().borrow();
        let up = Some(u8::from(reached.up));
        text.gauge("vedette_mqtt_connected", "Whether there is a broker.", up);
        let help = "Connections to a broker that were made.";
        text.counter("vedette_mqtt_connections_total", help, reached.count);
        outbox(&link.store_figures(), text);
    }
    if let Some(desk) = &view.releases {
        releases(&desk.standings(), text);
        let help = "Whether no release can be taken at all.";
        text.gauge("vedette_releases_broken", help, Some(u8::from(desk.broken().is_some())));
    }
}

/// What this process takes, by the names that every exporter has for it.
fn this_process(text: &mut Text) {
    let resident = process::memory_bytes(std::process::id(), "VmRSS:");
    text.gauge("process_resident_memory_bytes", "Resident memory.", resident);
    let stat = disk::read_bounded(Path::new("/proc/self/stat"), STAT_BYTES_MAX).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    // The program's name, in parentheses, may have anything in it.
    let mut after = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut ticks = || after.next().and_then(|ticks| ticks.parse::<f64>().ok());
    if let (Some(user), Some(system)) = (ticks(), ticks()) {
        let help = "Processor time of the user and the system.";
        text.counter("process_cpu_seconds_total", help, (user + system) / TICKS_PER_S);
    }
    text.gauge("process_open_fds", "Open files.", process::open_files());
}

fn traffic(api: &Api, text: &mut Text) {
    let routes = api.traffic.all();
    if routes.is_empty() {
        return;
    }
    let help = "Requests that were answered, by route and code.";
    let mut family = text.family("vedette_api_requests_total", Kind::Counter, help);
    for (path, route) in &routes {
        let Ok(codes) = route.codes.lock() else { continue };
        for (code, count) in codes.iter() {
            family.sample(&[("route", path), ("code", &code.to_string())], count);
        }
    }
    let help = "How long requests took.";
    let mut family = text.family("vedette_api_request_seconds", Kind::Histogram, help);
    for (path, route) in &routes {
        family.histogram(&[("route", path)], &route.time.read());
    }
}

fn outbox(figures: &StoreFigures, text: &mut Text) {
    let help = "Messages that the broker has not acknowledged.";
    text.gauge("vedette_outbox_records", help, Some(figures.records));
    text.gauge("vedette_outbox_bytes", "Their bytes.", Some(figures.bytes));
    let help = "Age of the oldest message that the broker has not acknowledged.";
    text.gauge("vedette_outbox_oldest_age_seconds", help, figures.oldest_age_s);
    let classes = ["alarm", "event", "observation", "telemetry"];
    let dropped = classes.into_iter().zip(figures.dropped.map(Some));
    let help = "Messages that gave way for want of room or for their age.";
    text.counters("vedette_outbox_dropped_total", help, "class", dropped);
    let help = "Messages larger than any broker takes.";
    text.counter("vedette_outbox_oversized_total", help, figures.oversized);
    let help = "Messages that were on disk and could not be read again.";
    text.counter("vedette_outbox_damaged_total", help, figures.damaged);
    let help = "Stores that were set aside because they could not be used.";
    text.counter("vedette_outbox_quarantined_total", help, figures.quarantined);
}

fn releases(standings: &[(String, Standing)], text: &mut Text) {
    if standings.is_empty() {
        return;
    }
    let help =
        "Releases of each model: what runs, what is before it, under way, and was refused last.";
    let mut family = text.family("vedette_release_info", Kind::Gauge, help);
    for (slot, standing) in standings {
        let refused = standing.refused.as_ref().map(|refusal| &refusal.release);
        for (role, release) in [
            ("installed", standing.installed.as_ref()),
            ("previous", standing.previous.as_ref()),
            ("offered", standing.offered.as_ref()),
            ("refused", refused),
        ] {
            let Some(release) = release else { continue };
            let (version, counter) = (release.version.as_str(), release.counter.to_string());
            let labels =
                [("model", &**slot), ("role", role), ("version", version), ("counter", &counter)];
            family.sample(&labels, 1);
        }
    }
    let help = "What is being done with the release that is under way: 1 for the phase, else 0.";
    let mut family = text.family("vedette_release_phase", Kind::Gauge, help);
    for (slot, standing) in standings {
        let now = standing.phase.unwrap_or(Phase::Idle);
        for (phase, name) in PHASES {
            family.sample(&[("model", slot), ("phase", name)], u8::from(phase == now));
        }
    }
    let of = |value: fn(&Standing) -> Option<u64>| {
        standings.iter().map(move |(slot, standing)| (slot.as_str(), value(standing)))
    };
    let help = "Bytes of the release under way that are here and verified.";
    text.gauges("vedette_release_progress_bytes", help, "model", of(|s| Some(s.progress_bytes)));
    let help = "Bytes of the release under way.";
    text.gauges("vedette_release_bytes", help, "model", of(|s| Some(s.total_bytes)));
    let help = "Whether the last look for a release failed.";
    let trouble = of(|s| Some(u64::from(s.check_error.is_some())));
    text.gauges("vedette_release_check_failed", help, "model", trouble);
}
