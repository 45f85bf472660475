#!/usr/bin/env python3
"""A rotating machine as a three-axis accelerometer feels it: healthy, or going bad. NumPy only, seeded.

As a program it writes a recording to replay, samples x 3, float32, in g, 1,000 a second (.npy or .csv):

    python vibration.py --seconds 120 --fault bearing --onset 30 --growth 60 --out bearing.npy
"""

import argparse
from pathlib import Path

import numpy as np

RATE_HZ = 1000
LENGTH = 256
HOP = 128
FAULTS = ("bearing", "imbalance", "looseness")

# The machine. Speeds in Hz, amplitudes in g; phases are those of one machine and do not change.
SPEED_IDLE, SPEED_FULL = 24.9, 23.6
HARMONICS = (1, 2, 3, 5)
AMPLITUDE = np.array([[0.200, 0.060, 0.025, 0.040],    # x, radial
                      [0.170, 0.045, 0.030, 0.035],    # y, radial
                      [0.050, 0.035, 0.015, 0.030]])   # z, axial
PHASE = np.array([[0.0, 0.7, 2.1, 4.0], [1.57, 2.4, 3.0, 5.2], [0.9, 1.1, 0.3, 2.2]])
BY_LOAD = np.array([0.15, 0.30, 0.30, 0.80])           # how much each harmonic grows from idle to full load
NOISE_G = 0.030
MAINS_HZ, MAINS_G = 100.0, np.array([0.012, 0.012, 0.006])

# The faults at severity 1.
BEARING_ORDER, BEARING_RING_HZ, BEARING_DECAY_S = 3.58, 310.0, 0.006
BEARING_G = np.array([0.90, 0.70, 0.30])
IMBALANCE_GAIN = 1.5
LOOSE_ORDERS = (0.5, 1.5, 2.5)
LOOSE_G = np.array([0.070, 0.060, 0.050])
LOOSE_HARMONIC_GAIN = 1.0


def _load(rng, count):
    """Share of full load for each sample: plateaus of 5 to 40 s with ramps, and a slow wander."""
    load, at, level = np.empty(count), 0, rng.uniform(0.1, 1)
    while at < count:
        goal, ramp, hold = rng.uniform(0.1, 1), int(rng.uniform(0.5, 4) * RATE_HZ), int(rng.uniform(5, 40) * RATE_HZ)
        piece = np.concatenate([np.linspace(level, goal, ramp), np.full(hold, goal)])[:count - at]
        load[at:at + len(piece)] = piece
        at, level = at + len(piece), goal
    knots = rng.normal(0, 0.02, count // RATE_HZ + 2)
    return np.clip(load + np.interp(np.arange(count), np.arange(len(knots)) * RATE_HZ, knots), 0, 1.05)


def record(seed, seconds, fault=None, severity=0.0):
    """Acceleration in g, [samples, 3]. `severity` is a number or one for each sample, 0 to 1."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE_HZ)
    load = _load(rng, count)
    speed = SPEED_IDLE + (SPEED_FULL - SPEED_IDLE) * load + rng.normal(0, 0.05)
    turns = rng.uniform() + np.cumsum(speed) / RATE_HZ
    severity = np.broadcast_to(np.asarray(severity, np.float64), (count,))
    gain = 1 + BY_LOAD[:, None] * load
    if fault == "imbalance":
        gain[0] *= 1 + IMBALANCE_GAIN * severity
    elif fault == "looseness":
        gain[1:3] *= 1 + LOOSE_HARMONIC_GAIN * severity
    out = np.empty((count, 3))
    mains = 2 * np.pi * (np.arange(count) * (MAINS_HZ / RATE_HZ) + rng.uniform())
    for axis in range(3):
        signal = MAINS_G[axis] * np.sin(mains) + rng.normal(0, NOISE_G, count) * (0.85 + 0.3 * load)
        for k, order in enumerate(HARMONICS):
            signal += AMPLITUDE[axis, k] * gain[k] * np.sin(2 * np.pi * order * turns + PHASE[axis, k])
        if fault == "looseness":
            for order, phase in zip(LOOSE_ORDERS, (0.4, 1.9, 5.0)):
                signal += LOOSE_G[axis] * severity * np.sin(2 * np.pi * order * turns + phase + axis)
        out[:, axis] = signal
    if fault == "bearing":
        out += _impacts(rng, turns, severity)[:, None] * BEARING_G
    elif fault not in (None, "imbalance", "looseness"):
        raise ValueError(f"unknown fault {fault!r}, one of {', '.join(FAULTS)}")
    gain = 1 + rng.normal(0, 0.01, 3)
    return (out * gain).astype(np.float32)


def _impacts(rng, turns, severity):
    """A ball strikes the damage `BEARING_ORDER` times a turn; each strike rings and dies away."""
    passed = np.floor(turns * BEARING_ORDER + rng.uniform())
    strikes = np.flatnonzero(np.diff(passed, prepend=passed[0]) > 0)
    strikes = np.clip(strikes + rng.integers(-1, 2, len(strikes)), 0, len(turns) - 1)
    force = np.zeros(len(turns))
    force[strikes] = severity[strikes] * rng.uniform(0.6, 1.0, len(strikes))
    t = np.arange(int(6 * BEARING_DECAY_S * RATE_HZ)) / RATE_HZ
    ring = np.exp(-t / BEARING_DECAY_S) * np.sin(2 * np.pi * BEARING_RING_HZ * t + 0.8)
    return np.convolve(force, ring)[:len(turns)]


def growing(seconds, onset_s, growth_s):
    """Severity for each sample: 0 until the onset, then in a straight line to 1."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.clip((t - onset_s) / growth_s, 0, 1)


def windows(samples, mean=0.0, std=1.0, hop=HOP):
    """[windows, 3, LENGTH] float32, normalised per axis."""
    starts = np.arange(0, len(samples) - LENGTH + 1, hop)
    view = np.lib.stride_tricks.sliding_window_view(samples, LENGTH, axis=0)[starts]
    mean, std = np.broadcast_to(mean, 3)[None, :, None], np.broadcast_to(std, 3)[None, :, None]
    return np.ascontiguousarray((view - mean) / std, np.float32)


def main():
    """Writes one recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--fault", choices=FAULTS)
    parser.add_argument("--onset", type=float, default=30, help="seconds until it begins")
    parser.add_argument("--growth", type=float, default=60, help="seconds from its beginning to severity 1")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    samples = record(args.seed, args.seconds, args.fault, growing(args.seconds, args.onset, args.growth))
    if args.out.suffix == ".csv":
        np.savetxt(args.out, samples, fmt="%.5f", delimiter=",", header="x,y,z", comments="")
    else:
        np.save(args.out, samples)
    print(f"{args.out}: {len(samples)} samples at {RATE_HZ} Hz")


if __name__ == "__main__":
    main()
