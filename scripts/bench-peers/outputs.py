"""From a model's output to what it means, vectorised NumPy, as one does it."""

import numpy as np

SCORE, OVERLAP, MOST = 0.25, 0.45, 300


def classes(logits, labels, top=5):
    """The most likely classes, by softmax."""
    logits = logits[0]
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    best = np.argpartition(scores, -top)[-top:]
    best = best[np.argsort(-scores[best])]
    return [{"index": int(i), "label": labels[i], "score": float(scores[i])} for i in best]


def suppress(boxes, scores):
    """Greedy non-maximum suppression of boxes (x1, y1, x2, y2): which stay."""
    order = np.argsort(-scores)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while order.size and len(kept) < MOST:
        first, rest = order[0], order[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        sides = np.maximum(high - low, 0)
        shared = sides[:, 0] * sides[:, 1]
        order = rest[shared <= OVERLAP * (areas[first] + areas[rest] - shared)]
    return kept


def detections(output, labels, scale, above):
    """Boxes of a YOLOv8 head [1, 4 + classes, N], in the picture's own pixels, suppressed class by class."""
    head = output[0]
    best = head[4:].max(axis=0)
    found = np.flatnonzero(best > SCORE)
    scores, which = best[found], head[4:, found].argmax(axis=0)
    x, y, w, h = head[:4, found]
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    kept = suppress(boxes + which[:, None] * 7680.0, scores)
    boxes = boxes[kept]
    boxes[:, 1::2] -= above
    boxes *= scale
    np.clip(boxes[:, 0::2], 0, 1920, out=boxes[:, 0::2])
    np.clip(boxes[:, 1::2], 0, 1080, out=boxes[:, 1::2])
    return [
        {"index": i, "label": labels[i], "score": score, "x_px": a, "y_px": b, "width_px": c - a, "height_px": d - b}
        for i, score, (a, b, c, d) in zip(which[kept].tolist(), scores[kept].tolist(), boxes.tolist())
    ]
