"""The drawn world of the shapes detector: the same one that the agent's `pattern` source moves.

A slow two-colour gradient with noise; 3 to 6 filled shapes, later ones cover earlier ones. The truth is
the bounding box of each whole shape of which at most 40 % is covered. NumPy only, seeded.

`Style.HELD_OUT` is what the pattern source draws. `Style.TRAINING` is a little wider in each respect, so
that a detail of the drawing (a star's waist, the strength of the noise) does not decide the accuracy.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

LABELS = ["circle", "square", "triangle", "star"]
COVERED_LIMIT = 0.40
CONTRAST = 60
# A star's inner radius over its outer one, and its height over its width.
WAIST, STAR_HEIGHT = 0.4, 1.8090 / 1.9021
SIZES = [(320, 240), (424, 240), (480, 270), (640, 360), (640, 480), (800, 600), (960, 540), (1280, 720),
         (1280, 960), (1920, 1080), (320, 320), (480, 480), (640, 640)]


class Style(Enum):
    """How faithful to the pattern source a drawing is."""

    HELD_OUT = 0
    TRAINING = 1


@dataclass
class Scene:
    """A drawn picture, uint8 HxWx3 RGB; its shapes: boxes x1 y1 x2 y2, label indices, covered share."""

    picture: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    covered: np.ndarray


def _star_points(waist):
    """Ten corners of a star with one point up, around (0, 0)."""
    angle = -np.pi / 2 + np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, waist)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _inside_polygon(points, x, y):
    """Even-odd rule for columns x (1xW) and rows y (Hx1)."""
    inside = np.zeros((y.shape[0], x.shape[1]), bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0)):
        if ay == by:
            continue
        crosses = (ay > y) != (by > y)
        inside ^= crosses & (x < ax + (y - ay) * ((bx - ax) / (by - ay)))
    return inside


def _mask(label, left, top, w, h, waist, shape):
    """(rows, columns, mask in them) of the pixels whose centre lies in the shape."""
    y0, y1 = max(0, int(np.floor(top))), min(shape[0], int(np.ceil(top + h)))
    x0, x1 = max(0, int(np.floor(left))), min(shape[1], int(np.ceil(left + w)))
    y = (np.arange(y0, y1)[:, None] + 0.5 - top) / h
    x = (np.arange(x0, x1)[None, :] + 0.5 - left) / w
    if label == 0:
        inside = (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25
    elif label == 1:
        inside = (x >= 0) & (x < 1) & (y >= 0) & (y < 1)
    elif label == 2:
        inside = (y >= 0) & (y < 1) & (np.abs(x - 0.5) <= y / 2)
    else:
        points = _star_points(waist)
        low, high = points.min(axis=0), points.max(axis=0)
        inside = _inside_polygon((points - low) / (high - low), x, y)
    return slice(y0, y1), slice(x0, x1), inside


def _bright_dark_or_saturated(rng):
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(200, 256, 3)
    if kind == 1:
        return rng.integers(0, 56, 3)
    colour = rng.integers(0, 256, 3)
    colour[rng.permutation(3)[:2]] = [rng.integers(0, 50), rng.integers(205, 256)]
    return colour


def _colour(rng, ground, gap=CONTRAST):
    """A colour at least `gap` away, in one channel, from the whole gradient."""
    low, high = ground.min(axis=0), ground.max(axis=0)
    for _ in range(100):
        colour = _bright_dark_or_saturated(rng)
        if (np.maximum(low - colour, colour - high) >= gap).any():
            return colour
    return np.array([255, 255, 255])


def draw(rng, width, height, style=Style.HELD_OUT):
    """One seeded scene of that size."""
    wide = style is Style.TRAINING
    ground = rng.integers(50 if wide else 70, 206 if wide else 186, (2, 3)).astype(np.float32)
    if wide and rng.random() < 0.5:
        ground[1] = ground[0] + rng.uniform(-40, 40, 3)
    picture = _background(rng, width, height, ground, wide)
    count = rng.integers(2 if wide else 3, 8 if wide else 7)
    owner = np.full((height, width), -1, np.int8)
    boxes, labels, areas = [], [], []
    for index in range(count):
        label = int(rng.integers(len(LABELS)))
        side = rng.uniform(0.075 if wide else 0.08, 0.30 if wide else 0.28) * height
        w, h, waist = _proportions(rng, label, side, wide)
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        if wide and rng.random() < 0.5:
            left, top, w, h = round(left), round(top), round(w), round(h)
        rows, columns, inside = _mask(label, left, top, w, h, waist, (height, width))
        gap = CONTRAST - 15 if wide else CONTRAST
        picture[rows, columns][inside] = _colour(rng, ground, gap)
        owner[rows, columns][inside] = index
        boxes.append((left, top, left + w, top + h))
        labels.append(label)
        areas.append(max(1, int(inside.sum())))
    picture = np.clip(np.rint(picture + _noise(rng, picture.shape, wide)), 0, 255).astype(np.uint8)
    visible = np.bincount(owner[owner >= 0].astype(np.int64), minlength=count)
    return Scene(picture, np.array(boxes, np.float32), np.array(labels), 1 - visible / np.array(areas))


def _background(rng, width, height, ground, wide):
    x = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    if wide and rng.random() < 0.5:
        x = 1 - x
    along = ((x + y) / 2)[..., None]
    return ground[0] + (ground[1] - ground[0]) * along


def _proportions(rng, label, side, wide):
    """Width, height and, for a star, its waist (inner radius over outer)."""
    w = h = side
    waist = WAIST
    if label == 2 and wide:
        h *= rng.choice([1.0, 1.0, 0.866, rng.uniform(0.85, 1.15)])
    if label == 3 and wide:
        rng.integers(4)  # not used; without it the committed model's training pictures would be others
        waist = rng.uniform(0.34, 0.52)
        h *= STAR_HEIGHT if rng.random() < 0.5 else 1.0
    elif label == 3:
        h *= STAR_HEIGHT
    return w, h, waist


def _noise(rng, shape, wide):
    strength = int(rng.integers(0, 11)) if wide else 6
    if wide and rng.random() < 0.3:
        return rng.normal(0, 0.6 * strength, shape[:2] + (1,)).astype(np.float32)
    if not wide or rng.random() < 0.5:
        shape = shape[:2] + (1,)
    return rng.integers(-strength, strength + 1, shape, dtype=np.int8)
