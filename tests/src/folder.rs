//! A directory of one test, removed with everything in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Says who may read and write the file `path`.
///
/// # Errors
/// It is not there.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot change the mode of `{}`", path.display()))
}

/// A directory of one test, removed with everything in it.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// A new, empty one.
    ///
    /// # Errors
    /// The system has no room for temporary files.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vedette-test-").tempdir();
        Ok(Self(folder.context("cannot make a temporary directory")?))
    }

    /// The same in memory, where there is such a place: what is synced a thousand times need not reach a disk here.
    ///
    /// # Errors
    /// The system has no room for temporary files.
    pub fn quick() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vedette-test-").tempdir_in("/dev/shm");
        folder.map(Self).or_else(|_| Self::new())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where `name` is in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes the file `name`, and the directories on the way to it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.join(name);
        let context = || format!("cannot write `{}`", path.display());
        let parent = path.parent().unwrap_or(self.path());
        std::fs::create_dir_all(parent).with_context(context)?;
        let mut file = File::create(&path).with_context(context)?;
        file.write_all(bytes.as_ref()).with_context(context)?;
        Ok(path)
    }

    /// The text of the file `name`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))
    }

    /// Every file below the directory `name`, with what is in it: whether two moments are the same.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn contents(&self, name: &str) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let (mut found, mut folders) = (BTreeMap::new(), vec![self.join(name)]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path)?;
                    found.insert(path, bytes);
                }
            }
        }
        Ok(found)
    }

    /// Copies the files of the model folder `model`, without its golden samples, to the directory `name`.
    ///
    /// # Errors
    /// One of them cannot be copied.
    pub fn copy_model(&self, model: &Path, name: &str) -> Result<PathBuf> {
        let to = self.join(name);
        std::fs::create_dir_all(&to).with_context(|| format!("cannot make `{}`", to.display()))?;
        for file in ["model.onnx", "model.toml"] {
            let from = model.join(file);
            std::fs::copy(&from, to.join(file))
                .with_context(|| format!("cannot copy `{}`", from.display()))?;
        }
        Ok(to)
    }

    /// Replaces `old`, which must be there once or more, by `new` in the file `name`.
    ///
    /// # Errors
    /// The file cannot be read or written, or has no `old`.
    pub fn edit(&self, name: &str, old: &str, new: &str) -> Result<()> {
        let text = self.read(name)?;
        anyhow::ensure!(text.contains(old), "`{name}` has no `{old}` to replace:\n{text}");
        self.write(name, text.replace(old, new)).map(drop)
    }
}
