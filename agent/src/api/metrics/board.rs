//! The families of the board, as it was sampled last: base units, so that dashboards need not know ours.

use std::collections::BTreeMap;

use wire::telemetry::{Memory, NvmlDevice, OverCurrent, Readings};

use super::text::{Kind, Text};
use crate::telemetry::seen::Sample;

pub(super) fn write(sample: &Sample, text: &mut Text) {
    let readings = &sample.readings;
    identity(readings, text);
    gpu(readings, text);
    thermal(readings, text);
    power(readings, text);
    over_current(&readings.over_current, text);
    memory(&readings.memory, text);
    host(readings, text);
    nvml(&readings.nvml, text);
    let alarms = sample.alarms.iter().map(|one| (one.name.as_str(), Some(u8::from(one.active))));
    text.gauges("vedette_alarm_active", "Whether an alarm is raised.", "alarm", alarms);
    let age = jiff::Timestamp::now().duration_since(sample.at).as_secs_f64().max(0.0);
    let help = "Age of the sample that the readings of the board come from.";
    text.gauge("vedette_board_sample_age_seconds", help, Some(age));
}

fn identity(readings: &Readings, text: &mut Text) {
    let board = &readings.board;
    let known = |value: &Option<String>| value.clone().unwrap_or_default();
    let (model, soc, l4t) = (known(&board.model), known(&board.soc), known(&board.l4t));
    let (jetpack, mode) = (known(&board.jetpack), known(&board.power_mode));
    let labels = [
        ("kind", board.kind.as_str()),
        ("model", &model),
        ("soc", &soc),
        ("l4t", &l4t),
        ("jetpack", &jetpack),
        ("power_mode", &mode),
    ];
    text.family("vedette_board_info", Kind::Gauge, "What board this is.").sample(&labels, 1);
}

fn gpu(readings: &Readings, text: &mut Text) {
    let gpu = &readings.gpu;
    text.gauge("vedette_gpu_load_ratio", "How busy the GPU is.", ratio(gpu.load_percent));
    text.gauge("vedette_gpu_frequency_hertz", "Clock of the GPU.", gpu.frequency_hz);
    let help = "The most that the clock of the GPU may rise to.";
    text.gauge("vedette_gpu_frequency_max_hertz", help, gpu.frequency_max_hz);
    let help = "Memory of the GPU's own that is in use.";
    text.gauge("vedette_gpu_memory_used_bytes", help, gpu.memory_used_bytes);
    let help = "Memory of the GPU's own.";
    text.gauge("vedette_gpu_memory_bytes", help, gpu.memory_total_bytes);
    let codecs = named(&readings.codecs, |codec| codec.frequency_hz);
    let help = "Clock of a video or vision engine.";
    text.gauges("vedette_codec_frequency_hertz", help, "codec", codecs);
}

fn thermal(readings: &Readings, text: &mut Text) {
    let zones = named(&readings.thermal.zones, |zone| zone.temperature_c);
    text.gauges("vedette_temperature_celsius", "How hot a zone is.", "zone", zones);
    let help = "How far the zone nearest to its lowest trip point is from it.";
    text.gauge("vedette_temperature_margin_celsius", help, readings.thermal.margin_c);
    let duty = named(&readings.fans, |fan| ratio(fan.duty_percent));
    let help = "How much of full power a fan is given.";
    text.gauges("vedette_fan_duty_ratio", help, "fan", duty);
    let speed = named(&readings.fans, |fan| fan.speed_rpm);
    text.gauges("vedette_fan_rotations_per_minute", "How fast a fan turns.", "fan", speed);
    let help = "Whether something slows the board down.";
    text.gauge("vedette_throttled", help, readings.throttle.active.map(u8::from));
    let reasons = readings.throttle.reasons.iter().map(|reason| (reason.as_str(), Some(1)));
    text.gauges("vedette_throttle_reason", "What slows the board down.", "reason", reasons);
}

