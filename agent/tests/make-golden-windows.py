#!/usr/bin/env python3
"""Computes with NumPy what windows of samples become, for tests/windows.rs.

    agent/tests/make-golden-windows.py agent/tests/golden/windows.json

Each case has samples at the sensor's times and the model's window. What is expected follows from the definitions, not
from the agent's code: np.interp where the sensor is about as fast as the model or slower, np.sinc under Hann's window
where it is faster (let through below 0.4 of the model's rate, ten of its beats on either side), (x - mean) / std, and
np.fft.rfft under Hann's window where the model wants magnitudes: those of a sine's amplitude.
"""

import json
import pathlib
import sys

import numpy as np

REACH = 10.0
CUT_OFF = 0.4
CHANNELS = 2


def signal(times, seed):
    random = np.random.default_rng(seed)
    rows = []
    for channel in range(CHANNELS):
        row = np.zeros_like(times)
        for _ in range(4):
            frequency, phase = random.uniform(5, 180), random.uniform(0, 2 * np.pi)
            row += random.uniform(0.2, 1.0) * np.sin(2 * np.pi * frequency * times + phase)
        rows.append(row + 0.05 * random.standard_normal(times.shape) + 0.3 * channel)
    return np.round(np.stack(rows), 6)


def straight(times, values, beats):
    return np.stack([np.interp(beats, times, row) for row in values])


def filtered(times, values, beats, rate):
    away = (times[None, :] - beats[:, None]) * rate
    near = np.abs(away) <= REACH
    weights = np.where(near, np.sinc(2 * CUT_OFF * away) * 0.5 * (1 + np.cos(np.pi * away / REACH)), 0)
    return (values @ weights.T) / weights.sum(axis=1)


def magnitudes(rows):
    length = rows.shape[1]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    found = np.abs(np.fft.rfft(rows * hann)) * 2 / hann.sum()
    found[:, 0] /= 2
    if length % 2 == 0:
        found[:, -1] /= 2
    return found


def case(name, source_hz, length, hop, windows, spectrum=False, jitter=0.0, seed=1):
    rate, random = 1000.0, np.random.default_rng(seed)
    faster = source_hz > 1.25 * rate
    reach = REACH / rate if faster else 0.0
    seconds = (length + (windows - 1) * hop) / rate + 2 * reach + 0.002
    times = 5.0 + np.arange(int(seconds * source_hz) + 2) / source_hz
    # The first ones come evenly: by them it is seen how often.
    times[20:] += random.uniform(-jitter, jitter, len(times) - 20) / source_hz
    times = np.round(times, 6)
    values = signal(times, seed)
    mean, std = [0.25, -0.5], [0.7, 1.6]
    wanted = []
    for window in range(windows):
        beats = times[0] + reach + (window * hop + np.arange(length)) / rate
        rows = filtered(times, values, beats, rate) if faster else straight(times, values, beats)
        rows = (rows - np.array(mean)[:, None]) / np.array(std)[:, None]
        rows = magnitudes(rows) if spectrum else rows
        wanted.append([round(float(x), 6) for x in rows.ravel()])
    return {
        "name": name, "rate_hz": rate, "length": length, "hop": hop, "spectrum": spectrum,
        "mean": mean, "std": std, "times": times.tolist(), "values": values.tolist(), "windows": wanted,
    }


cases = [
    case("slower, at uneven times", 700.0, 32, 32, 2, jitter=0.3, seed=2),
    case("as fast, on the beat, overlapping", 1000.0, 32, 16, 3, seed=3),
    case("four times as fast", 4000.0, 32, 32, 2, seed=4),
    case("three times as fast, at uneven times", 3000.0, 24, 24, 2, jitter=0.2, seed=5),
    case("magnitudes of an even length", 1000.0, 64, 64, 1, spectrum=True, seed=6),
    case("magnitudes of an odd length, resampled", 2500.0, 45, 45, 1, spectrum=True, seed=7),
]
pathlib.Path(sys.argv[1]).write_text(json.dumps(cases, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
