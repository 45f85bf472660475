//! `vedette-fleet publish`: from a model folder to a signed release.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};
use wire::release::{CHUNK_BYTES, DOCUMENT_BYTES_MAX, FILES_MAX, SCHEMA};
use wire::topic::{BadName, is_name};
use wire::{Digest, ReleaseDocument, ReleaseFile, Terms};

use crate::files;
use crate::repository::{Changed, Repository};
use crate::{KeyArgs, say};

/// Largest `model.toml`, as the agent has it.
const TOML_BYTES_MAX: u64 = 1 << 20;
/// Read at once.
const PIECE_BYTES: usize = 1 << 20;
/// Deepest folder in a model folder.
const DEPTH_MAX: usize = 4;

/// Check a model folder, sign it, and put it into the repository. No device takes it before a rollout
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The repository
    repository: PathBuf,
    /// The model folder: model.onnx, model.toml, golden/
    folder: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// Its place in the order of this model's releases [default: one more than the last]
    #[arg(long, value_name = "N")]
    counter: Option<u64>,
    /// No device returns below this counter once it committed this release [default: the last release's]
    #[arg(long, value_name = "N")]
    min_counter: Option<u64>,
    /// Only for this board, by its device tree or architecture; may be repeated
    #[arg(long = "board", value_name = "NAME")]
    boards: Vec<String>,
    /// Oldest agent that can run it
    #[arg(long, value_name = "VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    minimum_agent: String,
    /// Most MiB of memory that its rehearsal may take
    #[arg(long, value_name = "N", default_value_t = 4096)]
    memory_mb: u64,
    /// Free MiB that it needs on the disk beside its files, such as for built engines
    #[arg(long, value_name = "N", default_value_t = 0)]
    disk_mb: u64,
    /// Most milliseconds that 95 of 100 frames may take [default: judged by the committed model]
    #[arg(long, value_name = "N")]
    p95_ms: Option<u64>,
    /// Most that a frame may take against the committed model's, in thousandths
    #[arg(long, value_name = "N", default_value_t = Terms::default().slower_permille)]
    slower_permille: u64,
    /// Least seconds of the trial on live frames
    #[arg(long, value_name = "N", default_value_t = Terms::default().soak_s)]
    soak_s: u64,
    /// Most seconds of the trial
    #[arg(long, value_name = "N", default_value_t = Terms::default().trial_s)]
    trial_s: u64,
    /// Least frames of the trial
    #[arg(long, value_name = "N", default_value_t = Terms::default().min_inferences)]
    min_inferences: u64,
    /// Most frames that may fail, in millionths
    #[arg(long, value_name = "N", default_value_t = Terms::default().failed_ppm)]
    failed_ppm: u64,
    /// Seconds after the commit within which failing health or a crash goes back
    #[arg(long, value_name = "N", default_value_t = Terms::default().probation_s)]
    probation_s: u64,
    /// Most seconds to open it and run its golden samples
    #[arg(long, value_name = "N", default_value_t = Terms::default().rehearsal_s)]
    rehearsal_s: u64,
    /// The agent that checks the folder [default: `vedette` beside this program, or on the PATH]
    #[arg(long, value_name = "FILE")]
    vedette: Option<PathBuf>,
    /// Check the folder's structure only: for a machine without ONNX Runtime. The devices still run its samples
    #[arg(long)]
    without_running: bool,
}

impl Publish {
    pub(crate) fn run(self) -> Result<()> {
        let (model, version) = name(&self.folder)?;
        let keys = self.keys.ring();
        let mut repository = Repository::open(&self.repository, &keys)?;
        keys.unlock(&["targets", "snapshot", "timestamp"])?;
        self.verify()?;
        let release = self.document(&repository, model, version)?;
        let target = ReleaseDocument::target(&release.model, &release.version);
        let bytes = serde_json::to_vec_pretty(&release)?;
        let digest = Digest::of(&bytes);
        if let Some((published, _)) = Repository::find(&repository.targets, &target) {
            if published == digest {
                say(&format!("{} {} is published already", release.model, release.version));
                return Ok(());
            }
            bail!(
                "{} {} is published with other content: a version never changes, give this one a new one",
                release.model,
                release.version
            );
        }
        ReleaseDocument::parse(&bytes).context("no device would take this release")?;
        let before = repository.timestamp.version;
        let mut new = Vec::new();
        let mut place = || -> Result<()> {
            self.copy(&repository, &release, &mut new)?;
            let path = repository.target_path(&target, &digest);
            new.push(path.clone());
            files::replace(&path, &bytes, 0o644)?;
            let length = u64::try_from(bytes.len())?;
            Repository::list(&mut repository.targets, &target, &digest, length)?;
            for file in &release.files {
                let (name, length) = (file.target(), file.length);
                Repository::list(&mut repository.targets, &name, &file.sha256, length)?;
            }
            repository.commit(&keys, Changed { targets: true, rollout: false }, false)
        };
        if let Err(error) = place() {
            // What nobody was told of only fills the disk.
            if !repository.shows_since(before) {
                new.iter().for_each(|path| drop(std::fs::remove_file(path)));
            }
            return Err(error);
        }
        say(&format!(
            "published {} {} (counter {}, {} files, {} bytes)\nroll it out with: vedette-fleet rollout {} {} {}",
            release.model,
            release.version,
            release.counter,
            release.files.len(),
            release.bytes(),
            self.repository.display(),
            release.model,
            release.version
        ));
        Ok(())
    }

