//! Whether a board is slowed down by its heat: the cooling devices that say so.

use wire::telemetry::Throttle;

use super::super::attribute::{Attribute, Reader, devices, number, text_once};
use super::super::tree::Tree;

/// How the cooling devices end that are at work only when something is wrong. Others (fans, clocks that a trip
/// point may lower) are at work every day, and `hot-surface-alert` says that a case is too hot for a hand.
const ALERTS: [&str; 2] = ["-throttle-alert", "-balanced"];
/// Most of them: a message must hold their names.
const ALERTS_MAX: usize = 16;

/// The devices: type, and what says the type and the state.
#[derive(Debug, Default)]
pub(super) struct Alerts(Vec<(String, Attribute, Option<Attribute>)>);

pub(super) fn find(tree: &Tree) -> Alerts {
    let found = devices(tree, "sys/class/thermal", "cooling_device").into_iter();
    let alerts = found.filter_map(|(place, _)| {
        let kind = text_once(tree, &place, "type")?;
        let alert = ALERTS.iter().any(|end| kind.ends_with(end));
        let named = Attribute::find(tree, &place, "type").filter(|_| alert)?;
        Some((kind, named, Attribute::find(tree, &place, "cur_state")))
    });
    Alerts(alerts.take(ALERTS_MAX).collect())
}

impl Alerts {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Throttle {
        let mut throttle = Throttle::default();
        for (kind, named, state) in &mut self.0 {
            if !named.says(kind, reader) {
                continue;
            }
            let Some(state) = number(state, reader) else { continue };
            *throttle.active.get_or_insert(false) |= state > 0;
            if state > 0 {
                throttle.reasons.push(kind.clone());
            }
        }
        throttle
    }
}
