//! The API keeps to its own document, whatever it is asked.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tests::bench::{self, BRIGHTNESS};
use tests::{Daemon, Folder, http, onnx, places};

use crate::{api, oip};

/// What is looked at of every answer. Not that all which the document allows is done: which tensors a model takes, the
/// model's own metadata say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,\
                      unsupported_method,allow_header_conformance,ignored_auth";

#[test]
fn every_answer_keeps_to_the_document_whatever_is_asked() -> Result<()> {
    let folder = Folder::new()?;
    let token = folder.write("token", "s3cret\n")?;
    tests::folder::set_mode(&token, 0o600)?;
    let door = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let models = oip::models(&folder)?;
    let api = api("token_file = \"token\"\nbody_mb = 1");
    let config = [bench::head(), api, models, model, door].concat();
    let mut daemon = Daemon::start(&folder, &config)?;
    let port = daemon.api_port()?;
    assert_eq!(http::get(port, "/v1/openapi.json")?.json()?["openapi"], "3.1.0");
    let python = places::python_api()?;
    let ran = Command::new(python.with_file_name("schemathesis"))
        .current_dir(folder.path())
        .args(["--no-color", "run", &format!("http://127.0.0.1:{port}/v1/openapi.json")])
        .args(["--checks", CHECKS, "--phases", "coverage,fuzzing", "--max-examples", "4"])
        .args(["--header", "Authorization: Bearer s3cret", "--request-timeout", "30"])
        // A stream has no end.
        .args(["--exclude-path-regex", "live.mjpg", "--seed", "1", "--no-shrink"])
        .args(["--suppress-health-check", "all", "--continue-on-failure", "--warnings", "off"])
        .output()
        .context("schemathesis")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    ensure!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(http::get(port, "/healthz")?.status, 200);
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}
