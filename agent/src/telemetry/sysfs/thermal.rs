//! How hot a board is: its thermal zones with their trip points, and the sensors of its hardware monitors.

use std::collections::BTreeMap;

use wire::telemetry::{Thermal, Zone};

use super::super::attribute::{
    Attribute, Reader, devices, number, number_once, rounded, scaled, text_once, unique,
};
use super::super::tree::Tree;

/// Zones that are no sensors: a constant, and a guess.
const NO_SENSORS: [&str; 2] = ["PMIC-Die", "thermal-fan-est"];
/// The highest of the others, under a name of its own.
const MAXIMA: [&str; 2] = ["tj-thermal", "tj-therm"];
/// Hardware monitors whose temperatures are no thermal zone: board, processor of a PC, disk.
const MONITORS: [&str; 4] = ["tmp451", "coretemp", "k10temp", "nvme"];
/// A monitor that is not the board: its own limit counts, its heat is not the board's.
const APART: &str = "nvme";
/// Most zones: a message must hold them.
const ZONES_MAX: usize = 24;
/// Most trip points of a zone that are looked at.
const TRIPS_MAX: usize = 16;
/// Most cooling devices of a zone that are looked at.
const COOLED_MAX: usize = 32;
/// The cooling device that cools nothing: it says that the board is too hot to be touched, long before it slows down.
const SURFACE: &str = "hot-surface-alert";
/// A trip point below this is for a fan, or a mistake (-274 °C is one).
const TRIP_LEAST_MC: i64 = 40_000;

/// One sensor.
#[derive(Debug)]
struct Sensor {
    name: String,
    /// What the device calls itself, and the attribute that says so.
    called: (Attribute, String),
    temperature: Option<Attribute>,
    trips: Zone,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sensors(Vec<Sensor>);

pub(super) fn find(tree: &Tree) -> Sensors {
    let mut found: Vec<Sensor> = Vec::new();
    let taken = |found: &[Sensor], name: &str| {
        unique(name, |name| found.iter().any(|sensor| sensor.name == name))
    };
    for (place, _) in devices(tree, "sys/class/thermal", "thermal_zone") {
        let Some(called) = called(tree, &place, "type") else { continue };
        let name = taken(&found, &called.1);
        let (temperature, trips) = (Attribute::find(tree, &place, "temp"), trips(tree, &place));
        found.push(Sensor { name, called, temperature, trips });
    }
    for (place, _) in devices(tree, "sys/class/hwmon", "hwmon") {
        let Some(called) = called(tree, &place, "name") else { continue };
        if !MONITORS.contains(&called.1.as_str()) {
            continue;
        }
        let inputs = tree.names(&place).into_iter().filter_map(|name| {
            let number = name.strip_prefix("temp")?.strip_suffix("_input")?;
            number.parse::<u32>().ok()
        });
        for input in inputs {
            let name = taken(&found, &format!("{}-temp{input}", called.1));
            let critical = number_once(tree, &place, &format!("temp{input}_crit"));
            let trips = Zone {
                critical_c: critical.filter(|mc| *mc >= TRIP_LEAST_MC).map(|mc| scaled(mc, 1000)),
                ..Zone::default()
            };
            let temperature = Attribute::find(tree, &place, &format!("temp{input}_input"));
            found.push(Sensor { name, called: called.clone(), temperature, trips });
        }
    }
    found.truncate(ZONES_MAX);
    Sensors(found)
}

/// What the device at `place` calls itself.
fn called(tree: &Tree, place: &str, attribute: &str) -> Option<(Attribute, String)> {
    let name = text_once(tree, place, attribute).filter(|name| !name.is_empty())?;
    Some((Attribute::find(tree, place, attribute)?, name))
}

/// The lowest trip point of each kind, those aside that only say that a surface is hot.
fn trips(tree: &Tree, place: &str) -> Zone {
    let mut zone = Zone::default();
    let cooled = cooled(tree, place);
    for number in 0..TRIPS_MAX {
        let mut by = cooled.iter().filter(|(point, _)| usize::try_from(*point) == Ok(number));
        let is_surface = by.clone().next().is_some() && by.all(|(_, kind)| kind == SURFACE);
        let point = format!("trip_point_{number}");
        let Some(kind) = text_once(tree, place, &format!("{point}_type")) else { break };
        let at = number_once(tree, place, &format!("{point}_temp"));
        let Some(at) = at.filter(|at| *at >= TRIP_LEAST_MC && !is_surface) else { continue };
        let slot = match kind.as_str() {
            "passive" => &mut zone.passive_c,
            "hot" => &mut zone.hot_c,
            "critical" => &mut zone.critical_c,
            _ => continue,
        };
        let at = scaled(at, 1000);
        *slot = Some(slot.map_or(at, |lower| lower.min(at)));
    }
    zone
}

/// The zone's cooling devices: at which of its trip points each is at work, and what it calls itself.
fn cooled(tree: &Tree, place: &str) -> Vec<(i64, String)> {
    let one = |number: usize| {
        let point = number_once(tree, place, &format!("cdev{number}_trip_point"))?;
        Some((point, text_once(tree, place, &format!("cdev{number}/type"))?))
    };
    (0..COOLED_MAX).filter_map(one).collect()
}

impl Sensors {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Thermal {
        let mut zones = BTreeMap::new();
        for sensor in &mut self.0 {
            if !sensor.called.0.says(&sensor.called.1, reader) {
                continue;
            }
            let temperature = number(&mut sensor.temperature, reader).map(|mc| scaled(mc, 1000));
            zones.insert(sensor.name.clone(), Zone { temperature_c: temperature, ..sensor.trips });
        }
        summary(zones)
    }
}

/// The hottest zone, and the one nearest to its lowest trip point.
fn summary(zones: BTreeMap<String, Zone>) -> Thermal {
    let mut hottest: Option<(f64, &str)> = None;
    let mut nearest: Option<(f64, &str)> = None;
    let sensors = zones.iter().filter(|(name, _)| !NO_SENSORS.contains(&name.as_str()));
    // A maximum of the others is named only where it knows of a hotter one.
    let (maxima, others): (Vec<_>, Vec<_>) =
        sensors.partition(|(name, _)| MAXIMA.contains(&name.as_str()));
    for (name, zone) in others.into_iter().chain(maxima) {
        let Some(temperature) = zone.temperature_c else { continue };
        if !name.starts_with(APART) && hottest.is_none_or(|(most, _)| temperature > most) {
            hottest = Some((temperature, name.as_str()));
        }
        let trips = [zone.passive_c, zone.hot_c, zone.critical_c].into_iter().flatten();
        let Some(trip) = trips.min_by(f64::total_cmp) else { continue };
        if nearest.is_none_or(|(least, _)| trip - temperature < least) {
            nearest = Some((trip - temperature, name.as_str()));
        }
    }
    Thermal {
        hottest_c: hottest.map(|(temperature, _)| temperature),
        hottest_zone: hottest.map(|(_, name)| name.to_owned()),
        margin_c: nearest.map(|(margin, _)| rounded(margin)),
        margin_zone: nearest.map(|(_, name)| name.to_owned()),
        zones,
    }
}
