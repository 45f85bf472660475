//! `vedette kinds`.

use clap::Args;

use super::say;
use crate::kinds::{ENGINES, Kind, POSTPROCESSES, RULES, SINKS, SOURCES};
use crate::supervisor::exit;
use crate::telemetry::board::BOARDS;

/// Prints what a configuration can name.
#[derive(Debug, Args)]
pub(super) struct Kinds {
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

/// A kind's name, summary and example.
type Row = (&'static str, &'static str, &'static str);

impl Kinds {
    pub(super) fn run(self) -> u8 {
        let tables = [
            ("source", rows(SOURCES)),
            ("engine", rows(ENGINES)),
            ("postprocess", rows(POSTPROCESSES)),
            ("event", rows(RULES)),
            ("sink", rows(SINKS)),
            ("board", BOARDS.iter().map(|board| (board.name, board.title, "")).collect()),
        ];
        if self.json {
            let kinds: Vec<serde_json::Value> = tables
                .iter()
                .flat_map(|(what, rows)| rows.iter().map(move |row| (what, row)))
                .map(|(what, (name, summary, example))| {
                    serde_json::json!({
                        "what": what, "name": name, "summary": summary, "example": example,
                    })
                })
                .collect();
            say(&serde_json::Value::from(kinds).to_string());
            return exit::OK;
        }
        for (what, rows) in tables {
            for (name, summary, example) in rows {
                say(&format!("{what} {name}: {summary}"));
                if example.is_empty() {
                    continue;
                }
                say("");
                for line in example.lines() {
                    say(&format!("    {line}"));
                }
                say("");
            }
        }
        exit::OK
    }
}

fn rows<S: ?Sized>(kinds: &'static [Kind<S>]) -> Vec<Row> {
    kinds.iter().map(|kind| (kind.name, kind.summary, kind.example)).collect()
}
