#!/usr/bin/env python3
"""Trains the vibration model on a healthy machine and writes its model folder, with measured accuracy.

    nice -n 10 python make-vibration.py        a few minutes

An autoencoder with a narrow, bounded middle: what a healthy machine does comes back, the rest does not.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import vibration_card
from anomaly import FALSE_ALARM_RATE, scores
from graph import Graph
from held_out import session
from vibration import LENGTH, RATE_HZ, record, windows

HERE = Path(__file__).resolve().parent
MIDDLE = 12
# One recording each, so that the threshold sees as many mountings and speeds.
VALIDATION_MINUTES = 120
BATCH = 256


class Autoencoder(nn.Module):
    """Windows [B, 3, LENGTH], normalised, and back."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv1d(3, 12, 7, 2, 3), nn.Conv1d(12, 16, 7, 2, 3), nn.Conv1d(16, 16, 7, 4, 3)])
        self.inward = nn.ModuleList([nn.Linear(16 * LENGTH // 16, 48), nn.Linear(48, MIDDLE)])
        self.outward = nn.ModuleList([nn.Linear(MIDDLE, 48), nn.Linear(48, 56), nn.Linear(56, 3 * LENGTH)])

    def forward(self, x):
        for conv in self.convs:
            x = nn.functional.silu(conv(x))
        x = nn.functional.silu(self.inward[0](x.flatten(1)))
        x = torch.tanh(self.inward[1](x))
        x = nn.functional.silu(self.outward[0](x))
        x = nn.functional.silu(self.outward[1](x))
        return self.outward[2](x).view(-1, 3, LENGTH)

    def export(self):
        """The ONNX model, free batch."""
        g, x = Graph("vibration"), "window"
        for conv in self.convs:
            x = g.silu(g.conv(x, conv.weight.detach().numpy(), conv.bias.detach().numpy(), conv.stride[0]))
        x = g.silu(self._gemm(g, g.add("Flatten", [x], axis=1), self.inward[0]))
        x = g.add("Tanh", [self._gemm(g, x, self.inward[1])])
        x = g.silu(self._gemm(g, x, self.outward[0]))
        x = self._gemm(g, g.silu(self._gemm(g, x, self.outward[1])), self.outward[2])
        shape = g.constant(np.array([-1, 3, LENGTH], np.int64), "shape")
        g.add("Reshape", [x, shape], named="reconstruction")
        return g.model({"window": ["batch", 3, LENGTH]}, {"reconstruction": ["batch", 3, LENGTH]}, "Vedette vibration autoencoder")

    @staticmethod
    def _gemm(g, x, layer):
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        return g.add("Gemm", [x, g.constant(weight, "w"), g.constant(bias, "b")], transB=1)


def train(data, steps, seed):
    """The autoencoder after that many batches of windows cut anywhere in the recordings."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Autoencoder()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps, pct_start=0.1)
    started = time.monotonic()
    for step in range(steps):
        x = torch.from_numpy(data[rng.integers(0, len(data), BATCH)])
        loss = ((net(x) - x) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 1000 == 0:
            print(f"step {step + 1}/{steps}  loss {loss.item():.4f}  {time.monotonic() - started:.0f} s", flush=True)
    return net.eval()


def main():
    """Record, train, export, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--hours", type=float, default=3, help="of healthy vibration, recorded for training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE.parent / "vibration")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recordings = [record([args.seed, i], 180) for i in range(int(args.hours * 20))]
    joined = np.concatenate(recordings)
    mean, std = np.round(joined.mean(axis=0), 3), np.round(joined.std(axis=0), 4)
    data = np.concatenate([windows(r, mean, std, hop=97) for r in recordings])
    print(f"{len(data)} windows of {LENGTH / RATE_HZ} s, mean {mean}, std {std}", flush=True)
    net = train(data, args.steps, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "model.onnx"
    path.write_bytes(net.export().SerializeToString())
    run = session(str(path), args.threads)
    validation = np.concatenate([scores(run, record([args.seed, 10_000 + i], 60), mean, std) for i in range(VALIDATION_MINUTES)])
    threshold = round(float(np.quantile(validation, 1 - FALSE_ALARM_RATE)), 4)
    vibration_card.write(args.out, run, mean, std, threshold, f"--steps {args.steps} --hours {args.hours:g} --seed {args.seed}")


if __name__ == "__main__":
    main()
