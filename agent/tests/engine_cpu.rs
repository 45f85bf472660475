//! Engines of ONNX Runtime's plain library: buffers, batches, types, reports.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use support::onnx::{self, F16, F32, Free, Graph, I8, I64, N, U8};
use tempfile::TempDir;
use vedette::config::tree::{At, parse};
use vedette::config::{Mistakes, Section};
use vedette::hw::ort::{Options, Provider, Runtime, follows_inputs};
use vedette::pipeline::engine::{Engine, EngineError, EngineSpec, Lane, ModelFiles, Signature};
use vedette::pipeline::shadow::Shadow;
use vedette::pipeline::tensor::{Dim, Element, Elements, ElementsMut, TensorSpec};

struct Model {
    _folder: TempDir,
    graph: PathBuf,
}

fn written(bytes: &[u8]) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("model.onnx");
    std::io::Write::write_all(&mut std::fs::File::create(&graph).unwrap(), bytes).unwrap();
    Model { _folder: folder, graph }
}

fn files(graph: &Path) -> ModelFiles<'_> {
    ModelFiles { graph, data: &[], digest: "0", signature: None, cache: None }
}

fn options() -> Options {
    Runtime::open(Some(&support::library())).unwrap();
    Options { threads: 1, ..Options::default() }
}

fn open(bytes: &[u8]) -> Arc<dyn Engine> {
    let model = written(bytes);
    options().open(&files(&model.graph)).unwrap()
}

fn floats(lane: &dyn Lane, output: usize) -> Vec<f32> {
    match lane.output(output).unwrap().elements {
        Elements::F32(found) => found.to_vec(),
        other => panic!("{:?}", other.element()),
    }
}

#[test]
fn a_lane_is_filled_run_and_read_again_and_again() {
    let engine = open(&onnx::doubler(F32));
    let mut lane = engine.lane(2).unwrap();
    assert!(lane.output(0).is_none(), "there is no output before the first run");
    for round in [1.0_f32, 2.0, 3.0] {
        match lane.input_mut(0).unwrap() {
            ElementsMut::F32(x) => x.fill(round),
            other => panic!("{other:?}"),
        }
        lane.run().unwrap();
        assert_eq!(lane.output(0).unwrap().shape, [2, 3, 8, 8]);
        assert_eq!(floats(&*lane, 0), vec![round * 2.0; 2 * 3 * 8 * 8]);
    }
    assert!(lane.output(1).is_none() && lane.input(1).is_none());
}

#[test]
fn a_run_of_the_first_items_reads_and_gives_those_and_no_others() {
    let mut lane = open(&onnx::doubler(F32)).lane_up_to(4).unwrap();
    let each = 3 * 8 * 8;
    for items in [4, 1, 3, 2, 4] {
        if let ElementsMut::F32(x) = lane.input_mut(0).unwrap() {
            assert_eq!(x.len(), 4 * each);
            x.chunks_exact_mut(each).zip([1.0, 2.0, 3.0, 4.0]).for_each(|(x, n)| x.fill(n));
        }
        lane.run_first(items).unwrap();
        assert_eq!(lane.output(0).unwrap().shape, [items, 3, 8, 8]);
        let all = [2.0, 4.0, 6.0, 8.0].map(|n| vec![n; each]).concat();
        assert_eq!(floats(&*lane, 0), all[..items * each]);
        assert_eq!(lane.input(0).unwrap().shape, [4, 3, 8, 8]);
    }
}

#[test]
fn two_lanes_of_one_engine_do_not_share_buffers() {
    let engine = open(&onnx::identity());
    let mut lanes = [engine.lane(1).unwrap(), engine.lane(3).unwrap()];
    drop(engine);
    for (lane, value) in lanes.iter_mut().zip([1.0_f32, 2.0]) {
        if let ElementsMut::F32(x) = lane.input_mut(0).unwrap() {
            x.fill(value);
        }
        lane.run().unwrap();
    }
    assert_eq!(floats(&*lanes[0], 0), [1.0; 4]);
    assert_eq!(floats(&*lanes[1], 0), [2.0; 12]);
}

#[test]
fn pictures_may_be_of_every_type_that_a_source_fills() {
    let mut lane = open(&onnx::doubler(F16)).lane(1).unwrap();
    if let ElementsMut::F16(x) = lane.input_mut(0).unwrap() {
        x.fill(f16::from_f32(1.5));
    }
    lane.run().unwrap();
    assert!(matches!(lane.output(0).unwrap().elements, Elements::F16(y) if y[0].to_f32() == 3.0));

    for (element, bytes) in [(U8, 200_u8), (I8, 0xff)] {
        let dims = [Free("n"), N(4)];
        let graph = Graph::new().node("Identity", &["x"], &["y"]);
        let graph = graph.input("x", element, &dims).output("y", element, &dims);
        let mut lane = open(&graph.model()).lane(1).unwrap();
        match lane.input_mut(0).unwrap() {
            ElementsMut::U8(x) => x.fill(bytes),
            ElementsMut::I8(x) => x.fill(-1),
            other => panic!("{other:?}"),
        }
        lane.run().unwrap();
        match lane.output(0).unwrap().elements {
            Elements::U8(y) => assert_eq!(y, [200; 4]),
            Elements::I8(y) => assert_eq!(y, [-1; 4]),
            other => panic!("{:?}", other.element()),
        }
    }
}

