//! The graphs of ONNX's own test suite, more than a thousand by many hands: each is accepted, or refused with
//! a reason, and none takes this process with it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vedette::hw::ort::{Options, Provider};
use vedette::model::graph::Policy;
use vedette::model::verify::{Settings, verify};

/// Writes every model of the suite that the package has into the folder that is its argument.
const WRITE: &str = r#"
import pathlib, sys, warnings
warnings.simplefilter("ignore")
import onnx.backend.test
from onnx.backend.test.loader import load_model_tests
out = pathlib.Path(sys.argv[1])
data = pathlib.Path(onnx.backend.test.__file__).parent / "data"
for path in data.glob("*/*/model.onnx"):
    (out / f"{path.parent.parent.name}-{path.parent.name}.onnx").write_bytes(path.read_bytes())
for case in load_model_tests(kind="node"):
    if getattr(case, "model", None) is not None:
        (out / f"node-{case.name}.onnx").write_bytes(case.model.SerializeToString())
"#;

/// The suite of the pinned package has some 1,900; fewer than this means that it was not found.
const MODELS_MIN: usize = 1000;

fn models(folder: &Path) -> Vec<PathBuf> {
    let python = support::named("VEDETTE_TEST_PYTHON");
    let output = Command::new(python).arg("-c").arg(WRITE).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(found.len() >= MODELS_MIN, "only {} models", found.len());
    found
}

#[test]
fn every_graph_of_the_test_suite_is_accepted_or_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let models = models(folder.path());
    let settings = Settings {
        program: env!("CARGO_BIN_EXE_vedette").into(),
        library: Some(support::library()),
        options: Options { providers: vec![Provider::Cpu], threads: 1, ..Options::default() },
        policy: Policy::default(),
        cache: None,
        time_limit: Duration::from_secs(30),
        memory_limit_bytes: 2 << 30,
        polite: false,
        run: true,
    };
    let (next, refused) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(path) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = verify(path, &settings);
                    if !verdict.passed {
                        let check = verdict.checks.last().unwrap().clone();
                        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                        refused
                            .lock()
                            .unwrap()
                            .insert(name, (check.name, check.details.join("; ")));
                    }
                }
            });
        }
    });
    let refused = refused.into_inner().unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unnamed = Vec::new();
    for (name, (check, details)) in &refused {
        println!("{name}: {check}: {details}");
        *counts.entry(check).or_default() += 1;
        // A crash or a hang has a name too, and is the library's; but none of these graphs should cause one.
        let died =
            ["it crashed with", "it was not done after", "it ended with exit code", "it took more"];
        if details.is_empty() || died.iter().any(|sign| details.contains(sign)) {
            unnamed.push(format!("{name}: {details}"));
        }
    }
    let accepted = models.len() - refused.len();
    println!("{} graphs: {accepted} accepted, {} refused: {counts:?}", models.len(), refused.len());
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    assert!(accepted > models.len() / 2, "{accepted} of {} accepted", models.len());
}
