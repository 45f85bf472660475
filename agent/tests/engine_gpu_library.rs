//! The GPU build of ONNX Runtime on a machine without a GPU: what is missing is told, and the processor runs.

mod support;

use support::onnx;
use vedette::hw::ort::{Options, Provider, Runtime};
use vedette::pipeline::engine::{EngineError, EngineSpec, ModelFiles};
use vedette::pipeline::tensor::ElementsMut;

#[test]
fn tensorrt_and_cuda_fall_back_to_the_processor_with_the_reason_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("model.onnx");
    std::io::Write::write_all(&mut std::fs::File::create(&graph).unwrap(), &onnx::convolution())
        .unwrap();
    let cache = folder.path().join("engines");
    let files =
        ModelFiles { graph: &graph, data: &[], digest: "0", signature: None, cache: Some(&cache) };
    Runtime::open(Some(&support::gpu_library())).unwrap();
    let options = Options { threads: 1, ..Options::default() };

    let engine = options.open(&files).unwrap();
    let report = engine.report();
    println!("{report:#?}");
    assert_eq!((report.provider.as_str(), report.nodes.len()), ("cpu", 1));
    for provider in ["tensorrt", "cuda"] {
        let why = &report.why_not[provider];
        assert!(why.contains("lib") && why.contains(".so"), "{provider}: {why}");
    }
    let mut lane = engine.lane(1).unwrap();
    if let ElementsMut::F32(x) = lane.input_mut(0).unwrap() {
        x.fill(1.0);
    }
    lane.run().unwrap();

    for first in [Provider::Tensorrt, Provider::Cuda] {
        let providers = vec![first, Provider::Cpu];
        let options = Options { providers, require: true, ..options.clone() };
        let error = options.open(&files).map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, EngineError::Required { provider, .. } if provider == first.name()),
            "{error}"
        );
    }
}
