//! Which readings become sensors, and what Home Assistant is told of each.

/// One reading.
#[derive(Debug)]
pub struct Reading {
    /// Where it is in its payload.
    pub path: &'static [&'static str],
    /// What people call it.
    pub name: &'static str,
    /// Its unit, as Home Assistant writes it; empty where it has none.
    pub unit: &'static str,
    /// Home Assistant's device class; empty where there is none.
    pub class: &'static str,
    /// Whether it only grows.
    pub counts: bool,
}

const fn reading(
    path: &'static [&'static str],
    name: &'static str,
    unit: &'static str,
    class: &'static str,
) -> Reading {
    Reading { path, name, unit, class, counts: false }
}

const fn counter(path: &'static [&'static str], name: &'static str) -> Reading {
    Reading { path, name, unit: "", class: "", counts: true }
}

/// Readings of `telemetry/board` by a fixed name.
pub const SINGLE: &[Reading] = &[
    reading(&["gpu", "load_percent"], "GPU load", "%", ""),
    reading(&["gpu", "frequency_hz"], "GPU clock", "Hz", "frequency"),
    reading(&["gpu", "memory_used_bytes"], "GPU memory used", "B", "data_size"),
    reading(&["thermal", "hottest_c"], "Temperature", "°C", "temperature"),
    reading(&["thermal", "margin_c"], "Margin to the next trip point", "°C", ""),
    reading(&["power", "total_mw"], "Power", "mW", "power"),
    reading(&["memory", "available_bytes"], "Memory available", "B", "data_size"),
    reading(&["memory", "swap_used_bytes"], "Swap used", "B", "data_size"),
    reading(&["host", "cpu_percent"], "CPU load", "%", ""),
    reading(&["host", "load_1m"], "Load, 1 minute", "", ""),
    reading(&["host", "uptime_s"], "Uptime", "s", "duration"),
    reading(&["store", "records"], "Messages waiting for the broker", "", ""),
    reading(&["store", "oldest_age_s"], "Oldest message waiting", "s", "duration"),
    counter(&["over_current", "oc1", "events_total"], "Under-voltage events"),
    counter(&["over_current", "oc2", "events_total"], "Average over-current events"),
    counter(&["over_current", "oc3", "events_total"], "Momentary over-current events"),
    counter(&["memory", "oom_kills_total"], "Processes ended for want of memory"),
];

/// Readings of `telemetry/board` that there are several of: the table by name, and what is shown of each row.
pub const EACH: &[(&[&str], Reading)] = &[
    (&["thermal", "zones"], reading(&["temperature_c"], "temperature", "°C", "temperature")),
    (&["power", "rails"], reading(&["power_mw"], "power", "mW", "power")),
    (&["fans"], reading(&["duty_percent"], "duty", "%", "")),
    (&["fans"], reading(&["speed_rpm"], "speed", "rpm", "")),
    (&["host", "disks"], reading(&["available_bytes"], "available", "B", "data_size")),
];

/// Readings of `telemetry/pipeline/<pipeline>`.
pub const PIPELINE: &[Reading] = &[
    reading(&["captured_rate_hz"], "captured frames a second", "Hz", "frequency"),
    reading(&["inferred_rate_hz"], "inferred frames a second", "Hz", "frequency"),
    reading(&["latency_p50_ms"], "latency, median", "ms", "duration"),
    reading(&["latency_p95_ms"], "latency, 95th percentile", "ms", "duration"),
    counter(&["replaced_total"], "replaced frames"),
    counter(&["failed_total"], "failed frames"),
    counter(&["reopened_total"], "reopened"),
];
