#!/usr/bin/env python3
"""Runs the reference tracker on the streets that a test wrote, and has motmetrics count.

    pip install supervision==0.27.0 motmetrics==1.4.0
    VEDETTE_WRITE_STREETS=/tmp/streets cargo nextest run -p agent -E 'binary(tracks)'
    agent/tests/make-golden-tracks.py /tmp/streets agent/tests/golden/track

The reference is supervision's ByteTrack with this tracker's thresholds: a box is sure from 0.5 on, begins an
object from 0.6 on (the reference adds the 0.1 itself), and an object that is not seen is waited for 30 frames.
Its own defaults (0.25) are counted too and printed, not kept.
"""

import json
import pathlib
import sys
import warnings

import motmetrics
import numpy as np
import supervision

warnings.filterwarnings("ignore")
# motmetrics 1.4 asks for what NumPy 2 no longer has.
np.asfarray = getattr(np, "asfarray", lambda values: np.asarray(values, dtype=float))


def reference(frames, threshold):
    tracker = supervision.ByteTrack(
        track_activation_threshold=threshold,
        lost_track_buffer=30,
        minimum_matching_threshold=0.8,
        frame_rate=30,
        minimum_consecutive_frames=1,
    )
    for frame in frames:
        boxes = np.array([box for _, box in frame["found"]], dtype=np.float32).reshape(-1, 4)
        scores = np.array([score for score, _ in frame["found"]], dtype=np.float32)
        given = supervision.Detections(
            xyxy=boxes,
            confidence=scores,
            class_id=np.zeros(len(scores), dtype=int),
            data={"place": np.arange(len(scores))},
        )
        ids = [0] * len(scores)
        if len(scores):
            followed = tracker.update_with_detections(given)
            for place, number in zip(followed.data.get("place", []), followed.tracker_id):
                ids[int(place)] = int(number)
        yield ids


def counted(frames, ids):
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    wide = lambda box: [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    for frame, numbers in zip(frames, ids):
        truth = [number for number, _ in frame["truth"]]
        said = [(n, wide(box)) for n, (_, box) in zip(numbers, frame["found"]) if n]
        distances = motmetrics.distances.iou_matrix(
            [wide(box) for _, box in frame["truth"]], [box for _, box in said], max_iou=0.5
        )
        accumulator.update(truth, [n for n, _ in said], distances)
    metrics = motmetrics.metrics.create()
    names = ["mota", "num_switches", "num_misses", "num_false_positives"]
    found = metrics.compute(accumulator, metrics=names, name="x").loc["x"]
    return {
        "mota": round(float(found["mota"]), 6),
        "switches": int(found["num_switches"]),
        "missed": int(found["num_misses"]),
        "alarms": int(found["num_false_positives"]),
    }


def main():
    streets, golden = map(pathlib.Path, sys.argv[1:3])
    golden.mkdir(parents=True, exist_ok=True)
    for path in sorted(streets.glob("*.json")):
        frames = json.loads(path.read_text())
        ids = list(reference(frames, 0.5))
        result = {
            "boxes": sum(len(frame["found"]) for frame in frames),
            "counted": counted(frames, ids),
            "ids": ids,
        }
        defaults = counted(frames, list(reference(frames, 0.25)))
        print(path.stem, result["counted"], "with its defaults", defaults)
        text = json.dumps(result, separators=(",", ":"))
        (golden / path.name).write_text(text + "\n")


main()
