//! Files that are called `.onnx`: what the look at their structure says of them, and that none makes it panic.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::{Path, PathBuf};

use support::onnx::{self, F32, Free, Graph, I64, Message, N};
use tempfile::TempDir;
use vedette::model::graph::{GraphError, GraphReport, Policy, check};

fn write(path: &Path, bytes: &[u8]) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), bytes).unwrap();
}

fn checked(bytes: &[u8]) -> Result<GraphReport, String> {
    let folder = tempfile::tempdir().unwrap();
    in_folder(&folder, bytes)
}

/// What is said of `bytes` as `model.onnx` in `folder`, without its path.
fn in_folder(folder: &TempDir, bytes: &[u8]) -> Result<GraphReport, String> {
    let path = folder.path().join("model.onnx");
    write(&path, bytes);
    check(&path, Policy::default())
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "M"))
}

/// `y = x`, with `change` made to it.
fn identity(change: impl FnOnce(Graph) -> Graph) -> Graph {
    let graph = Graph::new().node("Identity", &["x"], &["y"]);
    change(graph.input("x", F32, &[Free("n"), N(4)]).output("y", F32, &[Free("n"), N(4)]))
}

#[test]
fn a_graph_is_reported_with_all_that_it_takes_gives_and_does() {
    let weights = onnx::tensor("w", F32, &[4], &onnx::floats(&[1.0; 4]));
    let graph = identity(|graph| {
        let graph = graph.node("Identity", &["w"], &["v"]).constant(weights);
        graph.input("w", F32, &[N(4)])
    });
    let report = checked(&graph.model_with(3, &[("ai.onnx", 17), ("com.microsoft", 1)])).unwrap();
    assert_eq!(
        (report.ir, report.producer.as_str(), report.nodes(), report.depth),
        (3, "vedette-tests", 2, 1)
    );
    assert_eq!(
        report.opsets.iter().map(|(d, v)| (d.as_str(), *v)).collect::<Vec<_>>(),
        [("", 17), ("com.microsoft", 1)]
    );
    // `w` is a constant, which before version 4 of the format is an input too.
    assert_eq!(
        report.inputs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["`x` f32 [n, 4]"]
    );
    assert_eq!(
        report.outputs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["`y` f32 [n, 4]"]
    );
    assert_eq!((report.constant_bytes, report.free()), (16, vec!["n".to_owned()]));
    assert_eq!(report.signature().unwrap().inputs[0].to_string(), "`x` f32 [n, 4]");
}

#[test]
fn what_is_no_file_or_no_model_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = check(&folder.path().join("none.onnx"), Policy::default()).unwrap_err();
    assert!(matches!(error, GraphError::Read { .. }), "{error}");
    assert!(matches!(
        check(folder.path(), Policy::default()).unwrap_err(),
        GraphError::Read { .. }
    ));
    for (bytes, reason) in [
        (&b""[..], "`M` is no ONNX model: it is empty"),
        (b"\x08\x08", "it has no graph"),
        (b"<!DOCTYPE html><html></html>", "`M` is no ONNX model: at byte"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "`M` is no ONNX model: at byte"),
        (b"PK\x03\x04\x14\0\0\0\x08\0", "`M` is no ONNX model: at byte"),
    ] {
        let found = checked(bytes).unwrap_err();
        assert!(found.contains(reason), "{bytes:?}: {found}");
    }
}

#[test]
fn a_file_of_more_than_two_gibibytes_is_refused_without_reading_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::File::create(&path).unwrap().set_len(1 << 31).unwrap();
    let error = check(&path, Policy::default()).unwrap_err().to_string();
    assert!(
        error.contains("it has 2147483648 bytes, an ONNX file has at most 2147483647"),
        "{error}"
    );
}

