//! `vedette model verify`, as a process, on good models and on everything that may be called one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use half::f16;
use serde_json::Value as Json;
use support::onnx::{self, BOOL, F32, Free, Graph, I64, N};
use tempfile::TempDir;
use vedette::model::npy::{Array, ArrayData};

/// A model folder with one input `x` and one output `y`.
struct Model(TempDir);

const SHAPE: &[usize] = &[1, 1, 16, 16];

impl Model {
    /// `convolution()`, described, with one golden sample that it passes.
    fn good() -> Self {
        let model = Self(tempfile::tempdir().unwrap());
        model.put("model.onnx", &onnx::convolution());
        model.put("model.toml", TOML.as_bytes());
        model.sample("ones", &[1.0; 256], &[9.0; 2 * 14 * 14]);
        model
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> &Self {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
        self
    }

    /// `model.toml` with `from` replaced by `to`.
    fn toml(&self, from: &str, to: &str) -> &Self {
        assert!(TOML.contains(from), "{from}");
        self.put("model.toml", TOML.replace(from, to).as_bytes())
    }

    fn sample(&self, name: &str, x: &[f32], y: &[f32]) -> &Self {
        let array = |shape: &[usize], numbers: &[f32]| {
            Array { shape: shape.to_vec(), data: ArrayData::F32(numbers.to_vec()) }.to_bytes()
        };
        self.put(&format!("golden/{name}/x.npy"), &array(SHAPE, x));
        self.put(&format!("golden/{name}/y.npy"), &array(&[1, 2, 14, 14], y))
    }
}

const TOML: &str = r#"schema = 1
name = "tiny"
version = "1.0.0"
task = "raw"
labels = []

[[input]]
name = "x"
type = "f32"
shape = ["batch", 1, 16, 16]

[picture]
input = "x"
color = "grey"

[[output]]
name = "y"
type = "f32"
shape = ["batch", 2, 14, 14]

[postprocess]
kind = "raw"
"#;

/// What verify said: exit code, and its JSON.
fn verified(path: &Path, arguments: &[&str]) -> (Option<i32>, Json) {
    let output = Command::new(env!("CARGO_BIN_EXE_vedette"))
        .args(["model", "verify", "--json"])
        .arg(path)
        .arg("--onnxruntime")
        .arg(support::library())
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), json)
}

/// The check that failed and what it said. Exactly one must have.
fn refused(path: &Path, arguments: &[&str]) -> (String, String) {
    let (code, json) = verified(path, arguments);
    assert_eq!((code, &json["passed"]), (Some(1), &Json::Bool(false)), "{json:#}");
    let failed: Vec<&Json> = json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["passed"] == false)
        .collect();
    assert_eq!(failed.len(), 1, "{json:#}");
    let details: Vec<&str> = failed[0]["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    (failed[0]["name"].as_str().unwrap().to_owned(), details.join("\n"))
}

