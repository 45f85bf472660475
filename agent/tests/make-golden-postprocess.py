#!/usr/bin/env python3
"""Makes agent/tests/golden/postprocess: outputs as models give them, and what is to be made of them.

Needs only numpy. Written for these tests, from the descriptions of the formats, and as plainly as possible:
every number in double precision, every pair of boxes compared. A case is drawn again where rounding could decide
(a score at the threshold, an overlap at the limit, two equal scores), and where it would not matter which boxes
leave out which.

    python3 agent/tests/make-golden-postprocess.py
"""

import json
import pathlib
import shutil

import numpy as np

HERE = pathlib.Path(__file__).parent / "golden" / "postprocess"
LABELS = ["bolt", "nut", "ring", "gear", "spring", "screw"]
WIDTH, HEIGHT = 320, 256
PLACEMENTS = {
    "letterbox": dict(picture_width=640, picture_height=360, scale_x=0.5, scale_y=0.5, offset_x=0, offset_y=38),
    "stretch": dict(picture_width=1000, picture_height=333, scale_x=0.32, scale_y=256 / 333, offset_x=0, offset_y=0),
    "crop": dict(picture_width=200, picture_height=400, scale_x=1.6, scale_y=1.6, offset_x=0, offset_y=-192),
}


class Again(Exception):
    """The case proves nothing."""


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = lambda c: (c[2] - c[0]) * (c[3] - c[1])
    return width * height / (area(a) + area(b) - width * height)


def to_picture(box, p):
    limit = lambda value, most: min(max(value, 0.0), most)
    x1, x2 = (limit((v - p["offset_x"]) / p["scale_x"], p["picture_width"]) for v in box[0::2])
    y1, y2 = (limit((v - p["offset_y"]) / p["scale_y"], p["picture_height"]) for v in box[1::2])
    return [x1, y1, x2 - x1, y2 - y1]


def select(candidates, placement, threshold, limit, most, nms):
    """candidates: (score, class, [x1, y1, x2, y2] in pixels of the input)"""
    ways = ["by-class", "agnostic", "none"]
    found = {way: select_by(candidates, placement, threshold, limit, most, way) for way in ways}
    if any(found[way] == found[nms] for way in found if way != nms):
        raise Again
    return found[nms]


def select_by(candidates, placement, threshold, limit, most, nms):
    if any(abs(score - threshold) < 1e-4 for score, _, _ in candidates):
        raise Again
    order = sorted((c for c in candidates if c[0] >= threshold), key=lambda c: -c[0])
    if any(a[0] - b[0] < 1e-5 for a, b in zip(order, order[1:])):
        raise Again
    kept, found = [], []
    for score, label, box in order:
        picture = to_picture(box, placement)
        if -1e-3 < min(picture[2:]) < 1e-3 and min(picture[2:]) != 0:
            raise Again
        if min(picture[2:]) <= 0:
            continue
        overlaps = [iou(box, other) for other, o in kept if nms == "agnostic" or o == label]
        if nms != "none" and any(abs(o - limit) < 1e-4 for o in overlaps):
            raise Again
        if nms != "none" and any(o > limit for o in overlaps):
            continue
        if len(found) == most:
            break
        kept.append((box, label))
        found.append(dict(index=int(label), label=LABELS[label], score=score, box=picture))
    return found


def centred(x, y, w, h):
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def softmax(row):
    e = np.exp(row.astype(np.float64) - float(row.max()))
    return e / e.sum()


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def scene(rng, count):
    """Boxes by centre and size, around some objects; which class; how sure."""
    objects = 9
    centre = rng.uniform([0, 0], [WIDTH, HEIGHT], (objects, 2))
    size = rng.uniform(20, 110, (objects, 2))
    which = rng.integers(0, objects, count)
    near = rng.uniform(0, 1, count) < 0.35
    xy = np.where(near[:, None], centre[which] + rng.normal(0, 5, (count, 2)), rng.uniform(-9, WIDTH + 9, (count, 2)))
    wh = np.where(near[:, None], size[which] * rng.uniform(0.8, 1.25, (count, 2)), rng.uniform(2, 150, (count, 2)))
    label = np.where(rng.uniform(0, 1, count) < 0.85, which % len(LABELS), rng.integers(0, len(LABELS), count))
    sure = np.where(near, rng.uniform(0.2, 0.98, count), rng.uniform(0, 0.2, count))
    return np.concatenate([xy, wh], 1), label, sure


def scores_of(rng, label, sure, classes=len(LABELS)):
    scores = rng.uniform(0, 0.15, (len(label), classes))
    scores[np.arange(len(label)), label] = sure
    return scores


# Each case: settings, the placement, a function of the generator that returns inputs, outputs (name to array, the
# item last in its batch) and what is to be found. The decoding starts from the stored numbers, never from the scene.