#[test]
fn each_reason_to_refuse_a_graph_is_named() {
    let other = |domain: &str, op: &str| onnx::node(op, &["x"], &["z"]).bytes(7, domain);
    let bad = |tensor: Message| identity(|graph| graph.constant(tensor)).model();
    let model = |graph: &Graph| graph.model();
    for (bytes, reason) in [
        (
            identity(|g| g).model_with(99, &[("", 17)]),
            "file format is of version 99 (ir), known are 1 to 13",
        ),
        (identity(|g| g).model_with(0, &[("", 17)]), "file format is of version 0"),
        (
            identity(|g| g).model_with(8, &[("", 99)]),
            "operators are of version 99 (opset), known are 1 to 26",
        ),
        (identity(|g| g).model_with(8, &[("", 0)]), "operators are of version 0"),
        (
            identity(|g| g).model_with(8, &[]),
            "it does not say of which version its operators of ONNX are",
        ),
        (
            model(&identity(|g| g.with(other("com.evil", "Run")))),
            "node `Run-z`: operator `Run` of `com.evil` is not known here",
        ),
        (
            model(&identity(|g| g.with(other("com.microsoft", "EPContext")))),
            "node `EPContext-z` is an EPContext",
        ),
        (model(&identity(|g| g.with(other("", "")))), "node `-z` has no operator"),
        (model(&Graph::new().node("Identity", &["x"], &["y"])), "it has no output"),
        (
            bad(onnx::tensor("w", F32, &[3], &[0; 16])),
            "constant `w`: it has 16 bytes, its shape needs 12",
        ),
        (bad(onnx::tensor("w", F32, &[-3], &[])), "constant `w`: an extent of -3"),
        (
            bad(onnx::tensor("w", F32, &[1 << 62, 1 << 62], &[])),
            "constant `w`: its extents overflow",
        ),
        (bad(onnx::tensor("w", F32, &[1 << 61], &[])), "constant `w`: its extents overflow"),
        (bad(onnx::tensor("w", 99, &[1], &[0])), "constant `w`: there is no element type 99"),
        (bad(onnx::tensor("w", F32, &[1; 65], &[0; 4])), "a tensor of more than 64 extents"),
        (
            model(&identity(|g| g.input(&"x".repeat(5000), F32, &[]))),
            "a name of 5000 bytes, at most 4096 are read",
        ),
        ([identity(|g| g).model(), identity(|g| g).model()].concat(), "it has more than one graph"),
    ] {
        let found = checked(&bytes).unwrap_err();
        assert!(found.contains(reason), "expected {reason}\n   found {found}");
    }
}

#[test]
fn compiled_code_is_taken_where_the_policy_allows_it() {
    let graph =
        identity(|g| g.with(onnx::node("EPContext", &["x"], &["z"]).bytes(7, "com.microsoft")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    write(&path, &graph.model_with(8, &[("", 17), ("com.microsoft", 1)]));
    assert!(check(&path, Policy { ep_context: true }).is_ok());
}

#[test]
fn an_operator_that_the_model_defines_itself_is_known() {
    let call = onnx::node("Twice", &["x"], &["z"]).bytes(7, "own");
    let function = Message::new()
        .bytes(1, "Twice")
        .bytes(4, "a")
        .bytes(5, "b")
        .message(7, &onnx::node("Add", &["a", "a"], &["b"]))
        .message(9, &Message::new().bytes(1, "").int(2, 17))
        .bytes(10, "own");
    let bytes = identity(|g| g.with(call)).model_with(8, &[("", 17), ("own", 1)]);
    let with = Message(bytes.clone()).message(25, &function).0;
    assert!(checked(&bytes).unwrap_err().contains("operator `Twice` of `own` is not known here"));
    assert_eq!(checked(&with).unwrap().operators["own::Twice"], 1);
}

#[test]
fn a_forbidden_node_is_found_in_subgraphs_functions_and_training_too() {
    let hidden = onnx::node("EPContext", &["a"], &["b"]).bytes(7, "com.microsoft");
    let inner = Graph::new().with(hidden.clone()).output("b", F32, &[]).message();
    let branch =
        onnx::node("If", &["x"], &["z"]).message(5, &onnx::graph_attribute("then_branch", &inner));
    let function = Message::new().bytes(1, "F").message(7, &hidden).bytes(10, "own");
    let training = Message::new().message(2, &inner);
    let plain = identity(|g| g).model();
    for bytes in [
        identity(|g| g.with(branch)).model(),
        Message(plain.clone()).message(25, &function).0,
        Message(plain).message(20, &training).0,
    ] {
        assert!(checked(&bytes).unwrap_err().contains("is an EPContext"));
    }
}

#[test]
fn external_data_must_lie_in_the_folder_and_hold_what_is_read() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("secret.bin"), &[0; 64]);
    let folder = tempfile::tempdir_in(root.path()).unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    write(&folder.path().join("w.bin"), &[0; 24]);
    write(&folder.path().join("sub/w.bin"), &[0; 16]);
    std::os::unix::fs::symlink("../secret.bin", folder.path().join("link.bin")).unwrap();
    std::os::unix::fs::symlink("..", folder.path().join("up")).unwrap();
    std::fs::create_dir_all(folder.path().join("*/_ORT_MEM_ADDR_")).unwrap();
    write(&folder.path().join("*/_ORT_MEM_ADDR_/*"), &[0; 64]);
    let secret = root.path().join("secret.bin").display().to_string();
    let absolute = secret.as_str();
    let outside = "is outside the model's folder";
    for (entries, reason) in [
        (&[("location", "w.bin")][..], None),
        (&[("location", "w.bin"), ("offset", "8"), ("length", "16")], None),
        (&[("location", "./sub/w.bin")], None),
        (&[("location", "../secret.bin")], Some(outside)),
        (&[("location", "sub/../w.bin")], Some(outside)),
        (&[("location", absolute)], Some(outside)),
        (&[("location", "link.bin")], Some(outside)),
        (&[("location", "up/secret.bin")], Some(outside)),
        (&[("location", "..\\secret.bin")], Some(outside)),
        (&[("location", "*/_ORT_MEM_ADDR_/*"), ("offset", "4096")], Some("is no file")),
        (&[("location", "none.bin")], Some("cannot be read")),
        (&[("location", "sub")], Some("is no file")),
        (&[("location", "w.bin"), ("offset", "16")], Some("reaches beyond the end")),
        (
            &[("location", "w.bin"), ("offset", "18446744073709551615")],
            Some("reaches beyond the end"),
        ),
        (&[("location", "w.bin"), ("offset", "-8")], Some("is no number")),
        (&[("location", "w.bin"), ("length", "8")], Some("has 8 bytes, its shape needs 16")),
        (&[("offset", "8")], Some("has no location")),
    ] {
        let graph = identity(|g| g.constant(onnx::external("w", F32, &[4], entries)));
        match (in_folder(&folder, &graph.model()), reason) {
            (Ok(report), None) => {
                assert!(PathBuf::from("w.bin").ends_with(report.external[0].file_name().unwrap()))
            }
            (Err(found), Some(reason)) => assert!(found.contains(reason), "{entries:?}: {found}"),
            (found, _) => panic!("{entries:?}: {found:?}"),
        }
    }
}

