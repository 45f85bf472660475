//! Where a built TensorRT engine is kept, so that it never runs for another model.
//!
//! TensorRT's own name for an engine in ONNX Runtime is made of the model's *file name*, its inputs' and
//! outputs' names and versions, but neither of its weights nor of its shapes: a retrained `model.onnx` would
//! silently run the old engine.
//!
//! **Invariant:** two models, or one model with two settings, versions or devices, never share a folder, and
//! the file that is opened is named by the model's digest. `key` is a digest over all of [`Facts`]; the test
//! below changes each of them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::options::{Options, TensorRt};

/// Most folders that are kept: some models with some settings, and the versions before them.
const FOLDERS_MAX: usize = 16;

/// Everything that a built engine depends on. What is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Digest of the model.
    pub model: String,
    /// Version of ONNX Runtime.
    pub runtime: String,
    /// Version of TensorRT.
    pub tensorrt: String,
    /// Version of CUDA.
    pub cuda: String,
    /// GPU and board.
    pub gpu: String,
    /// Which of several GPUs.
    pub device: u16,
    /// Release of the board's system.
    pub l4t: String,
    /// Settings that change the engine: precision, calibration, accelerator, effort.
    pub precision: String,
    /// Extents of inputs with free dimensions.
    pub profile: String,
}

impl Facts {
    /// Those that `model`'s digest, the settings and the calibration table's content decide.
    pub(super) fn of(model: &str, runtime: &str, options: &Options, table: &[u8]) -> Self {
        // Every setting is named, so that a new one cannot be forgotten here.
        let TensorRt {
            fp16,
            int8,
            calibration_table: _,
            native_calibration,
            engine_cache: _,
            timing_cache: _,
            workspace_bytes,
            cuda_graph: _,
            dla_core,
            optimization_level,
            profiles,
        } = &options.tensorrt;
        let table = if table.is_empty() { String::new() } else { hex(&Sha256::digest(table)) };
        Self {
            model: model.to_owned(),
            runtime: runtime.to_owned(),
            device: options.device,
            precision: format!(
                "fp16={fp16} int8={int8} native={native_calibration} table={table} \
                 workspace={workspace_bytes} dla={dla_core:?} \
                 level={optimization_level} optimization={:?}",
                options.optimization
            ),
            profile: format!("{profiles:?}"),
            ..Self::default()
        }
    }
}

/// The name of the folder for engines built under these circumstances.
#[must_use]
pub fn key(facts: &Facts) -> String {
    let Facts { model, runtime, tensorrt, cuda, gpu, device, l4t, precision, profile } = facts;
    let device = device.to_string();
    let mut digest = Sha256::new();
    for part in [model, runtime, tensorrt, cuda, gpu, &device, l4t, precision, profile] {
        // With its length before it, no part can continue in the next.
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    hex(&digest.finalize())
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In a folder: held by the process that builds in it.
const LOCK: &str = "lock";

/// In a folder: what was built in it is whole.
const WHOLE: &str = "whole";

/// A folder of the cache, held against other processes until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    /// The folder.
    pub(super) folder: PathBuf,
    /// The graph in it.
    pub(super) graph: PathBuf,
    _lock: fs::File,
}

impl Claim {
    /// What was built in the folder ran: the next process may use it.
    pub(super) fn complete(&self) -> io::Result<()> {
        fs::File::create(self.folder.join(WHOLE))?.sync_all()
    }
}

/// Makes `cache/key/` ready and puts the model in it: the graph as `<digest>.onnx`, its external data under
/// their own names, linked where they are on the same file system and copied where not. What a process left
/// there that was ended while it built is removed; so are folders that were not used for longest. Waits while
/// another process builds in the same folder.
pub(super) fn prepare(
    cache: &Path,
    key: &str,
    graph: &Path,
    data: &[PathBuf],
    digest: &str,
) -> io::Result<Claim> {
    let folder = cache.join(key);
    fs::create_dir_all(&folder)?;
    let lock = fs::File::create(folder.join(LOCK))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if !folder.join(WHOLE).exists() {
        clear(&folder)?;
    }
    // Its time of use, for `prune`.
    fs::File::open(&folder)?.set_modified(std::time::SystemTime::now())?;
    prune(cache, &folder);
    for path in data {
        // Whoever made the list has checked that; a file outside the folder is never written even so.
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(io::Error::other("external data outside the model's folder"));
        }
        let from = graph.parent().unwrap_or(Path::new("")).join(path);
        let to = folder.join(path);
        fs::create_dir_all(to.parent().unwrap_or(&folder))?;
        place(&from, &to)?;
    }
    let to = folder.join(format!("{digest}.onnx"));
    place(graph, &to)?;
    Ok(Claim { folder, graph: to, _lock: lock })
}

/// Removes everything in `folder` but the lock.
fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != LOCK {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Puts a copy of a calibration table where TensorRT looks for it; returns its name.
pub(super) fn place_table(folder: &Path, table: &[u8]) -> io::Result<&'static str> {
    const NAME: &str = "calibration.table";
    let mut file = fs::File::create(folder.join(NAME))?;
    file.write_all(table)?;
    Ok(NAME)
}

/// Makes `to` the same file as `from`. It appears whole or not at all.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    let from = fs::canonicalize(from)?;
    match fs::metadata(to) {
        Ok(there) => {
            let source = fs::metadata(&from)?;
            if (there.dev(), there.ino()) == (source.dev(), source.ino()) {
                return Ok(());
            }
            // Not even a whole one is trusted: it may be a link to a file that was written to since.
            fs::remove_file(to)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if fs::hard_link(&from, to).is_ok() {
        return Ok(());
    }
    let part = to.with_extension("part");
    fs::copy(&from, &part)?;
    fs::File::open(&part)?.sync_all()?;
    fs::hard_link(&part, to)?;
    fs::remove_file(&part)
}

/// Removes the folders of `cache` that were not used for longest, `current` excepted.
fn prune(cache: &Path, current: &Path) {
    let folders = fs::read_dir(cache).into_iter().flatten().flatten();
    let mut folders: Vec<_> = folders
        .filter_map(|entry| {
            let (path, about) = (entry.path(), entry.metadata().ok()?);
            // Only what has the form of a key: whatever else lies there is somebody else's.
            let ours = about.is_dir() && entry.file_name().len() == 64 && path != current;
            ours.then_some((about.modified().ok()?, path))
        })
        .collect();
    folders.sort();
    let surplus = (folders.len() + 1).saturating_sub(FOLDERS_MAX);
    for (_, path) in folders.into_iter().take(surplus) {
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old engine");
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
