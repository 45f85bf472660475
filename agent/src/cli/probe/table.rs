//! Readings for people: one line each, aligned, with units; what was not read is a dash.

use wire::Readings;
use wire::telemetry::{Fan, LoadSource, NvmlDevice, OverCurrentEvents, Rail, Zone};

/// Width of the names: the longest that a board has fits.
const NAME_WIDTH: usize = 22;
/// A zone that is so near to its trip point is shown in red, one within twice that in yellow.
const NEAR_C: f64 = 5.0;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// A page that grows line by line.
struct Page {
    text: String,
    colour: bool,
}

/// `readings` of a board that is called `title`, in colour where `colour`.
pub(super) fn page(title: &str, readings: &Readings, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    board(&mut page, title, readings);
    gpu(&mut page, readings);
    readings.nvml.iter().for_each(|device| nvml(&mut page, device));
    thermal(&mut page, readings);
    power(&mut page, readings);
    memory(&mut page, readings);
    host(&mut page, readings);
    page.text.trim_end().to_owned()
}

impl Page {
    fn head(&mut self, title: &str) {
        let title = self.painted(title, BOLD);
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&title);
        self.text.push('\n');
    }

    fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        self.text.push_str(&format!("  {name:<NAME_WIDTH$} {value}\n"));
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.colour { format!("{colour}{text}{RESET}") } else { text.to_owned() }
    }
}

fn board(page: &mut Page, title: &str, readings: &Readings) {
    let board = &readings.board;
    page.head(&format!("Board: {title}"));
    page.line("model", text(board.model.as_deref()));
    page.line("system on a chip", text(board.soc.as_deref()));
    if board.serial.is_some() {
        page.line("serial number", text(board.serial.as_deref()));
    }
    let jetpack = board.jetpack.as_deref().map(|jetpack| format!("JetPack {jetpack}"));
    let software = board.l4t.as_ref().zip(jetpack).map(|(l4t, pack)| format!("L4T {l4t}, {pack}"));
    page.line("software", text(software.as_deref()));
    let mode = match (board.power_mode_id, &board.power_mode) {
        (Some(id), Some(name)) => Some(format!("{name} ({id})")),
        (Some(id), None) => Some(id.to_string()),
        _ => None,
    };
    page.line("power mode", text(mode.as_deref()));
}

fn gpu(page: &mut Page, readings: &Readings) {
    let gpu = &readings.gpu;
    page.head(&gpu.name.as_ref().map_or("GPU".to_owned(), |name| format!("GPU: {name}")));
    let source = match gpu.load_source {
        Some(LoadSource::Sysfs) => " (sysfs)",
        Some(LoadSource::Nvml) => " (NVML)",
        None => "",
    };
    page.line("load", unit(gpu.load_percent, "%") + source);
    let (least, most) = (mhz(gpu.frequency_min_hz), mhz(gpu.frequency_max_hz));
    page.line("clock", format!("{} ({least} to {most})", mhz(gpu.frequency_hz)));
    page.line("governor", text(gpu.governor.as_deref()));
    if gpu.memory_total_bytes.is_some() {
        page.line("memory", of(gpu.memory_used_bytes, gpu.memory_total_bytes));
    }
    for (name, codec) in &readings.codecs {
        let state = match codec.active {
            Some(true) => ", on",
            Some(false) => ", off",
            None => "",
        };
        page.line(name, mhz(codec.frequency_hz) + state);
    }
}

fn nvml(page: &mut Page, device: &NvmlDevice) {
    page.head(&format!("NVML: {}", text(device.name.as_deref())));
    page.line("load", unit(device.load_percent, "%"));
    page.line("temperature", unit(device.temperature_c, "°C"));
    page.line("power", format!("{} of {}", watts(device.power_mw), watts(device.power_limit_mw)));
    page.line("clock", format!("{} of {}", mhz(device.frequency_hz), mhz(device.frequency_max_hz)));
    page.line("memory", of(device.memory_used_bytes, device.memory_total_bytes));
    page.line("fan", unit(device.fan_percent, "%"));
    let (corrected, uncorrected) = (count(device.ecc_corrected), count(device.ecc_uncorrected));
    page.line("ECC errors", format!("{corrected} corrected, {uncorrected} not"));
    let reasons = device.clock_reasons.as_ref().map(|reasons| reasons.join(", "));
    page.line("clocks held down by", text(reasons.as_deref()));
    let (generation, lanes) = (device.pcie_generation, device.pcie_lanes);
    let link =
        generation.zip(lanes).map(|(generation, lanes)| format!("gen {generation}, {lanes} lanes"));
    page.line("PCIe", text(link.as_deref()));
    for process in device.processes.iter().flatten() {
        page.line(&format!("process {}", process.pid), bytes(process.memory_bytes));
    }
}

