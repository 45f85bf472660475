//! Does the broker answer: its name, the connection with TLS and login, and a message that comes back?

use super::{Finding, Patient, UNTIL_CONFIGURED};
use crate::mqtt::{self, ProbeError};
use crate::report;

const CHECK: &str = "broker";

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let Ok(config) = &patient.config else {
        return vec![Finding::skipped(CHECK, UNTIL_CONFIGURED)];
    };
    let Some(settings) = &config.mqtt else {
        return vec![Finding::skipped(CHECK, "none is configured: add [mqtt] with its `url`")];
    };
    if let Some(why) = settings.withheld() {
        return vec![Finding::skipped(CHECK, format!("nobody asked: {why}"))];
    }
    let look =
        |broker: &mqtt::Address| match super::wait(mqtt::probe(settings, broker, &config.topics)) {
            Ok(Ok(took)) => Finding::well(
                CHECK,
                format!("{broker}: a message came back after {} ms", took.as_millis()),
            ),
            Ok(Err(error)) => wrong(broker, &error),
            Err(error) => Finding::wrong(CHECK, format!("cannot be asked: {error}"), ["free -h"]),
        };
    settings.brokers.iter().map(look).collect()
}

fn wrong(broker: &mqtt::Address, error: &ProbeError) -> Finding {
    let host = &broker.host;
    let todo = match error {
        ProbeError::Name { .. } => vec![
            format!("getent hosts {host}"),
            "resolvectl status        # or name the broker by its number in [mqtt] `url`"
                .to_owned(),
        ],
        // Each says itself what to do.
        ProbeError::Refused(_) | ProbeError::Unable(_) => vec![
            format!("ping -c 3 {host}"),
            "sudoedit /etc/vedette/vedette.toml     # [mqtt]".to_owned(),
        ],
        ProbeError::Forbidden(topic) | ProbeError::Unheard(topic) => {
            vec![format!("let this device read and write `{topic}` in the broker's access list")]
        }
    };
    Finding::wrong(CHECK, format!("{broker}: {}", report::chain(error)), todo)
}