def yolov8(rng, p, dtype="<f4", nms="by-class"):
    boxes, label, sure = scene(rng, 200)
    item = np.concatenate([boxes, scores_of(rng, label, sure)], 1).T.astype(dtype)
    out = np.stack([rng.uniform(0, 1, item.shape).astype(dtype), item])
    decoded = []
    for column in out[1].astype(np.float64).T:
        best = int(np.argmax(column[4:]))
        decoded.append((float(column[4 + best]), best, centred(*column[:4])))
    return {}, {"output0": out}, dict(detections=select(decoded, p, 0.4, 0.5, 50, nms))


def yolov5(rng, p):
    boxes, label, sure = scene(rng, 200)
    classes = scores_of(rng, label, rng.uniform(0.8, 1, len(label)))
    out = np.concatenate([boxes, sure[:, None], classes], 1).astype("<f4")[None]
    decoded = []
    for row in out[0].astype(np.float64):
        best = int(np.argmax(row[5:]))
        decoded.append((float(row[4] * row[5 + best]), best, centred(*row[:4])))
    return {}, {"output0": out}, dict(detections=select(decoded, p, 0.3, 0.45, 6, "by-class"))


def yolov10(rng, p):
    boxes, label, sure = scene(rng, 60)
    corners = np.array([centred(*b) for b in boxes])
    order = np.argsort(-sure)
    out = np.concatenate([corners, sure[:, None], label[:, None]], 1)[order].astype("<f4")[None]
    out[0, 50:] = 0
    decoded = [(float(r[4]), int(r[5]), [float(v) for v in r[:4]]) for r in out[0] if r[4] > 0]
    return {}, {"output0": out}, dict(detections=select(decoded, p, 0.4, 0.5, 50, "none"))


def shares(boxes):
    return boxes / [WIDTH, HEIGHT, WIDTH, HEIGHT]


def pixels(row):
    return [float(v) * s for v, s in zip(row, [WIDTH, HEIGHT, WIDTH, HEIGHT])]


def rtdetr_two(rng, p):
    boxes, label, sure = scene(rng, 100)
    probability = np.clip(scores_of(rng, label, sure), 0.001, 0.999)
    logits = np.log(probability / (1 - probability)).astype("<f4")[None]
    stored = shares(boxes).astype("<f4")[None]
    decoded = []
    for row, box in zip(sigmoid(logits[0]), stored[0]):
        decoded += [(float(s), c, centred(*pixels(box))) for c, s in enumerate(row)]
    return {}, {"logits": logits, "pred_boxes": stored}, dict(detections=select(decoded, p, 0.4, 0.5, 40, "none"))


def rtdetr_one(rng, p):
    boxes, label, sure = scene(rng, 100)
    out = np.concatenate([shares(boxes), scores_of(rng, label, sure)], 1).astype("<f4")[None]
    decoded = []
    for row in out[0].astype(np.float64):
        best = int(np.argmax(row[4:]))
        decoded.append((float(row[4 + best]), best, centred(*pixels(row[:4]))))
    return {}, {"output0": out}, dict(detections=select(decoded, p, 0.4, 0.5, 40, "none"))


def ssd_anchors(rng, p):
    boxes, label, sure = scene(rng, 200)
    corners = np.array([centred(*b) for b in boxes])
    scores = scores_of(rng, label, sure)
    scores = np.concatenate([np.clip(1 - scores.sum(1, keepdims=True), 0, 1), scores], 1).astype("<f4")[None]
    stored = shares(corners).astype("<f4")[None]
    decoded = []
    for row, box in zip(scores[0], stored[0]):
        decoded += [(float(s), c - 1, pixels(box)) for c, s in enumerate(row) if c > 0]
    return {}, {"scores": scores, "boxes": stored}, dict(detections=select(decoded, p, 0.3, 0.45, 50, "by-class"))


def ssd_logits(rng, p):
    boxes, label, sure = scene(rng, 200)
    corners = np.array([centred(*b) for b in boxes])
    logits = rng.normal(0, 0.7, (200, len(LABELS) + 1))
    logits[:, -1] = 2
    logits[np.arange(200), label] += 7 * sure
    logits = logits.astype("<f4")[None]
    stored = shares(corners)[:, [1, 0, 3, 2]].astype("<f4")[None]
    decoded = []
    for row, box in zip(logits[0], stored[0]):
        decoded += [(float(s), c, pixels(box[[1, 0, 3, 2]])) for c, s in enumerate(softmax(row)[:-1])]
    return {}, {"cls": logits, "box": stored}, dict(detections=select(decoded, p, 0.3, 0.45, 50, "by-class"))


