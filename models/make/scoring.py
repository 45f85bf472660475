"""Judging a detector: decode, NMS, matching, precision, recall and mean average precision. NumPy only."""

from dataclasses import dataclass, field

import numpy as np


def iou(box, others):
    """IoU of one box x1 y1 x2 y2 with each of `others`."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area = lambda b: (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return shared / (area(box) + area(others) - shared + 1e-9)


def detections(output, score_threshold, iou_threshold, limit=100):
    """Raw [4 + labels, N] to kept rows (x1, y1, x2, y2, score, label), class-aware NMS, best first."""
    scores = output[4:].max(axis=0)
    keep = scores > score_threshold
    x, y, w, h = output[:4, keep]
    rows = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2, scores[keep], output[4:, keep].argmax(axis=0)], axis=1)
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    kept = []
    while len(rows) and len(kept) < limit:
        kept.append(rows[0])
        twin = (rows[:, 5] == rows[0, 5]) & (iou(rows[0, :4], rows[:, :4]) > iou_threshold)
        twin[0] = True
        rows = rows[~twin]
    return np.array(kept).reshape(-1, 6)


@dataclass
class Judge:
    """Collects pictures; each true box takes the best-scored detection of its label with enough IoU.

    `ignored` boxes (shapes covered beyond the limit) are in nobody's truth. `precision` counts a detection of one as
    wrong (strict); `precision_lenient` leaves it out.
    """

    classes: int
    needed: float = 0.5
    rows: list = field(default_factory=list)
    truths: np.ndarray = None

    def add(self, found, boxes, labels, ignored_boxes=(), ignored_labels=()):
        """One picture."""
        if self.truths is None:
            self.truths = np.zeros(self.classes, np.int64)
        np.add.at(self.truths, labels, 1)
        free, spare = np.ones(len(boxes), bool), np.ones(len(ignored_boxes), bool)
        for row in found:
            hit = self._take(row, boxes, labels, free)
            excused = not hit and self._take(row, ignored_boxes, ignored_labels, spare)
            self.rows.append((row[4], int(row[5]), hit, excused))

    def _take(self, row, boxes, labels, free):
        if not len(boxes):
            return False
        share = np.where(free & (np.asarray(labels) == int(row[5])), iou(row[:4], np.asarray(boxes)), 0)
        best = int(share.argmax())
        if share[best] < self.needed:
            return False
        free[best] = False
        return True

    def at(self, threshold):
        """precision, precision_lenient, recall for scores above the threshold."""
        rows = [r for r in self.rows if r[0] > threshold]
        hits, excused = sum(r[2] for r in rows), sum(r[3] for r in rows)
        return hits / max(1, len(rows)), hits / max(1, len(rows) - excused), hits / max(1, self.truths.sum())

    def average_precision(self):
        """Area under the precision-recall curve, for each label (strict)."""
        return [self._area(label) for label in range(self.classes)]

    def _area(self, label):
        hits = np.array([r[2] for r in sorted((r for r in self.rows if r[1] == label), key=lambda r: -r[0])], np.float64)
        found = np.cumsum(hits)
        precision = found / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return float((envelope * hits).sum() / max(1, self.truths[label]))