#[test]
fn an_input_that_no_source_can_fill_says_so() {
    let graph = Graph::new().node("Identity", &["x"], &["y"]);
    let graph = graph.input("x", I64, &[N(2)]).output("y", I64, &[N(2)]);
    let error = open(&graph.model()).lane(1).unwrap().input_mut(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model cannot be run as asked: input 0 is i64, which no source fills"
    );
}

#[test]
fn an_output_whose_extents_change_from_run_to_run_is_read_with_those_of_the_last() {
    let mut lane = open(&onnx::nonzero()).lane(1).unwrap();
    for (x, found) in [
        ([0.0, 1.0, 0.0, 1.0], &[0_i64, 0, 1, 3][..]),
        ([0.0, 0.0, 0.0, 0.0], &[]),
        ([1.0, 1.0, 1.0, 0.0], &[0, 0, 0, 0, 1, 2]),
    ] {
        if let ElementsMut::F32(input) = lane.input_mut(0).unwrap() {
            input.copy_from_slice(&x);
        }
        lane.run().unwrap();
        let view = lane.output(0).unwrap();
        assert_eq!(view.shape, [2, found.len() / 2]);
        assert!(matches!(view.elements, Elements::I64(y) if y == found));
    }
}

#[test]
fn a_graph_that_promises_a_wrong_output_shape_is_read_as_it_is() {
    // What the library infers is not contradicted: NonZero's extent is only known in a run.
    let graph = Graph::new().node("NonZero", &["x"], &["y"]);
    let graph = graph.input("x", F32, &[N(1), N(4)]).output("y", I64, &[N(2), N(3)]);
    let mut lane = open(&graph.model()).lane(1).unwrap();
    if let ElementsMut::F32(x) = lane.input_mut(0).unwrap() {
        x.copy_from_slice(&[1.0, 0.0, 0.0, 0.0]);
    }
    lane.run().unwrap();
    assert_eq!(lane.output(0).unwrap().shape, [2, 1]);
}

#[test]
fn the_report_says_what_really_ran_and_why_nothing_better_did() {
    let engine = open(&onnx::convolution());
    let report = engine.report();
    assert_eq!(report.requested, ["tensorrt", "cuda", "cpu"]);
    assert_eq!(report.provider, "cpu");
    assert!(report.nodes.get("cpu").is_some_and(|&nodes| nodes >= 1), "{:?}", report.nodes);
    assert_eq!(report.nodes.len(), 1);
    assert_eq!(report.why_not.keys().collect::<Vec<_>>(), ["cuda", "tensorrt"]);
    assert!(report.why_not["tensorrt"].contains("TensorRT"), "{:?}", report.why_not);
    assert!(report.library.starts_with("ONNX Runtime 1."), "{}", report.library);
    assert!(!engine.overlaps());
}

#[test]
fn an_engine_whose_outputs_do_not_follow_its_inputs_is_found() {
    assert!(follows_inputs(&*open(&onnx::convolution())).unwrap());
    let spec = |name: &str| TensorSpec {
        name: name.to_owned(),
        element: Element::F32,
        dims: vec![Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(8), Dim::Fixed(8)],
    };
    // A shadow gives the same whatever it is shown, as a graph that is stuck does.
    let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] };
    let table = parse("latency_us = 1", Path::new("t")).unwrap();
    let mistakes = Mistakes::new();
    let at = At::File(Path::new("t").into(), 1);
    let shadow = Shadow::build(&Section::top(&table, at, Path::new("."), &mistakes)).unwrap();
    let files = ModelFiles { signature: Some(&signature), ..files(Path::new("none")) };
    assert!(!follows_inputs(&*shadow.open(&files).unwrap()).unwrap());
}

#[test]
fn no_profile_is_left_behind() {
    open(&onnx::convolution());
    let ours = format!("vedette-profile-{}-", std::process::id());
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().filter_map(Result::ok);
    let left: Vec<_> =
        left.filter(|e| e.file_name().to_string_lossy().starts_with(&ours)).collect();
    // Other tests of this process may be opening models right now: each has one folder at most.
    assert!(left.len() <= 16, "{left:?}");
}