    /// Has the agent look at the folder, as a device will.
    fn verify(&self) -> Result<()> {
        let beside = std::env::current_exe()?.with_file_name("vedette");
        let program = match &self.vedette {
            Some(program) => program.clone(),
            None if beside.is_file() => beside,
            None => "vedette".into(),
        };
        let mut command = Command::new(&program);
        command.args(["model", "verify", "--json"]).arg(&self.folder);
        if self.without_running {
            command.arg("--without-running");
        }
        let output = command.output().with_context(|| {
            format!(
                "cannot start `{}`, which checks the folder as a device will: install the agent, or say --vedette FILE",
                program.display()
            )
        })?;
        let verdict: serde_json::Value =
            serde_json::from_slice(&output.stdout).with_context(|| {
                format!(
                    "`{}` does not answer: {}",
                    program.display(),
                    String::from_utf8_lossy(&output.stderr).trim()
                )
            })?;
        if output.status.success() && verdict["passed"] == true {
            return Ok(());
        }
        let mut reasons = String::new();
        for check in verdict["checks"].as_array().into_iter().flatten() {
            if check["passed"] == true {
                continue;
            }
            for line in check["details"].as_array().into_iter().flatten() {
                let (name, line) = (check["name"].as_str(), line.as_str());
                reasons.push_str(&format!("\n  {}: {}", name.unwrap_or(""), line.unwrap_or("")));
            }
        }
        if reasons.contains("ONNX Runtime library") {
            reasons.push_str("\nwithout ONNX Runtime here, --without-running checks what can be");
        }
        bail!("`{}` is refused, as a device would refuse it:{reasons}", self.folder.display())
    }

    fn document(
        &self,
        repository: &Repository,
        model: String,
        version: String,
    ) -> Result<ReleaseDocument> {
        let last = last(repository, &model)?;
        let known = last.iter().find(|release| release.version == version);
        let highest = last.iter().map(|release| release.counter).max().unwrap_or(0);
        let counter = match (self.counter, known) {
            (None, Some(known)) => known.counter,
            (None, None) => highest + 1,
            (Some(counter), None) if counter <= highest => {
                bail!(
                    "counter {counter} is not above {highest}, that of the last release: no device would take it"
                )
            }
            (Some(counter), _) => counter,
        };
        let min = last.iter().map(|release| release.min_counter).max().unwrap_or(0);
        let min_counter = self.min_counter.unwrap_or(min);
        if min_counter < min {
            bail!(
                "min_counter {min_counter} is below {min}, which an earlier release has: devices keep the higher one"
            );
        }
        let mut paths = Vec::new();
        walk(&self.folder, Path::new(""), 0, &mut paths)?;
        paths.sort();
        let bar = progress(&self.folder, &paths, "reading")?;
        let files: Result<Vec<ReleaseFile>> =
            paths.iter().map(|path| describe(&self.folder, path, &bar)).collect();
        bar.finish_and_clear();
        Ok(ReleaseDocument {
            schema: SCHEMA.to_owned(),
            model,
            version,
            counter,
            min_counter,
            boards: self.boards.clone(),
            minimum_agent: self.minimum_agent.clone(),
            disk_bytes: self.disk_mb << 20,
            memory_bytes: self.memory_mb << 20,
            terms: Terms {
                rehearsal_s: self.rehearsal_s,
                p95_ms: self.p95_ms,
                slower_permille: self.slower_permille,
                min_inferences: self.min_inferences,
                soak_s: self.soak_s,
                trial_s: self.trial_s.max(self.soak_s),
                failed_ppm: self.failed_ppm,
                probation_s: self.probation_s,
            },
            files: files?,
        })
    }

