#!/usr/bin/env python3
"""Writes benchmark models of real size with random weights: numpy, onnx and onnxruntime suffice.

    python models/make/make-bench.py [DIRECTORY] [--only NAME]      default: .cache/bench-models

Each is a model folder: graph, `model.toml`, labels, one golden sample. Not committed; seeded, so that two
machines with one numpy version measure the same graphs. The detector's last layer is settled so that a drawn
1080p scene leaves about `CANDIDATES` boxes above the score threshold, for NMS to work on.
"""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx

from bench_nets import DENSE_WIDTH, YOLO_SIDE, YOLO_STRIDES, dense, mobilenet_v2, resnet50, settle, yolo_n
from drawing import draw
from held_out import session
from picture import letterbox, write_png

HERE = Path(__file__).resolve().parent
CANDIDATES = 120
SCORE = 0.25
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CALIBRATION_PICTURES = 8

TOML = """\
schema = 1
name = "{name}"
version = "1.0.0"
task = "{task}"
summary = "{summary}"
license = "Apache-2.0"
labels_file = "labels.txt"

[[input]]
name = "{input}"
type = "f32"
shape = ["batch", 3, {side}, {side}]

[picture]
input = "{input}"
layout = "nchw"
color = "rgb"
fit = "{fit}"
{pad}scale = 0.00392156862745098
mean = {mean}
std = {std}

[[output]]
name = "{output}"
type = "f32"
shape = {shape}

[postprocess]
{postprocess}
[golden]
atol = {atol}
rtol = 0.001
"""
DENSE_TOML = """\
schema = 1
name = "{name}"
version = "1.0.0"
task = "raw"
summary = "Four full layers, random weights: for benchmarks of requests."
license = "Apache-2.0"

[[input]]
name = "x"
type = "f32"
shape = ["batch", {width}]

[[output]]
name = "y"
type = "f32"
shape = ["batch", {width}]

[golden]
atol = 0.001
rtol = 0.001
"""
CLASSIFY = 'kind = "classify"\ntop_k = 5\nactivation = "softmax"\n'
DETECT = f'kind = "detect"\nfamily = "yolov8"\nscore_threshold = {SCORE}\niou_threshold = 0.45\nmax_detections = 300\n'


def scene(side, seed=0):
    """A drawn 1080p scene in a square of that side, uint8."""
    return letterbox(draw(np.random.default_rng([9, seed]), 1920, 1080).picture, side)[0]


def classifier_tensor(square):
    """The classifiers' preprocess: ImageNet mean and std."""
    return ((square.transpose(2, 0, 1)[None] / 255 - MEAN[:, None, None]) / STD[:, None, None]).astype(np.float32)


def detector_tensor(square):
    """The detector's preprocess: 0 to 1."""
    return (square.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)


def write_folder(folder, square, x, classes, save=None, model=None, **fields):
    """One model folder; `save` writes graphs that are not built in memory."""
    case = folder / "golden" / "scene"
    case.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    if save:
        save(path)
    else:
        path.write_bytes(model.SerializeToString())
    (folder / "labels.txt").write_text("".join(f"class-{i:03}\n" for i in range(classes)))
    (folder / "model.toml").write_text(TOML.format(name=folder.name, **fields))
    write_png(case / "input.png", square)
    result = session(str(path)).run(None, {fields["input"]: x})[0]
    if not np.isfinite(result).all():
        raise SystemExit(f"{folder.name}: the output is not finite")
    np.save(case / f"{fields['output']}.npy", result)
    return result


def classifier(folder, summary, save=None, model=None, atol=0.001):
    """A classifier's folder."""
    square = scene(224)
    result = write_folder(folder, square, classifier_tensor(square), 1000, save, model, task="classify", summary=summary, input="input",
                          side=224, fit="stretch", pad="", mean=MEAN.tolist(), std=STD.tolist(), output="logits",
                          shape='["batch", 1000]', postprocess=CLASSIFY, atol=atol)
    return f"logits {result.min():.2f} to {result.max():.2f}, deviation {result.std():.2f}"


