//! How often a board drew too much: counters of the kernel since the board started.

use super::super::attribute::{Attribute, Reader, count, devices, flag, number, text_once};
use super::super::tree::Tree;

/// What the monitor calls itself.
const NAME: &str = "soctherm_oc";

/// Where the counters are, where a board has them.
#[derive(Debug, Default)]
pub(super) struct Counters(Option<Node>);

#[derive(Debug)]
struct Node {
    name: Attribute,
    events: [Option<Attribute>; 3],
    throttles: [Option<Attribute>; 3],
}

/// What the counters say: events since the start, and whether they slow the board down; OC1 to OC3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Events.
    pub events: [Option<u64>; 3],
    /// Whether they slow it down.
    pub throttles: [Option<bool>; 3],
}

pub(super) fn find(tree: &Tree) -> Counters {
    let node = devices(tree, "sys/class/hwmon", "hwmon").into_iter().find_map(|(place, _)| {
        if text_once(tree, &place, "name").as_deref() != Some(NAME) {
            return None;
        }
        let of = |end: &str| {
            [1, 2, 3].map(|number| Attribute::find(tree, &place, &format!("oc{number}_{end}")))
        };
        let name = Attribute::find(tree, &place, "name")?;
        Some(Node { name, events: of("event_cnt"), throttles: of("throt_en") })
    });
    Counters(node)
}

impl Counters {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Counted {
        let Some(node) = &mut self.0 else { return Counted::default() };
        if !node.name.says(NAME, reader) {
            return Counted::default();
        }
        let mut counted = Counted::default();
        for (index, events) in node.events.iter_mut().enumerate() {
            counted.events[index] = count(events, reader);
        }
        for (index, throttles) in node.throttles.iter_mut().enumerate() {
            counted.throttles[index] = flag(number(throttles, reader));
        }
        counted
    }
}
