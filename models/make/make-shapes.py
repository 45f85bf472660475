#!/usr/bin/env python3
"""Trains the shapes detector on drawn pictures and writes its model folder, with measured accuracy.

    nice -n 10 python make-shapes.py                   about an hour on one core that has bf16
    python make-shapes.py --device cuda                five minutes on an H100 and 16 cores
    nice -n 10 python make-shapes.py --steps 300       a quick one, less accurate

Seeded; on the same processor and torch version the same model comes out, elsewhere nearly the same one.
"""

import argparse
import copy
import multiprocessing
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import shapes_card
from drawing import COVERED_LIMIT, SIZES, Style, draw
from held_out import judge, outputs, session
from picture import letterbox
from shapes_net import ShapesNet, loss_of

HERE = Path(__file__).resolve().parent
BATCH = 32
MOST_SHAPES = 8
# Eight times faster where the processor has it; the sums of the loss and the weights stay in 32 bits.
HALF = torch.cpu._is_avx512_bf16_supported()
# Of a shape covered this much nothing is asked in training: the limit is not sharp to the eye.
UNASKED = (COVERED_LIMIT, COVERED_LIMIT + 0.06)
# Rows of the square that are worth training on, by aspect: most of a letterbox is padding.
ROWS = {"16:9": (64, 256), "4:3": (32, 288), "1:1": (0, 320)}
SHARE = {"16:9": 0.55, "4:3": 0.25, "1:1": 0.20}


def aspect_of(width, height):
    """Which of `ROWS` a frame size belongs to."""
    return min(ROWS, key=lambda a: abs(int(a.split(":")[0]) / int(a.split(":")[1]) - width / height))


def camera(rng, picture):
    """What a camera does to a picture: nothing, 4:2:0 and back, or JPEG and back."""
    kind = rng.random()
    if kind < 0.35 or picture.shape[0] % 2 or picture.shape[1] % 2:
        return picture
    if kind < 0.75:
        return cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), cv2.COLOR_YUV2RGB_I420)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    return cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR)


def example(job):
    """One training picture (rows of its aspect only) and its truth, padded to `MOST_SHAPES`."""
    seed, aspect = job
    rng = np.random.default_rng(seed)
    sizes = [s for s in SIZES if aspect_of(*s) == aspect]
    weights = np.array([1 / (s[0] * s[1]) ** 0.4 for s in sizes])
    width, height = sizes[rng.choice(len(sizes), p=weights / weights.sum())]
    scene = draw(rng, width, height, Style.TRAINING)
    square, (scale, left, top) = letterbox(camera(rng, scene.picture))
    first, last = ROWS[aspect]
    boxes, labels, kinds = np.zeros((MOST_SHAPES, 4), np.float32), np.zeros(MOST_SHAPES, np.int64), np.zeros(MOST_SHAPES, np.int64)
    asked = np.flatnonzero(scene.covered <= UNASKED[1])[:MOST_SHAPES]
    boxes[:len(asked)] = scene.boxes[asked] * scale + np.array([left, top - first, left, top - first])
    labels[:len(asked)] = scene.labels[asked]
    kinds[:len(asked)] = np.where(scene.covered[asked] <= UNASKED[0], 1, -1)
    return square[first:last], boxes, labels, kinds


def training_set(count, seed):
    """{aspect: (pictures, boxes, labels, kinds)}."""
    result = {}
    with multiprocessing.Pool() as pool:
        for order, (aspect, share) in enumerate(SHARE.items()):
            jobs = [((seed, order, i), aspect) for i in range(int(count * share))]
            result[aspect] = [np.stack(part) for part in zip(*pool.map(example, jobs, chunksize=32))]
    return result


def varied(rng, pictures, boxes):
    """The batch mirrored, with channels swapped and light changed, each now and then: uint8 to 0..1."""
    count, device = len(pictures), pictures.device
    per_picture = lambda values: torch.as_tensor(values, device=device).view(-1, 1, 1, 1)
    x = pictures.permute(0, 3, 1, 2).float() / 255
    mirrored = rng.random(count) < 0.5
    x = torch.where(per_picture(mirrored), x.flip(3), x)
    # A box that pads the list has no extent and stays where it is.
    turned = torch.as_tensor(mirrored, device=device)[:, None] & (boxes[..., 2] > boxes[..., 0])
    other = torch.stack([x.shape[3] - boxes[..., 2], boxes[..., 1], x.shape[3] - boxes[..., 0], boxes[..., 3]], 2)
    boxes = torch.where(turned[..., None], other, boxes)
    order = np.where(rng.random((count, 1)) < 0.5, rng.permuted(np.tile(np.arange(3), (count, 1)), axis=1), np.arange(3))
    x = x[torch.arange(count, device=device)[:, None], torch.as_tensor(order, device=device)]
    lit = rng.random(count) < 0.3
    gain, lift = np.where(lit, rng.uniform(0.85, 1.1, count), 1), np.where(lit, rng.uniform(-0.04, 0.04, count), 0)
    x = (x * per_picture(gain.astype(np.float32)) + per_picture(lift.astype(np.float32))).clamp(0, 1)
    return x.contiguous(memory_format=torch.channels_last), boxes


