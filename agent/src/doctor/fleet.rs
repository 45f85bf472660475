//! Does the operator's repository answer, is its word signed for this device, and is it fresh?

use jiff::Timestamp;

use super::{Finding, Patient, UNTIL_CONFIGURED};
use crate::report;
use crate::update::trust::TrustError;
use crate::update::{self, UpdateSettings, VisitError};

const CHECK: &str = "fleet";

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let Ok(config) = &patient.config else {
        return vec![Finding::skipped(CHECK, UNTIL_CONFIGURED)];
    };
    let Some(settings) = &config.update else {
        return vec![Finding::skipped(
            CHECK,
            "no releases are taken: [update] would say from where",
        )];
    };
    vec![match super::wait(update::visit(settings, &config.state_dir)) {
        Ok(Ok(expires)) => Finding::well(CHECK, said(settings, expires)),
        Ok(Err(error)) => wrong(settings, &error),
        Err(error) => Finding::wrong(CHECK, format!("cannot be asked: {error}"), ["free -h"]),
    }]
}

fn said(settings: &UpdateSettings, expires: Option<Timestamp>) -> String {
    let until = expires.map(|time| time.strftime(", fresh until %Y-%m-%d %H:%M UTC").to_string());
    format!("`{}`: signed for this device{}", settings.url, until.unwrap_or_default())
}

fn wrong(settings: &UpdateSettings, error: &VisitError) -> Finding {
    let root = settings.root.display();
    let todo = match error {
        VisitError::Scratch(_) => vec!["df /tmp     # is there room?".to_owned()],
        VisitError::Copy { .. } => vec!["sudo vedette doctor".to_owned()],
        VisitError::Http(_) => vec!["sudoedit /etc/vedette/vedette.toml     # [update]".to_owned()],
        VisitError::Trust { source, .. } => match source {
            TrustError::Transport(_) => {
                vec![format!("curl -sSI {}/metadata/timestamp.json", settings.url)]
            }
            TrustError::Expired(_) => vec![
                "vedette-fleet refresh REPO --keys KEYS     # at the operator's, by a timer"
                    .to_owned(),
                "timedatectl     # or is this device's clock ahead?".to_owned(),
            ],
            TrustError::Root { .. } | TrustError::Signatures(_) => {
                vec![format!(
                    "compare `{root}` with root.json of the operator's keys: sha256sum {root}"
                )]
            }
            _ => vec!["sudo vedette status".to_owned()],
        },
    };
    Finding::wrong(CHECK, report::chain(error), todo)
}
