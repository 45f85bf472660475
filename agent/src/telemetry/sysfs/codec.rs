//! Video and vision engines: what the kernel lists with a changing clock, by the name of their node.

use std::collections::BTreeMap;

use wire::telemetry::Codec;

use super::super::attribute::{Attribute, Reader, count, devices, text_once, unique};
use super::super::tree::Tree;

/// What they are called in the device tree, and on the newest board.
const ENGINES: [&str; 6] = ["nvdec", "nvenc", "nvjpg", "ofa", "vic", "gpu-nvd-0"];
/// Most of them: a message must hold them.
const ENGINES_MAX: usize = 8;

/// One engine.
#[derive(Debug)]
struct Node {
    name: String,
    frequency: Option<Attribute>,
    power: Option<Attribute>,
}

/// All engines.
#[derive(Debug, Default)]
pub(super) struct Engines(Vec<Node>);

pub(super) fn find(tree: &Tree) -> Engines {
    let mut found: Vec<Node> = Vec::new();
    for (place, device) in devices(tree, "sys/class/devfreq", "") {
        let node = text_once(tree, &place, "device/of_node/name");
        let end = device.rsplit('.').next().unwrap_or(&device).to_owned();
        let name = node.filter(|name| ENGINES.contains(&name.as_str())).unwrap_or(end);
        if !ENGINES.contains(&name.as_str()) || found.len() == ENGINES_MAX {
            continue;
        }
        let name = unique(&name, |name| found.iter().any(|engine| engine.name == name));
        found.push(Node {
            name,
            frequency: Attribute::find(tree, &place, "cur_freq"),
            power: Attribute::find(tree, &place, "device/power/runtime_status"),
        });
    }
    Engines(found)
}

impl Engines {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> BTreeMap<String, Codec> {
        let engines = self.0.iter_mut().map(|node| {
            let power = node.power.as_mut().and_then(|power| match power.text(reader)? {
                "active" => Some(true),
                "suspended" => Some(false),
                _ => None,
            });
            let codec = Codec { frequency_hz: count(&mut node.frequency, reader), active: power };
            (node.name.clone(), codec)
        });
        engines.collect()
    }
}
