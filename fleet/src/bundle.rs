//! `vedette-fleet bundle`: one release in one file, for devices without a network.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use wire::rollout::{DOCUMENT_BYTES_MAX, GROUP_DEFAULT, ROLE};
use wire::{ReleaseDocument, RolloutDocument};

use crate::repository::Repository;
use crate::{files, say};

/// Put what is rolled out of a model into one file that `vedette update install` takes
#[derive(Debug, Args)]
pub(crate) struct Bundle {
    /// The repository
    repository: PathBuf,
    /// The file to write
    out: PathBuf,
    /// The model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// The group whose rollout chooses the release
    #[arg(long, value_name = "NAME", default_value = GROUP_DEFAULT)]
    group: String,
}

impl Bundle {
    pub(crate) fn run(self) -> Result<()> {
        let repository = Repository::look(&self.repository)?;
        let name = RolloutDocument::target(&self.model, &self.group);
        let Some(bytes) = repository.document(&repository.rollout, &name, DOCUMENT_BYTES_MAX)?
        else {
            bail!(
                "there is no rollout of {} to group {}: a bundle holds what one chose",
                self.model,
                self.group
            );
        };
        let rollout = RolloutDocument::parse(&bytes)?;
        let mut targets = vec![(name.clone(), wire::Digest::of(&bytes))];
        let name = ReleaseDocument::target(&rollout.model, &rollout.version);
        let max = wire::release::DOCUMENT_BYTES_MAX;
        let bytes = repository
            .document(&repository.targets, &name, max)?
            .with_context(|| format!("`{name}` is not listed"))?;
        let release = ReleaseDocument::parse(&bytes)?;
        targets.push((name, wire::Digest::of(&bytes)));
        let mut blobs: Vec<_> =
            release.files.iter().map(|file| (file.target(), file.sha256)).collect();
        blobs.sort();
        blobs.dedup();
        targets.extend(blobs);

        let mut metadata: Vec<String> = (1..=repository.root.version.get())
            .map(|number| format!("{number}.root.json"))
            .collect();
        metadata.push("timestamp.json".to_owned());
        metadata.push(format!("{}.snapshot.json", repository.snapshot.version));
        metadata.push(format!("{}.targets.json", repository.targets.version));
        metadata.push(format!("{}.{ROLE}.json", repository.rollout.version));
        let mut entries: Vec<(PathBuf, String)> = Vec::new();
        for name in metadata {
            let name = format!("metadata/{name}");
            entries.push((self.repository.join(&name), name));
        }
        for (name, digest) in targets {
            let path = repository.target_path(&name, &digest);
            entries.push((path, format!("targets/{digest}.{name}")));
        }
        let temporary = files::temporary(&self.out);
        files::clean(self.write(&temporary, &entries), &temporary)?;
        say(&format!("{} {} in `{}`", rollout.model, rollout.version, self.out.display()));
        Ok(())
    }

    /// Writes the archive beside its place, then puts it there.
    fn write(&self, temporary: &Path, entries: &[(PathBuf, String)]) -> Result<()> {
        let failed = || format!("cannot write `{}`", self.out.display());
        let mut archive = tar::Builder::new(File::create(temporary).with_context(failed)?);
        archive.mode(tar::HeaderMode::Deterministic);
        for (path, name) in entries {
            append(&mut archive, path, name)?;
        }
        archive.into_inner().and_then(|file| file.sync_all()).with_context(failed)?;
        files::rename(temporary, &self.out)
    }
}

fn append(archive: &mut tar::Builder<File>, path: &Path, name: &str) -> Result<()> {
    archive
        .append_path_with_name(path, name)
        .with_context(|| format!("cannot put `{}` into the bundle", path.display()))
}
