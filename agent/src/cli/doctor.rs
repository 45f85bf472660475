//! `vedette doctor`.

use std::io::IsTerminal as _;

use clap::Args;

use super::{ConfigArgs, say};
use crate::doctor::{Finding, Patient, Verdict, examine};
use crate::supervisor::exit;

/// Room for the longest name of a check.
const NAME_WIDTH: usize = 15;

/// Looks for what keeps this device from doing its work, and says what to type. Nothing is changed.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    config: ConfigArgs,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self) -> u8 {
        let patient = Patient::new(self.config.config);
        let colour = std::io::stdout().is_terminal();
        let mut findings = Vec::new();
        let well = examine(&patient, |finding| {
            if self.json {
                findings.push(finding.clone());
            } else {
                say(&in_words(finding, colour));
            }
        });
        if self.json {
            say(&serde_json::json!({ "well": well, "findings": findings }).to_string());
        }
        if well { exit::OK } else { exit::FAILED }
    }
}

/// A finding's line, and below it what to do.
fn in_words(finding: &Finding, colour: bool) -> String {
    let (sign, paint) = match finding.verdict {
        Verdict::Well => ("✓", "32"),
        Verdict::Wrong => ("✗", "31"),
        Verdict::Skipped => ("–", "2"),
    };
    let sign = if colour { format!("\x1b[{paint}m{sign}\x1b[0m") } else { sign.to_owned() };
    let mut text = format!("{sign} {:NAME_WIDTH$} {}", finding.check, finding.said);
    for todo in &finding.todo {
        text.push_str(&format!("\n{:>width$}{todo}", "→ ", width = NAME_WIDTH + 5));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let finding = Finding {
            check: "clock",
            verdict: Verdict::Wrong,
            said: "it is wrong".to_owned(),
            todo: vec!["timedatectl".to_owned()],
        };
        let lines: Vec<String> = in_words(&finding, false).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "✗ clock           it is wrong");
        assert_eq!(lines[1].trim(), "→ timedatectl");
        assert!(in_words(&finding, true).starts_with("\x1b[31m✗"), "red where there is a terminal");
    }
}
