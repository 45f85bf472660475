//! A camera of the kernel's, by a stand-in for its driver: a library that is preloaded into the daemon, in
//! `tests/c/v4l2_camera.c`, which says what it is and what it is not.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{Folder, Launch, places};

/// See the module.
#[derive(Debug)]
pub struct Video {
    folder: Folder,
}

impl Video {
    /// A camera that is plugged in and well.
    ///
    /// # Errors
    /// There is no C compiler.
    pub fn new() -> Result<Self> {
        let folder = Folder::new()?;
        let source = places::repository().join("tests/c/v4l2_camera.c");
        let mut command = Command::new(places::program("cc")?);
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.join("camera.so")).arg(source);
        let output = command.output().context("cannot run cc")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        folder.write("jpeg", crate::picture::jpeg(640, 480, 3))?;
        let video = Self { folder };
        video.replug()?;
        Ok(video)
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join("video0")
    }

    /// How it is from now on: a word of the stand-in.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn is(&self, fault: &str) -> Result<()> {
        // A call that finds it empty meanwhile finds a camera that is well, once.
        self.folder.write("fault", fault).map(drop)
    }

    /// Its plug is drawn.
    ///
    /// # Errors
    /// It was out already.
    pub fn unplug(&self) -> Result<()> {
        std::fs::remove_file(self.path())?;
        self.is("unplugged")
    }

    /// Its plug is in, and it is well.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn replug(&self) -> Result<()> {
        self.is("")?;
        self.folder.write("video0", "").map(drop)
    }

    /// What was set and started, in its order.
    #[must_use]
    pub fn log(&self) -> String {
        self.folder.read("log").unwrap_or_default()
    }

    /// Lets a daemon see it.
    #[must_use]
    pub fn shown_to(&self, launch: Launch) -> Launch {
        launch
            .env("LD_PRELOAD", self.folder.join("camera.so"))
            .env("CAMERA_FILE", self.path())
            .env("CAMERA_FAULT", self.folder.join("fault"))
            .env("CAMERA_JPEG", self.folder.join("jpeg"))
            .env("CAMERA_LOG", self.folder.join("log"))
    }
}
