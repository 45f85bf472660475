//! The agent's own update modules behind the command line of the public TUF conformance suite.
//!
//! ```text
//! tuf-conformance-client --metadata-dir DIR init TRUSTED_ROOT
//! tuf-conformance-client --metadata-dir DIR --metadata-url URL refresh
//! tuf-conformance-client --metadata-dir DIR --metadata-url URL
//!     --target-name NAME --target-base-url URL --target-dir DIR download
//! ```
//!
//! Built by `cargo build --package tests --features conformance --bin tuf-conformance-client`.
//!
//! Exit code 0 where it went well, 1 where the client refuses, as the suite wants it. What this device trusts is in
//! `DIR` as it would be in its state directory, the floors beside it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use vedette::update::LinkSettings;
use vedette::update::http::Http;
use vedette::update::trust::Trust;

#[derive(Parser)]
struct Cli {
    #[arg(long)]
    metadata_dir: PathBuf,
    #[arg(long)]
    metadata_url: Option<String>,
    #[arg(long)]
    target_name: Vec<String>,
    #[arg(long)]
    target_base_url: Option<String>,
    #[arg(long)]
    target_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init { trusted_root: PathBuf },
    Refresh,
    Download,
}

/// What is installed with a device, and does not change.
const PINNED: &str = "pinned";

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program for the suite's log")]
            {
                eprintln!("{error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    // The suite lists every file of the directory as metadata: what is not is kept beside it.
    let beside = cli.metadata_dir.with_extension("device");
    let pinned = beside.join(PINNED);
    if let Command::Init { trusted_root } = &cli.command {
        let root = std::fs::read(trusted_root)?;
        std::fs::create_dir_all(&beside)?;
        vedette::disk::replace(&pinned, &root)?;
        drop(Trust::open(&pinned, &beside, Timestamp::UNIX_EPOCH)?);
        std::fs::create_dir_all(&cli.metadata_dir)?;
        vedette::disk::replace(&cli.metadata_dir.join("root.json"), &root)?;
        return Ok(());
    }
    let metadata = cli.metadata_url.as_deref().context("--metadata-url is missing")?;
    let targets = cli.target_base_url.as_deref().unwrap_or(metadata);
    let transport = Arc::new(Http::with_bases(metadata, targets, &LinkSettings::default())?);
    let trust = Trust::open(&pinned, &beside, Timestamp::UNIX_EPOCH)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let mut view = trust.refresh(transport, Timestamp::now()).await?;
        if matches!(cli.command, Command::Download) {
            let folder = cli.target_dir.as_deref().context("--target-dir is missing")?;
            for name in &cli.target_name {
                // As the suite wants it: a name with slashes is one file.
                let file = folder.join(name.replace('%', "%25").replace('/', "%2F"));
                let kept = std::fs::read(&file).unwrap_or_default();
                if !view.is_target(name, &kept).await? {
                    vedette::disk::replace(&file, &view.download(name).await?)?;
                }
            }
        }
        Ok(())
    });
    show(&beside, &cli.metadata_dir)?;
    done
}

/// Shows the suite what is trusted now.
fn show(device: &std::path::Path, shown: &std::path::Path) -> Result<()> {
    for entry in std::fs::read_dir(device)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.ends_with(".json") && !name.starts_with("floors") {
            vedette::disk::replace(&shown.join(name), &std::fs::read(&path)?)?;
        }
    }
    Ok(())
}