fn thermal(page: &mut Page, readings: &Readings) {
    page.head("Temperatures");
    for (name, zone) in &readings.thermal.zones {
        let trips = trips(zone);
        let value = unit(zone.temperature_c, "°C");
        let lowest = [zone.passive_c, zone.hot_c, zone.critical_c].into_iter().flatten();
        let margin =
            lowest.min_by(f64::total_cmp).zip(zone.temperature_c).map(|(trip, now)| trip - now);
        let value = match margin {
            Some(margin) if margin <= NEAR_C => page.painted(&value, RED),
            Some(margin) if margin <= 2.0 * NEAR_C => page.painted(&value, YELLOW),
            _ => value,
        };
        page.line(name, format!("{value}{trips}"));
    }
    let hottest = readings.thermal.hottest_zone.as_deref();
    page.line("hottest", format!("{} {}", unit(readings.thermal.hottest_c, "°C"), text(hottest)));
    let throttle = &readings.throttle;
    let state = match throttle.active {
        Some(true) => page.painted(&format!("yes: {}", throttle.reasons.join(", ")), RED),
        Some(false) => "no".to_owned(),
        None => text(None),
    };
    page.line("throttled", state);
    for (name, Fan { duty_percent, speed_rpm, enabled }) in &readings.fans {
        let off = if *enabled == Some(false) { ", switched off" } else { "" };
        page.line(name, format!("{}, {} rpm{off}", unit(*duty_percent, "%"), count(*speed_rpm)));
    }
}

fn trips(zone: &Zone) -> String {
    let trips = [("slower", zone.passive_c), ("hot", zone.hot_c), ("off", zone.critical_c)];
    let said = trips.into_iter().filter_map(|(what, at)| Some(format!("{what} at {} °C", at?)));
    let said: Vec<String> = said.collect();
    if said.is_empty() { String::new() } else { format!("  ({})", said.join(", ")) }
}

fn power(page: &mut Page, readings: &Readings) {
    page.head("Power");
    page.line("total", watts(readings.power.total_mw));
    for (name, Rail { voltage_mv, current_ma, power_mw, limit_ma }) in &readings.power.rails {
        let limit = limit_ma.map_or(String::new(), |limit| format!("  (limit {limit} mA)"));
        let (volts, amperes) = (count(*voltage_mv), count(*current_ma));
        page.line(name, format!("{}  {volts} mV  {amperes} mA{limit}", watts(*power_mw)));
    }
    let oc = &readings.over_current;
    for (name, events) in [
        ("under-voltage (OC1)", oc.oc1),
        ("over-current (OC2)", oc.oc2),
        ("over-current (OC3)", oc.oc3),
    ] {
        let OverCurrentEvents { events_total, events_per_s, .. } = events;
        if events_total.is_some() {
            let rate = events_per_s.map_or(String::new(), |rate| format!(", {rate} per s"));
            page.line(name, format!("{} events{rate}", count(events_total)));
        }
    }
}

fn memory(page: &mut Page, readings: &Readings) {
    let memory = &readings.memory;
    page.head("Memory");
    page.line("available", of(memory.available_bytes, memory.total_bytes));
    page.line("swap used", of(memory.swap_used_bytes, memory.swap_total_bytes));
    page.line("compressed used", of(memory.zram_used_bytes, memory.zram_total_bytes));
    page.line("ended for want of it", count(memory.oom_kills_total) + " processes");
}

fn host(page: &mut Page, readings: &Readings) {
    let host = &readings.host;
    page.head("Host");
    let uptime =
        host.uptime_s.map(|s| format!("{} d {} h {} min", s / 86_400, s / 3600 % 24, s / 60 % 60));
    page.line("up for", text(uptime.as_deref()));
    page.line("processor", unit(host.cpu_percent, "%"));
    for (index, percent) in host.cores_percent.iter().enumerate() {
        let clock = host.cores_hz.get(index).map(|hz| format!(", {}", mhz(Some(*hz))));
        page.line(&format!("core {index}"), format!("{percent:.1} %{}", clock.unwrap_or_default()));
    }
    let loads = [host.load_1m, host.load_5m, host.load_15m];
    let loads: Vec<String> = loads.into_iter().flatten().map(|load| format!("{load:.2}")).collect();
    page.line("load", if loads.is_empty() { text(None) } else { loads.join(" ") });
    let clock =
        host.clock_synchronised.map(|same| if same { "synchronised" } else { "not synchronised" });
    page.line("clock", text(clock));
    for (mount, disk) in &host.disks {
        page.line(
            mount,
            format!("{} free", of(Some(disk.available_bytes), Some(disk.total_bytes))),
        );
    }
    for (name, network) in &host.networks {
        let (received, sent) =
            (bytes(Some(network.received_bytes)), bytes(Some(network.sent_bytes)));
        page.line(name, format!("{received} received, {sent} sent"));
    }
}

fn text(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("–").to_owned()
}

fn unit(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| text(None), |value| format!("{value:.1} {unit}"))
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| text(None), |count| count.to_string())
}

fn mhz(hz: Option<u64>) -> String {
    hz.map_or_else(|| text(None), |hz| format!("{} MHz", hz / 1_000_000))
}

fn watts(mw: Option<u64>) -> String {
    mw.map_or_else(|| text(None), |mw| format!("{}.{:02} W", mw / 1000, mw % 1000 / 10))
}

fn bytes(bytes: Option<u64>) -> String {
    let Some(bytes) = bytes else { return text(None) };
    let mib = bytes >> 20;
    if mib >= 10_240 { format!("{} GiB", mib >> 10) } else { format!("{mib} MiB") }
}

fn of(part: Option<u64>, whole: Option<u64>) -> String {
    format!("{} of {}", bytes(part), bytes(whole))
}
