//! `vedette run`.

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{ConfigArgs, complain};
use crate::app;
use crate::config::checked::LogSettings;
use crate::supervisor::exit;

/// Runs the daemon in the foreground: a service manager keeps it.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Run {
    pub(super) fn run(self) -> u8 {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(code) => return code,
        };
        start_log(&config.log);
        let ended = app::run(config, app::reread(self.config.config));
        if ended.code != exit::OK {
            complain(&ended.message);
        }
        ended.code
    }
}

/// Logs to standard error: standard output belongs to observations.
fn start_log(settings: &LogSettings) {
    // Of the library's own chatter only what is wrong, unless the directives say otherwise.
    let directives = format!("ort=warn,{}", settings.level);
    // It was checked when the configuration was read.
    let filter = EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = if settings.json {
        builder.json().try_init()
    } else {
        builder.with_ansi(terminal).with_target(false).try_init()
    };
    // Only a second call in one process can fail, and then there is a log.
    drop(started);
}
