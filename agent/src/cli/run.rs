//! `vedette run`.

use clap::Args;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{ConfigArgs, complain};
use crate::app;
use crate::config::Config;
use crate::config::checked::{LogFormat, LogSettings};
use crate::hw::heap;
use crate::hw::process::exit_now;
use crate::recent::Recent;
use crate::supervisor::exit;
use crate::watchdog;

/// Runs the daemon in the foreground: a service manager keeps it.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Run {
    pub(super) fn run(self) -> u8 {
        let path = &self.config.config;
        let config = match Config::load(path, std::env::vars()) {
            Ok(config) => config,
            Err(mistakes) => {
                let refusal = self.config.refusal(&mistakes);
                let line = refusal.lines().next().unwrap_or_default();
                watchdog::status(&format!("{line}; `vedette check` lists them"));
                complain(&refusal);
                return exit::CONFIG;
            }
        };
        start_log(&config.log);
        heap::keep_large_apart();
        let ended = app::run(config, app::reread(self.config.config));
        if ended.code != exit::OK {
            watchdog::status(&format!("{}; see `vedette doctor`", ended.message));
            complain(&ended.message);
        }
        // A model may still be loading, as SIGHUP asked: it needs what its library takes down at the process's end.
        // Nothing waits to be printed: what is told ends with a line's end.
        exit_now(ended.code)
    }
}

/// Logs to the journal where standard error is the journal, else to standard error: standard output belongs to
/// observations.
fn start_log(settings: &LogSettings) {
    // Of the library's own chatter only what is wrong, unless the directives say otherwise.
    let directives = format!("ort=warn,{}", settings.level);
    // It was checked when the configuration was read.
    let filter =
        directives.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let journal = match settings.format {
        LogFormat::Auto => is_journal(&std::io::stderr()),
        LogFormat::Journald => true,
        LogFormat::Text | LogFormat::Json => false,
    };
    let log = tracing_subscriber::registry().with(Recent.with_filter(LevelFilter::WARN));
    // Where the journal's socket is not there, its lines go where they always went.
    if journal && let Ok(layer) = tracing_journald::layer() {
        drop(log.with(layer.with_filter(filter)).try_init());
        return;
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = if settings.format == LogFormat::Json {
        log.with(lines.json().with_filter(filter)).try_init()
    } else {
        log.with(lines.with_ansi(terminal).with_target(false).with_filter(filter)).try_init()
    };
    // Only a second call in one process can fail, and then there is a log.
    drop(started);
}

/// Whether `stream` is the one that the service manager connected to the journal, as `$JOURNAL_STREAM`
/// (`device:inode`) says; a redirected one is not.
fn is_journal(stream: &impl std::os::fd::AsFd) -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(stream).is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}
