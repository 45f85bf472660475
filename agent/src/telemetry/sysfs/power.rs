//! What a board draws, by the three drivers that boards have for it.
//!
//! Units differ: mV and mA of the INA3221 (channels from 1 under hwmon, from 0 under iio), µW of the INA238. What
//! is no rail is not one: channels 4 to 7 are shunt voltages and their sum, `NC` is a channel with nothing on it.

use std::collections::BTreeMap;

use wire::telemetry::{Power, Rail};

use super::super::attribute::{Attribute, Reader, count, devices, text_once, unique};
use super::super::board::{Board, INPUT_RAILS, Total};
use super::super::tree::Tree;

/// Channels of an INA3221.
const CHANNELS: u32 = 3;
/// Most rails: a message must hold them.
const RAILS_MAX: usize = 16;
/// What a channel is called that has nothing on it.
const NOT_CONNECTED: &str = "NC";
/// Where the old driver's devices are.
const IIO: &str = "sys/bus/i2c/drivers/ina3221x";

/// Where one rail is read.
#[derive(Debug)]
struct Channel {
    name: String,
    /// Says the name again where the number of the device may change.
    label: (Attribute, String),
    voltage_mv: Option<Attribute>,
    current_ma: Option<Attribute>,
    /// What the chip itself multiplied, and how many of its units are a milliwatt.
    power: Option<(Attribute, u64)>,
    limit_ma: Option<Attribute>,
}

/// All rails.
#[derive(Debug)]
pub(super) struct Rails {
    channels: Vec<Channel>,
    total: Total,
}

pub(super) fn find(tree: &Tree, board: &Board) -> Rails {
    let mut channels: Vec<Channel> = Vec::new();
    let mut add = |channel: Option<Channel>| {
        let Some(mut channel) = channel.filter(|channel| channel.name != NOT_CONNECTED) else {
            return;
        };
        let taken = |name: &str| channels.iter().any(|known| known.name == name);
        channel.name = unique(&channel.name, taken);
        if channels.len() < RAILS_MAX {
            channels.push(channel);
        }
    };
    for (place, _) in devices(tree, "sys/class/hwmon", "hwmon") {
        match text_once(tree, &place, "name").as_deref() {
            Some("ina3221") => (1..=CHANNELS).for_each(|number| add(ina3221(tree, &place, number))),
            Some("ina238") => add(ina238(tree, &place)),
            _ => {}
        }
    }
    for (chip, _) in devices(tree, IIO, "") {
        for (place, _) in devices(tree, &chip, "iio:device") {
            (0..CHANNELS).for_each(|number| add(ina3221x(tree, &place, number)));
        }
    }
    Rails { channels, total: board.total }
}

fn label(tree: &Tree, place: &str, name: &str) -> Option<(Attribute, String)> {
    let text = text_once(tree, place, name).filter(|text| !text.is_empty())?;
    Some((Attribute::find(tree, place, name)?, text))
}

fn ina3221(tree: &Tree, place: &str, number: u32) -> Option<Channel> {
    let label = label(tree, place, &format!("in{number}_label"))?;
    let of = |what: &str| Attribute::find(tree, place, what);
    Some(Channel {
        name: label.1.clone(),
        label,
        voltage_mv: of(&format!("in{number}_input")),
        current_ma: of(&format!("curr{number}_input")),
        power: None,
        limit_ma: of(&format!("curr{number}_crit")),
    })
}

fn ina238(tree: &Tree, place: &str) -> Option<Channel> {
    let label = label(tree, place, "in1_label").or_else(|| label(tree, place, "name"))?;
    let name = if label.1 == "ina238" { "VIN".to_owned() } else { label.1.clone() };
    let of = |what: &str| Attribute::find(tree, place, what);
    Some(Channel {
        name,
        label,
        voltage_mv: of("in1_input"),
        current_ma: of("curr1_input"),
        power: of("power1_input").map(|power| (power, 1000)),
        limit_ma: None,
    })
}

fn ina3221x(tree: &Tree, place: &str, number: u32) -> Option<Channel> {
    let label = label(tree, place, &format!("rail_name_{number}"))?;
    let of = |what: String| Attribute::find(tree, place, &what);
    Some(Channel {
        name: label.1.clone(),
        label,
        voltage_mv: of(format!("in_voltage{number}_input")),
        current_ma: of(format!("in_current{number}_input")),
        power: of(format!("in_power{number}_input")).map(|power| (power, 1)),
        limit_ma: of(format!("crit_current_limit_{number}")),
    })
}

impl Rails {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Power {
        let mut rails = BTreeMap::new();
        for channel in &mut self.channels {
            if !channel.label.0.says(&channel.label.1, reader) {
                continue;
            }
            let voltage_mv = count(&mut channel.voltage_mv, reader);
            let current_ma = count(&mut channel.current_ma, reader);
            let measured = channel
                .power
                .as_mut()
                .and_then(|(power, units)| Some(power.count(reader)? / *units));
            let multiplied = || Some(voltage_mv?.checked_mul(current_ma?)? / 1000);
            let rail = Rail {
                voltage_mv,
                current_ma,
                power_mw: measured.or_else(multiplied),
                limit_ma: count(&mut channel.limit_ma, reader),
            };
            rails.insert(channel.name.clone(), rail);
        }
        Power { total_mw: total(self.total, &rails), rails }
    }
}

/// What the whole board draws. A sum with a part missing is no sum.
fn total(total: Total, rails: &BTreeMap<String, Rail>) -> Option<u64> {
    let power = |name: &str| rails.get(name)?.power_mw;
    match total {
        Total::Rail(name) => power(name),
        Total::Sum(names) => names.iter().map(|name| power(name)).sum(),
        Total::Unknown => INPUT_RAILS.iter().find_map(|name| power(name)),
    }
}