    /// Copies what the repository does not have yet, and makes sure that it is what was described. What is there
    /// for that is in `new`.
    fn copy(
        &self,
        repository: &Repository,
        release: &ReleaseDocument,
        new: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let paths: Vec<String> = release.files.iter().map(|file| file.path.clone()).collect();
        let bar = progress(&self.folder, &paths, "copying")?;
        for file in &release.files {
            let to = repository.target_path(&file.target(), &file.sha256);
            if std::fs::metadata(&to).is_ok_and(|there| there.len() == file.length) {
                bar.inc(file.length);
                continue;
            }
            let from = self.folder.join(&file.path);
            let temporary = files::temporary(&to);
            let copied = || -> Result<Digest> {
                let (mut source, mut copy) = (File::open(&from)?, File::create(&temporary)?);
                let (mut sha, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES]);
                loop {
                    let read = source.read(&mut piece)?;
                    if read == 0 {
                        break;
                    }
                    sha.update(&piece[..read]);
                    copy.write_all(&piece[..read])?;
                    bar.inc(u64::try_from(read)?);
                }
                copy.sync_all()?;
                Ok(Digest::from_bytes(sha.finalize().into()))
            };
            let copied = || -> Result<()> {
                let into = || format!("cannot copy `{}` to `{}`", from.display(), to.display());
                if copied().with_context(into)? != file.sha256 {
                    bail!("`{}` changed while it was published: begin again", from.display());
                }
                files::rename(&temporary, &to)
            };
            files::clean(copied(), &temporary)?;
            new.push(to);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// Every release of `model` that the repository has.
pub(crate) fn last(repository: &Repository, model: &str) -> Result<Vec<ReleaseDocument>> {
    let mut releases = Vec::new();
    for name in repository.targets.targets.keys() {
        if !name.raw().starts_with(&format!("release~{model}~")) {
            continue;
        }
        let bytes = repository.document(&repository.targets, name.raw(), DOCUMENT_BYTES_MAX)?;
        let Some(bytes) = bytes else { continue };
        releases.push(
            ReleaseDocument::parse(&bytes)
                .with_context(|| format!("`{}` is no release", name.raw()))?,
        );
    }
    releases.sort_by_key(|release| release.counter);
    Ok(releases)
}

/// Model and version, as `model.toml` has them.
fn name(folder: &Path) -> Result<(String, String)> {
    let path = folder.join("model.toml");
    let text = String::from_utf8(files::read(&path, TOML_BYTES_MAX)?)
        .with_context(|| format!("`{}` is no text", path.display()))?;
    let card: toml::Table =
        toml::from_str(&text).with_context(|| format!("`{}` is no TOML", path.display()))?;
    let key = |key: &str| -> Result<String> {
        let found = card.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        if !is_name(found) {
            bail!("`{}`: {key} {}", path.display(), BadName(found.to_owned()));
        }
        Ok(found.to_owned())
    };
    Ok((key("name")?, key("version")?))
}

/// Every file below `folder`, relative to it.
fn walk(folder: &Path, below: &Path, depth: usize, paths: &mut Vec<String>) -> Result<()> {
    let here = folder.join(below);
    let listing =
        std::fs::read_dir(&here).with_context(|| format!("cannot read `{}`", here.display()))?;
    for entry in listing {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        let shown = folder.join(&path);
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if !is_name(&name) {
            bail!("no device would take `{}`: {}", shown.display(), BadName(name));
        }
        if kind.is_dir() && depth < DEPTH_MAX {
            walk(folder, &path, depth + 1, paths)?;
        } else if kind.is_file() {
            let path =
                path.to_str().with_context(|| format!("`{}` is no name", shown.display()))?;
            paths.push(path.to_owned());
        } else {
            bail!("`{}` is no plain file: copy what it leads to into the folder", shown.display());
        }
        if paths.len() > FILES_MAX {
            bail!("`{}` has more than {FILES_MAX} files", folder.display());
        }
    }
    Ok(())
}

fn describe(folder: &Path, path: &str, bar: &ProgressBar) -> Result<ReleaseFile> {
    let shown = folder.join(path);
    let describe = || -> Result<ReleaseFile> {
        let mut source = File::open(&shown)?;
        let (mut whole, mut chunks, mut length) = (Sha256::new(), Vec::new(), 0);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let mut chunk = Sha256::new();
            let mut bytes = 0;
            while bytes < CHUNK_BYTES {
                let room = usize::try_from(CHUNK_BYTES - bytes)?.min(PIECE_BYTES);
                let read = source.read(&mut piece[..room])?;
                if read == 0 {
                    break;
                }
                whole.update(&piece[..read]);
                chunk.update(&piece[..read]);
                bytes += u64::try_from(read)?;
                bar.inc(u64::try_from(read)?);
            }
            if bytes > 0 {
                chunks.push(Digest::from_bytes(chunk.finalize().into()));
            }
            length += bytes;
            if bytes < CHUNK_BYTES {
                break;
            }
        }
        let sha256 = Digest::from_bytes(whole.finalize().into());
        Ok(ReleaseFile { path: path.to_owned(), length, sha256, chunks })
    };
    describe().with_context(|| format!("cannot read `{}`", shown.display()))
}

/// A bar over the bytes of `paths`, on a terminal only.
fn progress(folder: &Path, paths: &[String], what: &'static str) -> Result<ProgressBar> {
    let mut bytes = 0;
    for path in paths {
        bytes += std::fs::metadata(folder.join(path))?.len();
    }
    let bar = ProgressBar::new(bytes);
    let style = "{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec}";
    bar.set_style(ProgressStyle::with_template(style)?);
    bar.set_message(what);
    Ok(bar)
}
