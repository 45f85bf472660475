//! `vedette check`.

use clap::Args;

use super::{ConfigArgs, say};
use crate::model::ModelFolder;
use crate::supervisor::exit;

/// Reads the configuration as `run` would and starts nothing.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> u8 {
        if self.json {
            return self.run_json();
        }
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        for pipeline in &config.pipelines {
            let model = &config.models[pipeline.model];
            let sinks: Vec<&str> =
                pipeline.sinks.iter().map(|&sink| config.sinks[sink].name.as_str()).collect();
            let lighter = pipeline.lighter.as_ref().map(|lighter| {
                let ModelFolder { name, version, .. } = &config.models[lighter.model].folder;
                format!(" (under load {name} {version})")
            });
            say(&format!(
                "pipeline {}: {} → {} {}{} → {}",
                pipeline.name,
                pipeline.source_kind,
                model.folder.name,
                model.folder.version,
                lighter.unwrap_or_default(),
                sinks.join(", ")
            ));
        }
        say(&format!("`{}` is good", self.config.config.display()));
        exit::OK
    }

    fn run_json(&self) -> u8 {
        let loaded = crate::config::Config::load(&self.config.config, std::env::vars());
        let mistakes: Vec<serde_json::Value> = loaded
            .as_ref()
            .err()
            .into_iter()
            .flatten()
            .map(|mistake| {
                serde_json::json!({
                    "at": mistake.at.to_string(),
                    "key": mistake.key,
                    "message": mistake.message,
                })
            })
            .collect();
        say(&serde_json::json!({ "good": mistakes.is_empty(), "mistakes": mistakes }).to_string());
        if mistakes.is_empty() { exit::OK } else { exit::CONFIG }
    }
}
