//! NVIDIA's own client of the inference protocol, against a real daemon.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tests::{Folder, places};

use crate::oip::daemon;

#[test]
fn nvidias_client_infers_every_type_and_understands_every_error() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "")?;
    let python = places::python_api()?;
    let script = places::repository().join("tests/python/triton_client.py");
    let ran = Command::new(python).arg(script).arg(port.to_string()).output().context("python")?;
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    ensure!(ran.status.success() && out.ends_with("all well\n"), "{out}{err}\n{}", daemon.log());
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
