#!/usr/bin/env python3
"""Checks every committed model folder: numpy, onnx and onnxruntime suffice.

    python models/make/check.py [FOLDER ...]      default: every folder beside this one that has a model.toml

One line a check; exit status 1 if one failed. Golden outputs reproduce, the graph agrees with `model.toml`,
sizes are within their limits, and accuracy on freshly drawn data is not below `[accuracy]`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx

import anomaly
import held_out
from drawing import LABELS
from picture import read_png

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
MODEL_BYTES = 2 << 20
VIBRATION_BYTES = 300 * 1024
ALL_BYTES = 4 << 20
OPSET, IR_VERSION = 17, 9
GOLDEN_CASES = 3
# Fresh data: not the held-out seed of the card. A smaller set scatters more, so the promise is held with some slack.
FRESH_SEED = 11
FRESH_PICTURES = 390
SLACK = 0.01
FRESH_HOURS, FRESH_MACHINES = 1.0, 8


class Checks:
    """Prints a line per check and remembers failures."""

    def __init__(self):
        self.failed = 0

    def __call__(self, what, good, detail=""):
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {what}{f': {detail}' if detail else ''}", flush=True)


def shape_of(value):
    """Extents of a graph's input or output; free ones by name."""
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def graph(check, folder, toml):
    """Opset, inputs, outputs."""
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    check(f"{folder.name} opset", opset <= OPSET and model.ir_version <= IR_VERSION, f"{opset}, IR version {model.ir_version}")
    for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
        found, asked = {v.name: shape_of(v) for v in values}, {t["name"]: t["shape"] for t in toml[kind]}
        check(f"{folder.name} {kind}s", found == asked, f"{found}" if found == asked else f"graph {found}, model.toml {asked}")


def sizes(check, folder):
    """The graph's bytes."""
    size, limit = (folder / "model.onnx").stat().st_size, VIBRATION_BYTES if folder.name == "vibration" else MODEL_BYTES
    check(f"{folder.name} size", size <= limit, f"{size:,} bytes, at most {limit:,}")


def golden(check, folder, toml, run, least):
    """Every sample reproduces within the tolerance."""
    cases = sorted(p for p in (folder / "golden").iterdir() if p.is_dir())
    check(f"{folder.name} golden samples", len(cases) >= least, f"{len(cases)}, at least {least}")
    for case in cases:
        name, size = toml["input"][0]["name"], toml["input"][0]["shape"]
        x = tensor(case / "input.png", toml["picture"]) if (case / "input.png").exists() else np.load(case / f"{name}.npy")
        fits = list(x.shape[1:]) == size[1:]
        outputs = [t["name"] for t in toml["output"]]
        off = max(_worst(run.run([o], {name: x})[0], np.load(case / f"{o}.npy"), toml["golden"]) for o in outputs) if fits else np.inf
        check(f"{folder.name} golden/{case.name}", fits and off <= 1, f"{off:.3f} of the tolerance")


def tensor(path, picture):
    """A picture through the folder's own preprocess, without resizing."""
    x = (read_png(path) * np.float64(picture["scale"]) - picture["mean"]) / picture["std"]
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)


def _worst(got, wanted, limits):
    if got.shape != wanted.shape or not np.isfinite(got).all():
        return np.inf
    return float((np.abs(got - wanted) / (limits["atol"] + limits["rtol"] * np.abs(wanted))).max())


def shapes_accuracy(check, toml, run):
    """Precision, recall, mAP on fresh drawings."""
    post, promised = toml["postprocess"], toml["accuracy"]
    check("shapes labels", toml["labels"] == LABELS, ", ".join(toml["labels"]))
    verdict = held_out.judge(held_out.outputs(run, FRESH_SEED, FRESH_PICTURES), post["score_threshold"], post["iou_threshold"])
    precision, _, recall = verdict.at(post["score_threshold"])
    found = {"map50": float(np.mean(verdict.average_precision())), "precision": precision, "recall": recall}
    for name, value in found.items():
        check(f"shapes {name}", value >= promised[name] - SLACK, f"{value:.4f} on {FRESH_PICTURES} fresh pictures, promised {promised[name]}")


def vibration_accuracy(check, toml, run):
    """False alarms, areas under the ROC curve, detection rates at severity 0.5 on fresh recordings."""
    window, threshold, promised = toml["window"], toml["postprocess"]["threshold"], toml["accuracy"]
    r = anomaly.measure(run, window["mean"], window["std"], threshold, FRESH_SEED, FRESH_HOURS, FRESH_MACHINES)
    alarms, asked = r["false_alarm_rate"], promised["false_alarm_rate"]
    check("vibration false alarms", alarms <= asked, f"{alarms:.2%} of {r['windows']} windows, promised {asked:.2%}")
    check("vibration auc", r["auc_all"] >= promised["auc"] - SLACK, f"{r['auc_all']:.4f}, promised {promised['auc']}")
    for fault, rates in r["rate"].items():
        check(f"vibration {fault}", rates[0.5] >= promised["detection_rate"], f"{rates[0.5]:.1%} at severity 0.5, promised {promised['detection_rate']:.1%}")


ACCURACY = {"shapes": shapes_accuracy, "vibration": vibration_accuracy}


def main():
    """Checks the folders named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    args = parser.parse_args()
    check = Checks()
    committed = sorted(p.parent for p in HERE.parent.glob("*/model.toml"))
    for folder in args.folders or committed:
        toml = tomllib.loads((folder / "model.toml").read_text())
        check(f"{folder.name} name", toml["name"] == folder.name, toml["name"])
        graph(check, folder, toml)
        run = held_out.session(str(folder / "model.onnx"))
        golden(check, folder, toml, run, GOLDEN_CASES if folder in committed else 1)
        if folder in committed:
            check(f"{folder.name} card", (folder / "README.md").exists())
            sizes(check, folder)
        if toml["name"] in ACCURACY:
            ACCURACY[toml["name"]](check, toml, run)
    if not args.folders:
        total = sum(p.stat().st_size for p in HERE.parent.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        check("models folder", total <= ALL_BYTES, f"{total:,} bytes, at most {ALL_BYTES:,}")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