fn power(readings: &Readings, text: &mut Text) {
    let help = "What the whole board draws.";
    text.gauge("vedette_power_watts", help, readings.power.total_mw.map(thousandths));
    let rails = named(&readings.power.rails, |rail| rail.power_mw.map(thousandths));
    text.gauges("vedette_rail_power_watts", "What a rail carries.", "rail", rails);
    let rails = named(&readings.power.rails, |rail| rail.voltage_mv.map(thousandths));
    text.gauges("vedette_rail_voltage_volts", "Voltage of a rail.", "rail", rails);
    let rails = named(&readings.power.rails, |rail| rail.current_ma.map(thousandths));
    text.gauges("vedette_rail_current_amperes", "Current of a rail.", "rail", rails);
}

fn over_current(events: &OverCurrent, text: &mut Text) {
    let all = [("oc1", &events.oc1), ("oc2", &events.oc2), ("oc3", &events.oc3)];
    let all = all.into_iter().map(|(name, events)| (name, events.events_total));
    let help = "How often the board drew too much: oc1 under-voltage, oc2 average, oc3 momentary.";
    text.counters("vedette_over_current_events_total", help, "event", all);
}

fn memory(memory: &Memory, text: &mut Text) {
    text.gauge("vedette_memory_bytes", "Memory of the board.", memory.total_bytes);
    let help = "Memory that programs can still get.";
    text.gauge("vedette_memory_available_bytes", help, memory.available_bytes);
    text.gauge("vedette_swap_bytes", "Swap space.", memory.swap_total_bytes);
    text.gauge("vedette_swap_used_bytes", "Swap space in use.", memory.swap_used_bytes);
    if let Some(kills) = memory.oom_kills_total {
        let help = "Processes that the kernel ended for want of memory.";
        text.counter("vedette_oom_kills_total", help, kills);
    }
}

fn host(readings: &Readings, text: &mut Text) {
    let host = &readings.host;
    text.gauge("vedette_cpu_load_ratio", "How busy all cores are.", ratio(host.cpu_percent));
    text.gauge(
        "vedette_load1",
        "Processes that want to run, on average of a minute.",
        host.load_1m,
    );
    let synchronised = host.clock_synchronised.map(u8::from);
    let help = "Whether the clock follows another one.";
    text.gauge("vedette_clock_synchronised", help, synchronised);
    let disks = named(&host.disks, |disk| Some(disk.total_bytes));
    text.gauges("vedette_filesystem_bytes", "Size of a file system.", "mount", disks);
    let disks = named(&host.disks, |disk| Some(disk.available_bytes));
    let help = "What programs can still write to a file system.";
    text.gauges("vedette_filesystem_available_bytes", help, "mount", disks);
    let networks = named(&host.networks, |network| Some(network.received_bytes));
    let help = "Received since the interface came up.";
    text.counters("vedette_network_received_bytes_total", help, "interface", networks);
    let networks = named(&host.networks, |network| Some(network.sent_bytes));
    let help = "Sent since the interface came up.";
    text.counters("vedette_network_sent_bytes_total", help, "interface", networks);
}

fn nvml(devices: &[NvmlDevice], text: &mut Text) {
    let numbers: Vec<String> = (0..devices.len()).map(|number| number.to_string()).collect();
    let of = |value: fn(&NvmlDevice) -> Option<f64>| {
        numbers.iter().map(String::as_str).zip(devices.iter().map(value))
    };
    let load = of(|device| ratio(device.load_percent));
    text.gauges("vedette_nvml_load_ratio", "How busy a GPU is, says NVML.", "gpu", load);
    let temperature = of(|device| device.temperature_c);
    text.gauges("vedette_nvml_temperature_celsius", "How hot a GPU is.", "gpu", temperature);
    let power = of(|device| device.power_mw.map(thousandths));
    text.gauges("vedette_nvml_power_watts", "What a GPU draws.", "gpu", power);
}

/// A value of each thing, by its name.
fn named<'a, T, V>(
    things: &'a BTreeMap<String, T>,
    value: impl Fn(&T) -> Option<V> + 'a,
) -> impl Iterator<Item = (&'a str, Option<V>)> {
    things.iter().map(move |(name, thing)| (name.as_str(), value(thing)))
}

fn ratio(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| percent / 100.0)
}

#[expect(clippy::as_conversions, reason = "milliwatts and their like are far below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "milliwatts and their like are far below 2^53")]
fn thousandths(value: u64) -> f64 {
    value as f64 / 1000.0
}
