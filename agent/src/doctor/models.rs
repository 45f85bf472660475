//! Are the models whole: those of the configuration, and the releases that serve in their place?

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Finding, Patient, UNTIL_CONFIGURED};
use crate::config::checked::ModelConfig;
use crate::report;
use crate::update::store::Store;

const CHECK: &str = "models";
/// What is read at one time.
const CHUNK_BYTES: usize = 1 << 20;
/// Digits of a digest that are shown: enough to compare by eye.
const DIGITS: usize = 12;

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let Ok(config) = &patient.config else {
        return vec![Finding::skipped(CHECK, UNTIL_CONFIGURED)];
    };
    if config.models.is_empty() {
        return vec![Finding::skipped(CHECK, "none is configured")];
    }
    let store = Store::at(&config.state_dir);
    config
        .models
        .iter()
        .map(|model| serving(&store, model).unwrap_or_else(|| configured(model)))
        .collect()
}

/// The folder of the configuration. Its graph was looked at when that was read.
fn configured(model: &ModelConfig) -> Finding {
    let folder = &model.folder;
    let digest: String = folder.sha256.chars().take(DIGITS).collect();
    Finding::well(
        CHECK,
        format!(
            "{}: {} {}, `{}`, sha256 {digest}…",
            model.name,
            folder.name,
            folder.version,
            folder.path.display()
        ),
    )
}

/// The release that serves in place of the folder, every byte of it read; `None` where none does.
fn serving(store: &Store, model: &ModelConfig) -> Option<Finding> {
    model.release.as_ref()?;
    let name = &model.name;
    let damaged = |said: String| {
        let todo =
            [format!("sudo vedette model rollback {name}"), "sudo vedette update check".to_owned()];
        Some(Finding::wrong(CHECK, said, todo))
    };
    let record = match store.load(name) {
        Ok(record) => record,
        Err(error) => return damaged(format!("{name}: {}", report::chain(&error))),
    };
    let good = record.good?;
    let release = &good.release;
    let document = match store.document(&release.release) {
        Ok(document) => document,
        Err(error) => return damaged(format!("{name}: {}", report::chain(&error))),
    };
    let folder = store.folder(&release.release);
    for file in &document.files {
        let path = folder.join(&file.path);
        match digest(&path) {
            Ok(found) if found == file.sha256 => {}
            Ok(_) => return damaged(format!("{name}: `{}` is damaged", path.display())),
            Err(error) => return damaged(format!("{name}: `{}`: {error}", path.display())),
        }
    }
    let said = format!(
        "{name}: release {} (counter {}), {} files, each as signed",
        release.version,
        release.counter,
        document.files.len()
    );
    Some(Finding::well(CHECK, said))
}

/// The SHA-256 of the file at `path`.
fn digest(path: &Path) -> io::Result<wire::Digest> {
    let (mut file, mut sha, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(wire::Digest::from_bytes(sha.finalize().into())),
            count => sha.update(chunk.get(..count).unwrap_or_default()),
        }
    }
}
