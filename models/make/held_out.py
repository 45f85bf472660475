"""Held-out pictures of the drawn world and the judging of a model on them. NumPy and ONNX Runtime only."""

import numpy as np
import onnxruntime

from drawing import COVERED_LIMIT, LABELS, SIZES, draw
from picture import letterbox, nv12_round_trip, tensor
from scoring import Judge, detections

MIN_IOU = 0.5


def pictures(seed, count):
    """Seeded scenes of every size in turn, every other one through NV12, letterboxed.

    Yields the square picture, the scene, its boxes in the square's pixels, and whether NV12 was used.
    """
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        scene = draw(rng, *SIZES[index % len(SIZES)])
        nv12 = (index // len(SIZES)) % 2 == 1
        square, (scale, left, top) = letterbox(nv12_round_trip(scene.picture) if nv12 else scene.picture)
        yield square, scene, scene.boxes * scale + np.array([left, top, left, top], np.float32), nv12


def session(model, threads=1):
    """An ONNX Runtime session (a path or bytes) on few threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def outputs(run, seed, count):
    """(raw output, scene, boxes, nv12) for each held-out picture."""
    for square, scene, boxes, nv12 in pictures(seed, count):
        yield run.run(["output0"], {"images": tensor(square)})[0][0], scene, boxes, nv12


def judge(results, score_threshold, iou_threshold, only=lambda scene, nv12: True):
    """A `Judge` that has seen every picture that `only` lets through, at scores from 0.01 on."""
    verdict = Judge(len(LABELS), MIN_IOU)
    for raw, scene, boxes, nv12 in results:
        if only(scene, nv12):
            counted = scene.covered <= COVERED_LIMIT
            found = detections(raw, 0.01, iou_threshold)
            verdict.add(found, boxes[counted], scene.labels[counted], boxes[~counted], scene.labels[~counted])
    return verdict