def quantised(folder):
    """MobileNetV2 as 8-bit Q/DQ, one scale per channel, calibrated on drawn scenes."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Scenes(CalibrationDataReader):
        def __init__(self):
            self.left = iter(range(CALIBRATION_PICTURES))

        def get_next(self):
            seed = next(self.left, None)
            return None if seed is None else {"input": classifier_tensor(scene(224, seed))}

    def save(path):
        with tempfile.TemporaryDirectory() as place:
            plain = Path(place) / "plain.onnx"
            plain.write_bytes(mobilenet_v2().SerializeToString())
            logging.disable(logging.WARNING)  # it advises a pre-processing that has nothing to do here
            quantize_static(plain, path, Scenes(), quant_format=QuantFormat.QDQ, per_channel=True,
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)

    # Processors round and saturate 8-bit products differently; a wrong graph is off by far more.
    return classifier(folder, "MobileNetV2 224, 8-bit Q/DQ, random weights: for benchmarks.", save=save, atol=0.5)


def detector(folder):
    """The detector's folder."""
    square = scene(YOLO_SIDE)
    x = detector_tensor(square)
    bare = session(yolo_n().SerializeToString())
    raw = np.concatenate([bare.run(None, {"images": detector_tensor(scene(YOLO_SIDE, s))})[0] for s in range(CALIBRATION_PICTURES)])
    graph = yolo_n(*settle(raw, SCORE, CANDIDATES))
    # What a peer reads of it there: the properties that Ultralytics' export writes.
    onnx.helper.set_model_props(graph, {"task": "detect", "stride": str(max(YOLO_STRIDES)), "batch": "1", "imgsz": f"[{YOLO_SIDE}, {YOLO_SIDE}]",
                                        "names": str({label: f"label{label:02}" for label in range(80)})})
    result = write_folder(folder, square, x, 80, model=graph, task="detect",
                          summary="A detector of YOLOv8n's size, random weights: for benchmarks.", input="images", side=YOLO_SIDE, fit="letterbox",
                          pad="pad = 114\n", mean=[0.0] * 3, std=[1.0] * 3, output="output0", shape='["batch", 84, 8400]',
                          postprocess=DETECT, atol=0.005)
    run = session(str(folder / "model.onnx"))
    others = [int((run.run(None, {"images": detector_tensor(scene(YOLO_SIDE, s))})[0][0, 4:].max(axis=0) > SCORE).sum())
              for s in range(100, 106)]
    return f"{int((result[0, 4:].max(axis=0) > SCORE).sum())} candidates above {SCORE}, in other scenes {others}"


def requests(folder):
    """The folder of the small model that is asked over HTTP."""
    case = folder / "golden" / "noise"
    case.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(dense().SerializeToString())
    (folder / "model.toml").write_text(DENSE_TOML.format(name=folder.name, width=DENSE_WIDTH))
    x = np.random.default_rng(5).normal(0, 1, (1, DENSE_WIDTH)).astype(np.float32)
    result = session(str(folder / "model.onnx")).run(None, {"x": x})[0]
    np.save(case / "x.npy", x)
    np.save(case / "y.npy", result)
    return f"y {result.min():.2f} to {result.max():.2f}, deviation {result.std():.2f}"


BENCH = {
    "dense-768": requests,
    "mobilenet-v2": lambda folder: classifier(folder, "MobileNetV2 224, random weights: for benchmarks.", model=mobilenet_v2()),
    "mobilenet-v2-int8": quantised,
    "resnet-50": lambda folder: classifier(folder, "ResNet-50 224, random weights: for benchmarks.", model=resnet50()),
    "yolo-n-size": detector,
}


def main():
    """Writes what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", nargs="?", type=Path, default=HERE.parents[1] / ".cache" / "bench-models")
    parser.add_argument("--only", choices=BENCH)
    args = parser.parse_args()
    for name in [args.only] if args.only else BENCH:
        folder = args.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        said = BENCH[name](folder)
        print(f"{name}: {(folder / 'model.onnx').stat().st_size / 1e6:.1f} MB, {said}", flush=True)


if __name__ == "__main__":
    main()