def ssd_selected(rng, p):
    boxes, label, sure = scene(rng, 60)
    corners = np.array([centred(*b) for b in boxes])
    order = np.argsort(-sure)
    stored = shares(corners[order])[:, [1, 0, 3, 2]].astype("<f4")[None]
    scores, classes = sure[order].astype("<f4")[None], (label[order] + 1).astype("<f4")[None]
    count = 12
    decoded = [
        (float(scores[0, i]), int(classes[0, i]) - 1, pixels(stored[0, i, [1, 0, 3, 2]])) for i in range(count)
    ]
    outputs = {
        "detection_boxes": stored,
        "detection_classes": classes,
        "detection_scores": scores,
        "num_detections": np.array([count], "<f4"),
    }
    return {}, outputs, dict(detections=select(decoded, p, 0.3, 0.5, 50, "none"))


def classify(rng, p, activation="softmax"):
    out = rng.normal(0, 3, (2, len(LABELS), 1, 1)).astype("<f4")
    row = out[1].reshape(-1)
    scores = softmax(row) if activation == "softmax" else row.astype(np.float64)
    order = np.argsort(-scores)[:3]
    return {}, {"logits": out}, dict(
        classes=[dict(index=int(i), label=LABELS[i], score=float(scores[i])) for i in order]
    )


def reconstruction(rng, p):
    window = rng.normal(0, 1, (1, 3, 257)).astype("<f4")
    again = (window + rng.normal(0, 0.2, window.shape)).astype("<f4")
    score = float(np.mean((window.astype(np.float64) - again.astype(np.float64)) ** 2))
    found = dict(score=score, threshold=0.01, anomalous=score >= 0.01)
    return {"window": window}, {"again": again}, dict(anomaly=found)


def scored(rng, p):
    out = rng.uniform(0, 1, (2, 1)).astype("<f4")
    score = float(out[1, 0])
    return {}, {"score": out}, dict(anomaly=dict(score=score, threshold=0.999, anomalous=score >= 0.999))


def detect(family, **more):
    return dict(kind="detect", family=family) | more


CASES = {
    "yolov8": (detect("yolov8", score_threshold=0.4), "letterbox", yolov8),
    "yolov8-f16": (detect("yolov8", score_threshold=0.4), "crop", lambda r, p: yolov8(r, p, "<f2")),
    "yolov8-agnostic": (
        detect("yolov8", score_threshold=0.4, nms="agnostic"), "stretch", lambda r, p: yolov8(r, p, nms="agnostic")),
    "yolov5": (
        detect("yolov5", score_threshold=0.3, iou_threshold=0.45, max_detections=6), "stretch", yolov5),
    "yolov10": (detect("yolov10", score_threshold=0.4), "letterbox", yolov10),
    "rtdetr-two": (detect("rtdetr", score_threshold=0.4, max_detections=40), "stretch", rtdetr_two),
    "rtdetr-one": (detect("rtdetr", score_threshold=0.4, max_detections=40), "crop", rtdetr_one),
    "ssd-anchors": (detect("ssd", score_threshold=0.3, iou_threshold=0.45), "stretch", ssd_anchors),
    "ssd-logits": (
        detect("ssd", score_threshold=0.3, iou_threshold=0.45, box_order="yxyx", background="last",
               activation="softmax"), "letterbox", ssd_logits),
    "ssd-selected": (detect("ssd", score_threshold=0.3), "letterbox", ssd_selected),
    "classify-softmax": (dict(kind="classify", top_k=3), "letterbox", classify),
    "classify-none": (
        dict(kind="classify", top_k=3, activation="none"), "letterbox", lambda r, p: classify(r, p, "none")),
    "anomaly-reconstruction": (
        dict(kind="anomaly", score="reconstruction", threshold=0.01), "letterbox", reconstruction),
    "anomaly-output": (dict(kind="anomaly", score="output", threshold=0.999), "letterbox", scored),
}


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    for name, (settings, placement, make) in CASES.items():
        for seed in range(1000):
            try:
                rng = np.random.default_rng(seed)
                inputs, outputs, expected = make(rng, PLACEMENTS[placement])
                break
            except Again:
                continue
        folder = HERE / name
        folder.mkdir(parents=True)
        for key, array in (inputs | outputs).items():
            np.save(folder / f"{key}.npy", np.ascontiguousarray(array))
        case = dict(
            seed=seed,
            settings="\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items()),
            labels=LABELS if settings["kind"] != "anomaly" else [],
            input=[WIDTH, HEIGHT],
            placement=PLACEMENTS[placement],
            inputs=list(inputs),
            outputs=list(outputs),
            item=len(next(iter(outputs.values()))) - 1,
            expected=expected,
        )
        (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
        print(name, "seed", seed, {key: len(value) for key, value in expected.items()})


main()
