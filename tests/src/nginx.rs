//! Debian's nginx in front of a repository, on a port of its own; killed on drop.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::broker::free_port;
use crate::process::Process;
use crate::{Folder, PATIENCE, places};

/// Ports to try before giving up: between finding a free one and using it somebody else may take it.
const TRIES: usize = 5;

/// Who may read the repository, and how a client knows the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Anybody, in the clear.
    Open,
    /// Over TLS, whoever has a certificate of [`Nginx::folder`]'s authority, and the token.
    Locked,
    /// Over TLS, and from there everybody is sent on to plain HTTP.
    Downgrading,
}

/// The token that a [`Guard::Locked`] one asks for.
pub const TOKEN: &str = "open-sesame";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    folder: Folder,
    port: u16,
    guard: Guard,
    _process: Process,
}

impl Nginx {
    /// One that serves the directory `root`.
    ///
    /// # Errors
    /// nginx is not installed or does not start.
    pub fn start(root: &Path, guard: Guard) -> Result<Self> {
        let folder = Folder::new()?;
        if guard != Guard::Open {
            certificates(&folder)?;
        }
        let mut refused = String::new();
        for _ in 0..TRIES {
            let port = free_port()?;
            folder.write("nginx.conf", configuration(&folder, root, port, guard))?;
            match launch(&folder) {
                Ok(process) => return Ok(Self { folder, port, guard, _process: process }),
                Err(error) => refused = format!("{error:#}"),
            }
        }
        bail!("nginx does not start: {refused}")
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.guard == Guard::Open { "http" } else { "https" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its files: `ca.pem`, `device.pem` and `device.key`, `token`.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// In the foreground, as one process of the user who starts it, and with nothing outside `folder`.
fn configuration(folder: &Folder, root: &Path, port: u16, guard: Guard) -> String {
    let (here, root) = (folder.path().display(), root.display());
    let server =
        format!("ssl_certificate {here}/server.pem; ssl_certificate_key {here}/server.key;\n");
    let (tls, lock) = match guard {
        Guard::Open => ("", String::new()),
        Guard::Locked => (
            " ssl",
            format!(
                "{server}ssl_client_certificate {here}/ca.pem; ssl_verify_client on;\n\
                 if ($http_authorization != \"Bearer {TOKEN}\") {{ return 401; }}\n"
            ),
        ),
        Guard::Downgrading => {
            (" ssl", format!("{server}return 302 http://127.0.0.1:{port}$request_uri;\n"))
        }
    };
    format!(
        "daemon off; master_process off; pid {here}/nginx.pid; error_log stderr notice;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n\
         access_log off; default_type application/octet-stream;\n\
         client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;\n\
         uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n\
         server {{\nlisten 127.0.0.1:{port}{tls}; root {root};\n{lock}}}\n}}\n"
    )
}

fn launch(folder: &Folder) -> Result<Process> {
    let mut command = Command::new(places::program("nginx")?);
    command.arg("-e").arg("stderr").arg("-p").arg(folder.path());
    command.arg("-c").arg(folder.join("nginx.conf"));
    let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()), None)?;
    // It says so once it listens.
    process.wait_log("using the \"", 1, PATIENCE)?;
    Ok(process)
}

/// An authority, a server's certificate for 127.0.0.1 and a device's, and the token.
fn certificates(folder: &Folder) -> Result<()> {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let new = |name: &str, more: &[&str]| {
        let (pem, private) = (format!("{name}.pem"), format!("{name}.key"));
        let subject = format!("/CN={name}");
        let mut args = vec!["req", "-x509", "-out", &pem, "-keyout", &private, "-subj", &subject];
        args.extend(key);
        args.extend(more);
        openssl(folder, &args)
    };
    new("ca", &[])?;
    let signed =
        ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    new("server", &[&signed[..], &["-addext", "subjectAltName=IP:127.0.0.1"]].concat())?;
    new("device", &[&signed[..], &["-addext", "extendedKeyUsage=clientAuth"]].concat())?;
    folder.write("token", format!("{TOKEN}\n"))?;
    for name in ["device.key", "token"] {
        crate::folder::set_mode(&folder.join(name), 0o600)?;
    }
    Ok(())
}

fn openssl(folder: &Folder, args: &[&str]) -> Result<()> {
    let mut command = Command::new(places::program("openssl")?);
    let output = command.current_dir(folder.path()).args(args).output().context("openssl")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
