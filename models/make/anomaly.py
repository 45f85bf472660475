"""Judging the vibration model: scores, reports, false alarms, delay. NumPy and ONNX Runtime only."""

import numpy as np

from vibration import FAULTS, HOP, LENGTH, RATE_HZ, growing, record, windows

HELD_OUT_SEED = 7
CONSECUTIVE = 8
FALSE_ALARM_RATE = 0.005
SEVERITIES = (0.1, 0.25, 0.5, 1.0)
# A fault weaker than this is below the noise; the mean area under the ROC curve leaves it out.
FELT = 0.25
GROWTH_S = 600
# Recordings an hour of healthy data: each has its own mounting and speed.
PIECES = 12
# Seconds of a recording with a steady fault.
FAULT_S = 30


def scores(run, samples, mean, std):
    """Mean squared error of every window against its reconstruction."""
    x = windows(samples, mean, std)
    parts = [((b - run.run(["reconstruction"], {"window": b})[0]) ** 2).mean(axis=(1, 2)) for b in np.array_split(x, max(1, len(x) // 512))]
    return np.concatenate(parts)


def reports(over):
    """Window indices at which a run of `CONSECUTIVE` windows over the threshold is complete for the first time."""
    length, found = 0, []
    for index, high in enumerate(over):
        length = length + 1 if high else 0
        if length == CONSECUTIVE:
            found.append(index)
    return found


def auc(healthy, faulty):
    """Share of (healthy, faulty) pairs that the score puts in the right order."""
    order = np.argsort(np.concatenate([healthy, faulty]), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    n = len(faulty)
    return (ranks[len(healthy):].sum() - n * (n + 1) / 2) / (n * len(healthy))


def measure(run, mean, std, threshold, seed=HELD_OUT_SEED, hours=4.0, machines=20):
    """False alarms, detection rates and areas under the ROC curve on recordings of that seed."""
    seconds = 3600 / PIECES
    healthy = [scores(run, record([seed, 0, i], seconds), mean, std) for i in range(int(hours * PIECES))]
    joined = np.concatenate(healthy)
    result = {"windows": len(joined), "false_alarm_rate": float((joined > threshold).mean()),
              "false_reports_per_hour": sum(len(reports(h > threshold)) for h in healthy) / hours, "rate": {}, "auc": {}}
    for kind, fault in enumerate(FAULTS, 1):
        sick = lambda s: [scores(run, record([seed, kind, i, int(s * 100)], FAULT_S, fault, s), mean, std) for i in range(machines)]
        by_severity = {s: np.concatenate(sick(s)) for s in SEVERITIES}
        result["rate"][fault] = {s: float((v > threshold).mean()) for s, v in by_severity.items()}
        result["auc"][fault] = {s: float(auc(joined, v)) for s, v in by_severity.items()}
    result["auc_all"] = float(np.mean([area for v in result["auc"].values() for s, area in v.items() if s >= FELT]))
    return result


def delays(run, mean, std, threshold, seed=HELD_OUT_SEED, machines=20):
    """{fault: [`_delay` of every machine]} for faults that grow."""
    each = lambda kind, fault: [_delay(run, mean, std, threshold, fault, [seed, kind, 1000 + i]) for i in range(machines)]
    return {fault: each(kind, fault) for kind, fault in enumerate(FAULTS, 1)}


def _delay(run, mean, std, threshold, fault, seed):
    """(windows from the onset to the report, severity then); the onset is after 60 s."""
    onset = 60
    severity = growing(onset + GROWTH_S, onset, GROWTH_S)
    over = scores(run, record(seed, onset + GROWTH_S, fault, severity), mean, std) > threshold
    first = (onset * RATE_HZ - LENGTH) // HOP + 1
    found = reports(over[first:])
    if not found:
        return None
    at = found[0] + first
    return found[0] + 1, float(severity[at * HOP + LENGTH - 1])