#[test]
fn a_provider_that_is_required_and_missing_is_an_error() {
    let model = written(&onnx::identity());
    for providers in [vec![Provider::Cuda, Provider::Cpu], vec![Provider::Tensorrt, Provider::Cuda]]
    {
        let first = providers[0].name();
        let options = Options { providers, require: true, ..options() };
        let error = options.open(&files(&model.graph)).map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, EngineError::Required { provider, why } if provider == first && !why.is_empty()),
            "{error}"
        );
    }
    let options = Options { providers: vec![Provider::Cpu], require: true, ..options() };
    assert!(options.open(&files(&model.graph)).is_ok());
}

#[test]
fn without_the_processor_in_the_list_nothing_falls_to_it() {
    let model = written(&onnx::identity());
    let options = Options { providers: vec![Provider::Cuda], ..options() };
    let error = options.open(&files(&model.graph)).map(|_| ()).unwrap_err();
    assert!(matches!(error, EngineError::Required { provider, .. } if provider == "cuda"));
}

#[test]
fn a_model_that_is_none_is_refused_with_its_path() {
    for bytes in [&b""[..], b"not a model", &onnx::doubler(F32)[..40]] {
        let model = written(bytes);
        let error = options().open(&files(&model.graph)).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("model.onnx"), "{error}");
        assert!(matches!(error, EngineError::Load { .. }), "{error:?}");
    }
    let error = options().open(&files(Path::new("/none/model.onnx"))).map(|_| ()).unwrap_err();
    assert!(matches!(error, EngineError::Load { .. }), "{error:?}");
}

#[test]
fn a_description_fixes_free_dimensions_and_its_contradictions_are_named() {
    let dims = [Free("n"), N(3), Free("h"), Free("w")];
    let graph = Graph::new().node("Relu", &["x"], &["y"]);
    let model = written(&graph.input("x", F32, &dims).output("y", F32, &dims).model());
    let error = options().open(&files(&model.graph)).unwrap().lane(1).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model cannot be run as asked: input `x` f32 [n, 3, h, w]: dimension 2 is free; \
         `model.toml` can fix it"
    );
    let spec = |name: &str, height| TensorSpec {
        name: name.to_owned(),
        element: Element::F32,
        dims: vec![Dim::Free("n".to_owned()), Dim::Fixed(3), Dim::Fixed(height), Dim::Fixed(5)],
    };
    let wanted = Signature { inputs: vec![spec("x", 4)], outputs: vec![spec("y", 4)] };
    let engine =
        options().open(&ModelFiles { signature: Some(&wanted), ..files(&model.graph) }).unwrap();
    let mut lane = engine.lane(2).unwrap();
    lane.run().unwrap();
    assert_eq!(lane.output(0).unwrap().shape, [2, 3, 4, 5]);

    let wanted = Signature { inputs: vec![spec("z", 4)], outputs: vec![spec("y", 4)] };
    let found = options().open(&ModelFiles { signature: Some(&wanted), ..files(&model.graph) });
    let error = found.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("input `z` f32 [n, 3, 4, 5] is not in the graph"), "{error}");
}

#[test]
fn a_graph_of_something_else_than_tensors_is_refused_by_name() {
    let sequence = onnx::Message::new().bytes(1, "s").message(
        2,
        &onnx::Message::new()
            .message(4, &onnx::Message::new().message(1, &onnx::tensor_type(F32, &[N(1)]))),
    );
    let mut graph = Graph::new().node("SequenceConstruct", &["x"], &["s"]).input("x", F32, &[N(1)]);
    graph.outputs.push(sequence);
    let model = written(&graph.model());
    let error = options().open(&files(&model.graph)).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model cannot be run as asked: output `s` is a sequence, not a tensor"
    );
}

#[test]
fn a_failed_run_leaves_the_lane_usable() {
    // Gather fails where an index is out of range.
    let graph = Graph::new().node("Cast", &["x"], &["i"]).constant(onnx::tensor(
        "data",
        F32,
        &[2],
        &onnx::floats(&[5.0, 6.0]),
    ));
    let mut graph = graph.node("Gather", &["data", "i"], &["y"]).input("x", F32, &[N(1)]).output(
        "y",
        F32,
        &[N(1)],
    );
    graph.nodes[0] = graph.nodes[0].clone().message(5, &onnx::int_attribute("to", I64));
    let mut lane = open(&graph.model()).lane(1).unwrap();
    for (index, found) in [(9.0_f32, None), (1.0, Some(6.0)), (-9.0, None), (0.0, Some(5.0))] {
        if let ElementsMut::F32(x) = lane.input_mut(0).unwrap() {
            x[0] = index;
        }
        match found {
            Some(found) => {
                lane.run().unwrap();
                assert_eq!(floats(&*lane, 0), [found]);
            }
            None => {
                assert!(matches!(lane.run().unwrap_err(), EngineError::Run(_)));
                assert!(lane.output(0).is_none(), "a failed run has no output");
            }
        }
    }
}