def train(data, steps, seed, device):
    """The network's moving average after that many batches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = ShapesNet().to(device, memory_format=torch.channels_last)
    mean = copy.deepcopy(net).eval()
    slow, now = floats(mean), floats(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps, pct_start=0.1, final_div_factor=50)
    aspects, share = list(SHARE), list(SHARE.values())
    started, shown = time.monotonic(), []
    queue = {a: np.zeros(0, np.int64) for a in aspects}
    for step in range(steps):
        aspect = aspects[rng.choice(len(aspects), p=share)]
        if len(queue[aspect]) < BATCH:
            queue[aspect] = rng.permutation(len(data[aspect][0]))
        pick, queue[aspect] = queue[aspect][:BATCH], queue[aspect][BATCH:]
        pictures, boxes, labels, kinds = (torch.from_numpy(part[pick]).to(device) for part in data[aspect])
        x, truth = varied(rng, pictures, boxes)
        with torch.autocast(device, torch.bfloat16, enabled=HALF or device != "cpu"):
            raw = net(x)
        loss = loss_of(raw.float(), x.shape[2], x.shape[3], truth, labels, kinds)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        follow(slow, now, step)
        shown.append(loss.detach())
        if (step + 1) % 50 == 0:
            lately = torch.stack(shown[-50:]).mean().item()
            print(f"step {step + 1}/{steps}  loss {lately:.3f}  {time.monotonic() - started:.0f} s", flush=True)
    return mean.cpu()


@torch.no_grad()
def follow(slow, now, step):
    """Moves the average towards the network, faster at first."""
    torch._foreach_lerp_(slow, now, 1 - min(0.995, (1 + step) / (10 + step)))


def floats(net):
    """Everything in its state that can be averaged."""
    return [part for part in net.state_dict().values() if part.dtype.is_floating_point]


def choose_thresholds(run, pictures):
    """(score, IoU) thresholds with the best harmonic mean of precision and recall on validation pictures."""
    results = list(outputs(run, shapes_card.VALIDATION_SEED, pictures))
    best = (0, 0.4, 0.5)
    for iou_threshold in (0.5, 0.6):
        verdict = judge(results, 0.01, iou_threshold)
        for score in np.arange(0.2, 0.81, 0.05):
            precision, _, recall = verdict.at(score)
            f1 = 2 * precision * recall / max(1e-9, precision + recall)
            print(f"validation: iou {iou_threshold} score {score:.2f}  precision {precision:.4f}  recall {recall:.4f}  F1 {f1:.4f}")
            best = max(best, (round(f1, 4), round(float(score), 2), iou_threshold))
    return best[1], best[2]


def main():
    """Draw, train, export, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--pictures", type=int, default=20000, help="drawn for training")
    parser.add_argument("--held-out", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1, help="more are slower while others build")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where it trains")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=Path, help="start from here instead of training, if the file exists; else write it")
    parser.add_argument("--out", type=Path, default=HERE.parent / "shapes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.weights and args.weights.exists():
        net = ShapesNet().eval()
        net.load_state_dict(torch.load(args.weights, weights_only=True))
    else:
        started = time.monotonic()
        data = training_set(args.pictures, args.seed)
        print(f"{args.pictures} pictures drawn in {time.monotonic() - started:.0f} s", flush=True)
        net = train(data, args.steps, args.seed, args.device)
        if args.weights:
            torch.save(net.state_dict(), args.weights)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "model.onnx"
    path.write_bytes(net.to(memory_format=torch.contiguous_format).export().SerializeToString())
    run = session(str(path), args.threads)
    score, iou = choose_thresholds(run, args.held_out // 3)
    shapes_card.write(args.out, run, score, iou, args.held_out, f"--device {args.device} --steps {args.steps} --pictures {args.pictures} --seed {args.seed}")


if __name__ == "__main__":
    main()