fn assert_refused(path: &Path, arguments: &[&str], check: &str, words: &str) {
    let (name, said) = refused(path, arguments);
    assert!(
        name == check && said.contains(words),
        "expected {check}: {words}\n   found {name}: {said}"
    );
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_committed_models_pass_every_check() {
    for (name, checks) in [("shapes", 5 + 4), ("vibration", 5 + 4)] {
        let (code, json) = verified(&repository().join("models").join(name), &[]);
        assert_eq!(code, Some(0), "{json:#}");
        let names: Vec<&str> = json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(names.len(), checks, "{names:?}");
        assert_eq!(
            names[..5],
            ["graph", "model.toml", "inputs and outputs", "postprocess", "open"]
        );
        assert!(names[5..].iter().all(|name| name.starts_with("golden/")));
        assert_eq!(json["engine"]["provider"], "cpu");
        assert!(json["run_ms"].as_f64().unwrap() > 0.0);
        assert!(json["peak_bytes"].as_u64().unwrap() > 1 << 20);
    }
}

#[test]
fn a_good_model_is_told_to_people_with_ticks() {
    let output = Command::new(env!("CARGO_BIN_EXE_vedette"))
        .args(["model", "verify"])
        .arg(Model::good().path())
        .arg("--onnxruntime")
        .arg(support::library())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for line in [
        "  ✓ graph\n      opset 17, ir 8\n      2 nodes of 2 operators, 72 bytes of constants",
        "takes `x` f32 [batch, 1, 16, 16]",
        "free dimensions: batch",
        "  ✓ golden/ones\ngood\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_graph_alone_is_opened_and_run_too() {
    let model = Model::good();
    let (code, json) = verified(&model.path().join("model.onnx"), &[]);
    assert_eq!(code, Some(0), "{json:#}");
    assert!(json["engine"]["nodes"]["cpu"].as_u64().unwrap() > 0);
}

#[test]
fn what_is_no_model_is_refused_before_any_library_sees_it() {
    let model = Model::good();
    let whole = onnx::convolution();
    for (bytes, words) in [
        (&b""[..], "it is empty"),
        (b"not a model at all", "is no ONNX model: at byte"),
        (&whole[..whole.len() / 2], "is no ONNX model: at byte"),
        (
            &Graph::new()
                .node("Identity", &["x"], &["y"])
                .output("y", F32, &[])
                .model_with(8, &[("", 99)]),
            "version 99 (opset)",
        ),
    ] {
        model.put("model.onnx", bytes);
        assert_refused(model.path(), &[], "graph", words);
    }
    assert_refused(Path::new("/none"), &[], "graph", "cannot read `/none`");
    std::fs::remove_file(model.path().join("model.onnx")).unwrap();
    assert_refused(model.path(), &[], "graph", "cannot read");
}

#[test]
fn external_data_outside_the_folder_is_refused_and_inside_is_taken() {
    let model = Model::good();
    let graph = |location: &str| {
        let mut graph = Graph::new().node("Conv", &["x", "w"], &["y"]);
        graph = graph.constant(onnx::external("w", F32, &[2, 1, 3, 3], &[("location", location)]));
        graph
            .input("x", F32, &[Free("batch"), N(1), N(16), N(16)])
            .output("y", F32, &[Free("batch"), N(2), N(14), N(14)])
            .model()
    };
    model.put("model.onnx", &graph("../w.bin"));
    assert_refused(model.path(), &[], "graph", "is outside the model's folder");
    model.put("model.onnx", &graph("w.bin"));
    assert_refused(model.path(), &[], "graph", "`w.bin` cannot be read");
    model.put("w.bin", &onnx::floats(&[1.0; 18]));
    let (code, json) = verified(model.path(), &[]);
    assert_eq!(code, Some(0), "{json:#}");
}

#[test]
fn each_mistake_of_a_description_is_explained() {
    let model = Model::good();
    for (from, to, check, words) in [
        ("schema = 1", "schema = 2", "model.toml", "line 1: `schema`: 2 is not from 1 to 1"),
        ("version = \"1.0.0\"\n", "", "model.toml", "`version`: is missing"),
        ("task", "tusk", "model.toml", "`tusk`: unknown key; did you mean `task`?"),
        (
            "batch\", 1, 16, 16",
            "batch\", 1, 16, 8",
            "inputs and outputs",
            "input is `x` f32 [batch, 1, 16, 16] in the graph, expected `x` f32 [batch, 1, 16, 8]",
        ),
        (
            "name = \"y\"",
            "name = \"z\"",
            "inputs and outputs",
            "output `z` f32 [batch, 2, 14, 14] is not in the graph, whose outputs are `y`",
        ),
        (
            "kind = \"raw\"",
            "kind = \"row\"",
            "postprocess",
            "unknown value `row`; did you mean `raw`?",
        ),
    ] {
        model.toml(from, to);
        assert_refused(model.path(), &[], check, words);
    }
}

#[test]
fn labels_too_few_for_the_outputs_are_refused() {
    let model = Model::good();
    model.toml("task = \"raw\"\nlabels = []", "task = \"classify\"\nlabels = [\"one\"]");
    let toml = std::fs::read_to_string(model.path().join("model.toml")).unwrap();
    let toml = toml.replace("kind = \"raw\"", "kind = \"classify\"");
    let toml = toml.replace("[\"batch\", 2, 14, 14]", "[\"batch\", 3]");
    model.put("model.toml", toml.as_bytes());
    let graph = Graph::new()
        .node("GlobalAveragePool", &["x"], &["p"])
        .node("Flatten", &["p"], &["f"])
        .node("Concat", &["f", "f", "f"], &["y"]);
    let mut graph = graph.input("x", F32, &[Free("batch"), N(1), N(16), N(16)]).output(
        "y",
        F32,
        &[Free("batch"), N(3)],
    );
    graph.nodes[2] = graph.nodes[2].clone().message(5, &onnx::int_attribute("axis", 1));
    model.put("model.onnx", &graph.model());
    let (check, said) = refused(model.path(), &[]);
    assert!(check == "postprocess" && said.contains("labels"), "{check}: {said}");
}

#[test]
fn a_golden_sample_that_fails_names_the_worst_element() {
    let model = Model::good();
    let mut expected = [9.0; 2 * 14 * 14];
    expected[14 + 2] = 8.0;
    expected[14 * 14] = 8.9;
    model.sample("off", &[1.0; 256], &expected);
    assert_refused(
        model.path(),
        &[],
        "golden/off",
        "output `y`: 2 of 392 elements are off; the worst is at [0, 0, 1, 2]: found 9, expected 8",
    );
}

#[test]
fn an_output_that_is_no_number_fails_its_sample() {
    let model = Model::good();
    let graph = Graph::new()
        .node("Conv", &["x", "w"], &["c"])
        .node("Sqrt", &["c"], &["y"])
        .constant(onnx::tensor("w", F32, &[2, 1, 3, 3], &onnx::floats(&[1.0; 18])));
    let dims = [Free("batch"), N(2), N(14), N(14)];
    let graph = graph.input("x", F32, &[Free("batch"), N(1), N(16), N(16)]).output("y", F32, &dims);
    model.put("model.onnx", &graph.model());
    model.sample("ones", &[1.0; 256], &[3.0; 392]);
    model.sample("minus", &[-1.0; 256], &[3.0; 392]);
    assert_refused(model.path(), &[], "golden/minus", "found NaN, expected 3");
}

#[test]
fn a_model_without_usable_samples_is_refused() {
    let model = Model::good();
    model.put("golden/ones/x.npy", b"\x93NUMPY\x01\x00");
    assert_refused(model.path(), &[], "golden/ones", "x.npy` is not an array");
    let halves = Array { shape: SHAPE.to_vec(), data: ArrayData::F16(vec![f16::ONE; 256]) };
    model.put("golden/ones/x.npy", &halves.to_bytes());
    assert_refused(
        model.path(),
        &[],
        "golden/ones",
        "input `x` is f16 in its file, which is not the model's type",
    );
    std::fs::remove_file(model.path().join("golden/ones/x.npy")).unwrap();
    assert_refused(model.path(), &[], "golden/ones", "cannot read");
    std::fs::remove_dir_all(model.path().join("golden")).unwrap();
    assert_refused(model.path(), &[], "golden", "cannot be read");
}

/// A loop that never ends, over a number.
fn endless() -> Vec<u8> {
    let body = Graph::new()
        .node("Identity", &["go"], &["go_on"])
        .node("Add", &["v", "v"], &["w"])
        .input("i", I64, &[])
        .input("go", BOOL, &[])
        .input("v", F32, &[N(1)])
        .output("go_on", BOOL, &[])
        .output("w", F32, &[N(1)]);
    let looping = onnx::node("Loop", &["", "true", "x"], &["y"])
        .message(5, &onnx::graph_attribute("body", &body.message()));
    Graph::new()
        .with(looping)
        .constant(onnx::tensor("true", BOOL, &[], &[1]))
        .input("x", F32, &[N(1)])
        .output("y", F32, &[N(1)])
        .model()
}

#[test]
fn a_model_that_hangs_is_ended_in_time_and_leaves_nothing_behind() {
    let (model, temporary) = (Model::good(), tempfile::tempdir().unwrap());
    model.put("model.onnx", &endless());
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_vedette"))
        .args(["model", "verify", "--time-limit-s", "2", "--onnxruntime"])
        .arg(support::library())
        .arg(model.path().join("model.onnx"))
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("it was not done after 2 s and was ended"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

/// One number unfolded to `rows` times 32,768 of them.
fn unfolding(rows: i64) -> Vec<u8> {
    let shape = onnx::tensor("shape", I64, &[2], &onnx::longs(&[rows, 1 << 15]));
    Graph::new()
        .node("Expand", &["x", "shape"], &["y"])
        .constant(shape)
        .input("x", F32, &[N(1)])
        .output("y", F32, &[N(rows), N(1 << 15)])
        .model()
}

#[test]
fn a_model_that_asks_for_all_memory_is_not_given_it_by_the_kernel() {
    let model = Model::good();
    // 64 GiB.
    model.put("model.onnx", &unfolding(1 << 19));
    let (_, json) = verified(&model.path().join("model.onnx"), &["--memory-limit-mb", "512"]);
    let text = json.to_string();
    assert!(
        text.contains("a run on zeros fails") && text.contains("Failed to allocate memory"),
        "{json:#}"
    );
    assert!(json["peak_bytes"].as_u64().unwrap() < 512 << 20, "{json:#}");
}

#[test]
fn a_model_that_takes_too_much_memory_is_ended_where_the_kernel_cannot_be_asked() {
    let model = Model::good();
    // 2 GiB; an accelerator is in the list.
    model.put("model.onnx", &unfolding(1 << 14));
    assert_refused(
        &model.path().join("model.onnx"),
        &["--memory-limit-mb", "256", "--provider", "cuda,cpu"],
        "open",
        "it took more than 256 MiB of memory and was ended",
    );
}

#[test]
fn a_library_that_crashes_over_a_model_is_told_with_its_signal() {
    let folder = tempfile::tempdir().unwrap();
    for (words, line) in [
        ("it crashed with SIGSEGV", "*(volatile int *)8 = 1"),
        ("it crashed with SIGABRT: the end", "fputs(\"the end\\n\", stderr); abort()"),
        ("it ended with exit code 3 and no answer", "_Exit(3)"),
    ] {
        let source = format!(
            "#include <stdio.h>\n#include <stdlib.h>\n\
             const void *OrtGetApiBase(void) {{ {line}; return 0; }}\n"
        );
        let (c, so) = (folder.path().join("crash.c"), folder.path().join("crash.so"));
        std::io::Write::write_all(&mut std::fs::File::create(&c).unwrap(), source.as_bytes())
            .unwrap();
        let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&so).arg(&c).status();
        assert!(built.expect("gcc is needed for this test").success());
        let output = Command::new(env!("CARGO_BIN_EXE_vedette"))
            .args(["model", "verify", "--onnxruntime"])
            .arg(&so)
            .arg(Model::good().path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_missing_library_is_told_with_what_to_do() {
    let model = Model::good();
    let output = Command::new(env!("CARGO_BIN_EXE_vedette"))
        .args(["model", "verify", "--json", "--onnxruntime", "/none/libonnxruntime.so"])
        .arg(model.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains(
            "cannot open the ONNX Runtime library `/none/libonnxruntime.so`: ONNX Runtime 1.18"
        ),
        "{text}"
    );
    assert!(text.contains("vedette setup-onnxruntime"), "{text}");
    assert!(text.contains("No such file or directory"), "{text}");
}

#[test]
fn an_unknown_provider_is_a_mistake_of_the_command_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_vedette"))
        .args(["model", "verify", "x", "--provider", "cudda"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(text.contains("unknown value `cudda`; did you mean `cuda`?"), "{text}");
}
