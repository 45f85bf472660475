//! Certificates of an authority that exists only for one test.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{Folder, places};

/// An authority, its certificates and their keys, in a folder of their own.
#[derive(Debug)]
pub struct Authority {
    folder: Folder,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// What makes keys that are made at once.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

impl Authority {
    /// A new one, called `name`.
    ///
    /// # Errors
    /// openssl is not installed or does not do it.
    pub fn new(name: &str) -> Result<Self> {
        let (authority, subject) = (Self { folder: Folder::new()? }, format!("/CN={name}"));
        let mut arguments = vec!["req", "-x509", "-days", "2", "-subj", &subject];
        arguments.extend(KEY);
        arguments.extend(["-addext", "basicConstraints=critical,CA:TRUE"]);
        arguments.extend(["-keyout", "ca.key", "-out", "ca.pem"]);
        authority.openssl(&arguments)?;
        Ok(authority)
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate that it signs for `names`, such as `DNS:localhost,IP:127.0.0.1`, valid for `days`: -1 is
    /// over already.
    ///
    /// # Errors
    /// As [`Authority::new`].
    pub fn sign(&self, file: &str, names: &str, days: i32) -> Result<Pair> {
        let (key, request) = (format!("{file}.key"), format!("{file}.csr"));
        let (certificate, days) = (format!("{file}.pem"), days.to_string());
        let (subject, names) = (format!("/CN={file}"), format!("subjectAltName={names}"));
        let mut arguments = vec!["req", "-subj", &subject, "-addext", &names];
        arguments.extend(KEY);
        arguments.extend(["-keyout", &key, "-out", &request]);
        self.openssl(&arguments)?;
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-copy_extensions",
            "copy",
            "-days",
            &days,
            "-out",
            &certificate,
        ])?;
        Ok(Pair { certificate: self.folder.join(&certificate), key: self.folder.join(&key) })
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(places::program("openssl")?);
        let output = command
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .context("cannot run openssl")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Pair {
    /// The lines by which a mosquitto speaks TLS with it.
    #[must_use]
    pub fn listener(&self) -> String {
        format!("certfile {}\nkeyfile {}\n", self.certificate.display(), self.key.display())
    }
}
