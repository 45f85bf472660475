#!/usr/bin/env python3
"""The peer of `scripts/bench`: what a competent user of OpenCV, ONNX Runtime and NumPy would write.

It stays alive, so that its rounds alternate with those of Vedette. Each line of stdin is a JSON object, each
is answered by one on stdout:

    {"do": "open", "model": DIR, "threads": 2, "frames": DIR, "count": 32, "wait_ms": null}
    {"do": "run", "frames": 30}         the whole pipeline
    {"do": "tensor", "frames": 30, "how": "nv12_planes"}        to the tensor only

`wait_ms` puts a sleep in the place of the run. A round is answered with the median frame time, the median time
outside the run, processor time per frame (all threads), resident memory, and what the last frame held.
"""

import collections
import datetime
import json
import pathlib
import statistics
import sys
import time

import cv2
import numpy as np
import onnxruntime

from outputs import classes, detections
from pictures import WIDTH, ToTensor

OBJECTS, BOXES = 8, 6


def drawn_head(rows=84, columns=8400):
    """A detector's output as the shadow engine draws it: eight objects of six boxes each, faint noise."""
    rng = np.random.default_rng(1)
    head = (rng.random((1, rows, columns)) * 0.05).astype(np.float32)
    for thing in range(OBJECTS):
        centre, side = rng.random(2) * 400 + 100, rng.random() * 80 + 20
        for copy in range(BOXES):
            at = (thing * BOXES + copy) * (columns // (OBJECTS * BOXES))
            head[0, :4, at] = [*(centre + rng.random(2) * 4), side, side]
            head[0, 4 + thing, at] = 0.6 + rng.random() * 0.35
    return head


class Pipeline:
    """One model on one camera."""

    def __init__(self, ask):
        model = pathlib.Path(ask["model"])
        cv2.setNumThreads(ask["threads"])
        self.labels = (model / "labels.txt").read_text().split()
        self.detects = "yolo" in model.name
        self.to_tensor = ToTensor(640 if self.detects else 224, self.detects, not self.detects)
        names = sorted(pathlib.Path(ask["frames"]).glob("*.nv12"))[: ask["count"]]
        self.frames = [np.fromfile(name, np.uint8).reshape(-1, WIDTH) for name in names]
        self.seq = 0
        # Where a sink would take it from: it must not grow.
        self.sink = collections.deque(maxlen=256)
        if ask.get("wait_ms") is not None:
            seconds, head = ask["wait_ms"] / 1000, drawn_head()

            def wait(_):
                time.sleep(seconds)
                return head

            self.infer = wait
        else:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = ask["threads"]
            # As the daemon has it: idle threads sleep.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = onnxruntime.InferenceSession(str(model / "model.onnx"), options, providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            self.infer = lambda tensor: session.run(None, {name: tensor})[0]

    def next(self):
        """The next frame: another one each time, none still in the cache."""
        self.seq += 1
        return self.frames[self.seq % len(self.frames)]

    def understand(self, output):
        """What the output says."""
        if self.detects:
            return detections(output, self.labels, WIDTH / self.to_tensor.side, self.to_tensor.above)
        return classes(output, self.labels)

    def run(self, count):
        """A round."""
        total, outside = [], []
        fill = self.to_tensor.nv12
        cpu = time.process_time()
        for _ in range(count):
            began = time.perf_counter()
            tensor = fill(self.next())
            before = time.perf_counter()
            output = self.infer(tensor)
            after = time.perf_counter()
            found = self.understand(output)
            ended = time.perf_counter()
            observation = {
                "schema": "peer/1",
                "ts": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
                "seq": self.seq,
                "pipeline": "peer",
                "timings": {"preprocess_ms": (before - began) * 1e3, "inference_ms": (after - before) * 1e3,
                            "postprocess_ms": (ended - after) * 1e3},
                "found": found,
            }
            self.sink.append(json.dumps(observation))
            ended = time.perf_counter()
            total.append(ended - began)
            outside.append(ended - began - (after - before))
        cpu = time.process_time() - cpu
        return {"total_ms": statistics.median(total) * 1e3, "outside_ms": statistics.median(outside) * 1e3,
                "wall_ms": sum(total) / count * 1e3, "cpu_ms": cpu / count * 1e3, "found": len(found)}

    def tensor(self, count, how):
        """A round of the first step only."""
        fill, times = getattr(self.to_tensor, how), []
        for _ in range(count):
            frame = self.next()
            began = time.perf_counter()
            fill(frame)
            times.append(time.perf_counter() - began)
        return {"total_ms": statistics.median(times) * 1e3}


def resident_mb():
    """Resident memory of this process."""
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def main():
    """Answers until stdin ends."""
    pipeline = None
    for line in sys.stdin:
        ask = json.loads(line)
        answer = {}
        if ask["do"] == "open":
            pipeline = Pipeline(ask)
            answer["versions"] = f"onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}, NumPy {np.__version__}"
        elif ask["do"] == "run":
            answer = pipeline.run(ask["frames"])
        else:
            answer = pipeline.tensor(ask["frames"], ask["how"])
        print(json.dumps(answer | {"resident_mb": resident_mb()}), flush=True)


if __name__ == "__main__":
    main()