#[test]
fn external_data_in_a_constant_node_is_held_to_the_same() {
    let tensor = onnx::external("w", I64, &[1], &[("location", "/etc/hostname")]);
    let node =
        onnx::node("Constant", &[], &["c"]).message(5, &onnx::tensor_attribute("value", &tensor));
    assert!(
        checked(&identity(|g| g.with(node)).model())
            .unwrap_err()
            .contains("outside the model's folder")
    );
}

#[test]
fn deep_nesting_ends_at_a_limit() {
    let mut graph = Graph::new().node("Identity", &["x"], &["y"]).output("y", F32, &[]).message();
    for level in 0..2000 {
        let node = onnx::node("If", &["c"], &["y"])
            .message(5, &onnx::graph_attribute("then_branch", &graph));
        graph = Message::new().message(1, &node).bytes(2, format!("g{level}"));
        if graph.0.len() > 4 << 20 {
            break;
        }
    }
    let bytes = Message::new().int(1, 8).message(7, &graph).0;
    assert!(checked(&bytes).unwrap_err().contains("more than 100 messages in one another"));
}

#[test]
fn no_truncation_is_taken_for_a_model_and_none_panics() {
    let whole = onnx::convolution();
    let folder = tempfile::tempdir().unwrap();
    for length in 0..whole.len() {
        assert!(in_folder(&folder, &whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    assert!(in_folder(&folder, &whole).is_ok());
}

/// The same numbers every time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next(256)).unwrap()
    }
}

#[test]
fn no_flipped_bits_and_no_noise_panic_or_take_long() {
    let folder = tempfile::tempdir().unwrap();
    let inner = Graph::new().node("Add", &["a", "a"], &["b"]).output("b", F32, &[]).message();
    let branch =
        onnx::node("If", &["x"], &["z"]).message(5, &onnx::graph_attribute("then_branch", &inner));
    let external = onnx::external("e", F32, &[4], &[("location", "w.bin"), ("offset", "0")]);
    let rich = identity(|g| g.with(branch).constant(external)).model();
    let started = std::time::Instant::now();
    let mut accepted = 0;
    for seed in 1..=2000 {
        let mut dice = Dice(seed);
        let bytes = if seed % 4 == 0 {
            (0..dice.next(400)).map(|_| dice.byte()).collect()
        } else {
            let mut bytes = if seed % 2 == 0 { rich.clone() } else { onnx::convolution() };
            for _ in 0..=dice.next(4) {
                let at = dice.next(bytes.len());
                bytes[at] ^= 1 << dice.next(8);
            }
            bytes
        };
        accepted += u32::from(in_folder(&folder, &bytes).is_ok());
    }
    // A flipped bit in a weight or a name is still a model: only digest and golden samples tell.
    assert!(accepted > 0);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}
