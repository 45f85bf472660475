//! Which module may name which, and which file may name which vendor crate. The tables are the rule.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Module → modules of this crate that it may name. `pipeline` is listed by its rooms.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("stop", &[]),
    ("report", &[]),
    (
        "api",
        &[
            "commands",
            "config",
            "disk",
            "hw",
            "model",
            "mqtt",
            "outbox",
            "pipeline",
            "recent",
            "report",
            "said",
            "stop",
            "supervisor",
            "telemetry",
            "update",
        ],
    ),
    ("disk", &[]),
    ("said", &[]),
    ("recent", &[]),
    ("latch", &[]),
    (
        "config",
        &[
            "api",
            "commands",
            "disk",
            "events",
            "homeassistant",
            "kinds",
            "model",
            "mqtt",
            "pipeline",
            "telemetry",
            "thinedge",
            "update",
        ],
    ),
    ("kinds", &["config", "hw", "pipeline"]),
    ("hw", &["config", "disk", "pipeline", "report"]),
    ("model", &["config", "disk", "hw", "kinds", "pipeline", "report"]),
    (
        "pipeline",
        &["config", "disk", "hw", "kinds", "latch", "mqtt", "report", "said", "stop", "supervisor"],
    ),
    (
        "events",
        &["config", "disk", "mqtt", "outbox", "pipeline", "report", "said", "stop", "supervisor"],
    ),
    ("doctor", &["config", "disk", "hw", "mqtt", "report", "supervisor", "telemetry", "update"]),
    ("outbox", &["disk", "report", "stop", "supervisor"]),
    ("mqtt", &["config", "disk", "outbox", "pipeline", "report", "said", "stop", "supervisor"]),
    ("supervisor", &["pipeline", "report", "stop"]),
    ("watchdog", &["pipeline", "stop", "supervisor"]),
    (
        "telemetry",
        &[
            "config",
            "disk",
            "hw",
            "latch",
            "mqtt",
            "outbox",
            "pipeline",
            "said",
            "stop",
            "supervisor",
        ],
    ),
    (
        "update",
        &[
            "config",
            "disk",
            "hw",
            "model",
            "mqtt",
            "outbox",
            "pipeline",
            "report",
            "said",
            "stop",
            "supervisor",
        ],
    ),
    (
        "commands",
        &[
            "config",
            "hw",
            "mqtt",
            "outbox",
            "pipeline",
            "recent",
            "report",
            "said",
            "stop",
            "supervisor",
            "update",
        ],
    ),
    ("homeassistant", &["config", "mqtt", "stop", "supervisor"]),
    ("thinedge", &["config", "mqtt", "outbox", "stop", "supervisor"]),
    (
        "app",
        &[
            "api",
            "commands",
            "config",
            "disk",
            "events",
            "homeassistant",
            "hw",
            "model",
            "mqtt",
            "outbox",
            "pipeline",
            "report",
            "said",
            "stop",
            "supervisor",
            "telemetry",
            "thinedge",
            "update",
            "watchdog",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "config",
            "disk",
            "doctor",
            "hw",
            "kinds",
            "model",
            "pipeline",
            "recent",
            "report",
            "stop",
            "supervisor",
            "telemetry",
            "update",
            "watchdog",
        ],
    ),
    ("main", &["cli"]),
];

/// Vendor crate → the files or folders of `src/` that may name it: one for each that talks to hardware or network.
const VENDORS: &[(&str, &[&str])] = &[
    ("ort", &["hw/ort"]),
    ("libloading", &["hw/ort", "hw/gstreamer"]),
    ("turbojpeg", &["hw/jpeg.rs"]),
    ("realfft", &["pipeline/preprocess/spectrum.rs"]),
    ("reqwest", &["update/http.rs", "pipeline/source/http/client.rs"]),
    ("rumqttc", &["mqtt"]),
    ("axum", &["api"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("http_body_util", &["api"]),
    ("tokio_rustls", &["api/tls.rs", "api/server.rs"]),
    ("sd_notify", &["watchdog.rs"]),
    ("rustls_native_certs", &["mqtt/tls.rs"]),
    ("sled", &["outbox/store.rs"]),
    ("sigstore_tuf", &["update/trust.rs"]),
    ("tracing_journald", &["cli/run.rs"]),
    ("tar", &["update/bundle.rs", "telemetry/capture.rs"]),
    ("nvml_wrapper", &["hw/nvml.rs"]),
    ("sysinfo", &["telemetry/host.rs"]),
    ("libc", &["hw/clock.rs", "hw/peek.rs", "hw/process.rs", "hw/v4l2"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("hdrhistogram", &["pipeline/health.rs", "cli/bench"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// The lines of `text` that are code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or_default())
}

/// Whether `line` names the path that begins with `name`, as a word.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let free = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        free && line[at + name.len()..].starts_with("::")
    })
}

#[test]
fn a_module_names_only_those_that_its_layer_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_NAME.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module =
            path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            panic!("module `{module}` is not in the table");
        };
        for line in code(&text) {
            for other in table.keys().filter(|other| **other != module) {
                let named = line.contains(&format!("crate::{other}::"))
                    || line.contains(&format!("crate::{other};"));
                if named && !allowed.contains(other) {
                    wrong.push(format!("{} names `{other}`: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_vendor_crate_is_named_in_one_place() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (vendor, places) in VENDORS {
            let here = places.iter().any(|place| path.starts_with(place));
            if !here && code(&text).any(|line| names(line, vendor)) {
                wrong
                    .push(format!("{} names `{vendor}`: it belongs to {places:?}", path.display()));
            }
        }
    }
    // `main` parses the command line and does nothing else.
    wrong.retain(|line| !line.starts_with("main.rs names `clap`"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pipeline_does_not_know_that_updates_exist() {
    let pipeline = sources().into_iter().filter(|(path, _)| path.starts_with("pipeline"));
    for (path, text) in pipeline {
        assert!(!code(&text).any(|line| line.contains("crate::update")), "{}", path.display());
    }
}
