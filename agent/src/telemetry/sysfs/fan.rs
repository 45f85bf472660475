//! Fans: their power by one device, their speed often by another.

use std::collections::BTreeMap;

use wire::telemetry::Fan;

use super::super::attribute::{
    Attribute, Reader, count, devices, flag, number, scaled, text_once, unique,
};
use super::super::tree::Tree;

/// Full power.
const PWM_MAX: i64 = 255;
/// Where JetPack 4 has its fan; it has no tachometer.
const OLD: &str = "sys/devices/pwm-fan";
/// The name of a fan that is the only one.
const ONLY: &str = "fan";
/// Most fans: a message must hold them.
const FANS_MAX: usize = 6;

/// Where one fan is read.
#[derive(Debug, Default)]
struct Node {
    name: String,
    /// What its devices call themselves.
    called: Vec<(Attribute, String)>,
    duty: Option<Attribute>,
    speed: Option<Attribute>,
    enabled: Option<Attribute>,
}

/// All fans.
#[derive(Debug, Default)]
pub(super) struct Fans(Vec<Node>);

pub(super) fn find(tree: &Tree) -> Fans {
    let mut found: Vec<Node> = Vec::new();
    let mut tachos: Vec<Node> = Vec::new();
    for (place, _) in devices(tree, "sys/class/hwmon", "hwmon") {
        let (Some(name), Some(called)) =
            (text_once(tree, &place, "name"), Attribute::find(tree, &place, "name"))
        else {
            continue;
        };
        let called = vec![(called, name.clone())];
        let of = |what: &str| Attribute::find(tree, &place, what);
        match name.as_str() {
            "pwmfan" => found.push(Node {
                name: ONLY.to_owned(),
                called,
                duty: of("pwm1"),
                speed: of("fan1_input"),
                enabled: of("pwm1_enable"),
            }),
            "pwm_tach" => tachos.push(Node { called, speed: of("rpm"), ..Node::default() }),
            _ => found.extend(monitored(tree, &place, &called)),
        }
    }
    // The tachometer belongs to the fan, wherever there is one of each.
    for (fan, tacho) in
        found.iter_mut().filter(|fan| fan.name == ONLY && fan.speed.is_none()).zip(tachos)
    {
        fan.called.extend(tacho.called);
        fan.speed = tacho.speed;
    }
    let duty = |name| Attribute::find(tree, OLD, name);
    if let Some(duty) = duty("cur_pwm").or_else(|| duty("target_pwm")) {
        found.push(Node { name: ONLY.to_owned(), duty: Some(duty), ..Node::default() });
    }
    found.truncate(FANS_MAX);
    for index in 0..found.len() {
        let name =
            unique(&found[index].name, |name| found[..index].iter().any(|fan| fan.name == name));
        found[index].name = name;
    }
    Fans(found)
}

/// Whether `name` is that of a header of a PC's hardware monitor, which reads 0 where no fan is plugged in.
#[must_use]
pub fn is_header(name: &str) -> bool {
    !name.starts_with(ONLY)
}

/// The fans of a PC's hardware monitor.
fn monitored(tree: &Tree, place: &str, called: &[(Attribute, String)]) -> Vec<Node> {
    let numbers = tree
        .names(place)
        .into_iter()
        .filter_map(|name| name.strip_prefix("fan")?.strip_suffix("_input")?.parse::<u32>().ok());
    let node = |number: u32| Node {
        name: format!("{}-{number}", called.first().map_or(ONLY, |(_, name)| name)),
        called: called.to_vec(),
        duty: Attribute::find(tree, place, &format!("pwm{number}")),
        speed: Attribute::find(tree, place, &format!("fan{number}_input")),
        enabled: None,
    };
    numbers.map(node).collect()
}

impl Fans {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> BTreeMap<String, Fan> {
        let mut fans = BTreeMap::new();
        for node in &mut self.0 {
            // Every one, so that all that changed is noted.
            let same = node
                .called
                .iter_mut()
                .map(|(at, name)| at.says(name, reader))
                .fold(true, |a, b| a & b);
            if !same {
                continue;
            }
            let duty = number(&mut node.duty, reader).filter(|pwm| (0..=PWM_MAX).contains(pwm));
            let fan = Fan {
                duty_percent: duty.map(|pwm| scaled(pwm * 100, PWM_MAX)),
                speed_rpm: count(&mut node.speed, reader),
                enabled: flag(number(&mut node.enabled, reader)),
            };
            fans.insert(node.name.clone(), fan);
        }
        fans
    }
}
