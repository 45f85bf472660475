"""The shapes detector: network, target assignment and loss (PyTorch), and its export.

A small anchor-free detector over three strides. A cell says how far the four sides of its box are
(sigmoid times `REACH` cells, so never infinite) and how sure it is of each label. Targets are chosen by
how well a cell already predicts (task-aligned assignment); the score learns the quality of its box.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from drawing import LABELS
from graph import Graph, decode_sides, same_padding
from picture import SIDE

STRIDES = (8, 16, 32)
REACH = 16.0
CLASSES = len(LABELS)


class ConvAct(nn.Module):
    """Convolution, batch norm, ReLU: an activation that a processor computes while it stores the convolution."""

    def __init__(self, inputs, outputs, kernel=3, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, same_padding(kernel, stride), bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))

    def export(self, g, x):
        gain = (self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)).detach()
        weight = self.conv.weight.detach() * gain[:, None, None, None]
        bias = self.norm.bias.detach() - self.norm.running_mean * gain
        return g.add("Relu", [g.conv(x, weight.numpy(), bias.numpy(), self.conv.stride[0])])


class Stage(nn.Module):
    """Cross-stage block: one narrow branch is joined as it is, another with and without a residual pair of 3x3
    convolutions. Two convolutions and no split of one: a split has the tensor laid out anew, twice."""

    def __init__(self, inputs, outputs, half):
        super().__init__()
        self.left, self.right = ConvAct(inputs, half, 1), ConvAct(inputs, half, 1)
        self.a, self.b = ConvAct(half, half), ConvAct(half, half)
        self.last = ConvAct(3 * half, outputs, 1)

    def forward(self, x):
        right = self.right(x)
        return self.last(torch.cat([self.left(x), right, right + self.b(self.a(right))], 1))

    def export(self, g, x):
        left, right = self.left.export(g, x), self.right.export(g, x)
        deep = g.add("Add", [right, self.b.export(g, self.a.export(g, right))])
        return self.last.export(g, g.concat([left, right, deep]))


class Pyramid(nn.Module):
    """Three max pools in a row, joined: the widest view, at the coarsest stride."""

    def __init__(self, channels):
        super().__init__()
        self.first, self.last = ConvAct(channels, channels // 2, 1), ConvAct(channels * 2, channels, 1)

    def forward(self, x):
        parts = [self.first(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.last(torch.cat(parts, 1))

    def export(self, g, x):
        parts = [self.first.export(g, x)]
        for _ in range(3):
            parts.append(g.max_pool(parts[-1], 5))
        return self.last.export(g, g.concat(parts))


class Head(nn.Module):
    """Four distances and the label logits of one stride."""

    def __init__(self, inputs, width):
        super().__init__()
        self.stem = ConvAct(inputs, width)
        self.out = nn.Conv2d(width, 4 + CLASSES, 1)
        nn.init.constant_(self.out.bias[:4], -2.5)
        nn.init.constant_(self.out.bias[4:], -5.0)

    def forward(self, x):
        return self.out(self.stem(x)).flatten(2)

    def export(self, g, x):
        out = g.conv(self.stem.export(g, x), self.out.weight.detach().numpy(), self.out.bias.detach().numpy())
        return g.reshape(out, [0, 4 + CLASSES, -1])


class ShapesNet(nn.Module):
    """Pictures [B, 3, H, W], 0 to 1, to raw [B, 4 + labels, N]; H and W are multiples of 32."""

    def __init__(self):
        super().__init__()
        self.stem = ConvAct(3, 16, kernel=6, stride=4)
        self.down8, self.at8 = ConvAct(16, 32, stride=2), Stage(32, 32, 16)
        self.down16, self.at16 = ConvAct(32, 48, stride=2), Stage(48, 48, 24)
        self.down32, self.at32 = ConvAct(48, 64, stride=2), Pyramid(64)
        self.up16, self.up8 = Stage(64 + 48, 48, 24), Stage(48 + 32, 24, 8)
        self.heads = nn.ModuleList([Head(24, 16), Head(48, 24), Head(64, 32)])

    def forward(self, x):
        p8 = self.at8(self.down8(self.stem(x)))
        p16 = self.at16(self.down16(p8))
        p32 = self.at32(self.down32(p16))
        p16 = self.up16(torch.cat([F.interpolate(p32, scale_factor=2), p16], 1))
        p8 = self.up8(torch.cat([F.interpolate(p16, scale_factor=2), p8], 1))
        return torch.cat([head(level) for head, level in zip(self.heads, (p8, p16, p32))], 2)

    def export(self):
        """The ONNX model with the boxes decoded and the scores through their sigmoid."""
        g = Graph("shapes")
        x = "images"
        for layer in (self.stem, self.down8, self.at8):
            x = layer.export(g, x)
        p8 = x
        p16 = self.at16.export(g, self.down16.export(g, p8))
        p32 = self.at32.export(g, self.down32.export(g, p16))
        p16 = self.up16.export(g, g.concat([g.twice(p32), p16]))
        p8 = self.up8.export(g, g.concat([g.twice(p16), p8]))
        raw = g.concat([head.export(g, level) for head, level in zip(self.heads, (p8, p16, p32))], axis=2)
        sizes = g.constant(np.array([4, CLASSES], np.int64), "sizes")
        sides, logits = g.add("Split", [g.add("Sigmoid", [raw]), sizes], outputs=2, axis=1)
        boxes = decode_sides(g, g.add("Mul", [sides, g.number(REACH)]), SIDE, STRIDES)
        g.concat([boxes, logits], named="output0")
        cells = sum((SIDE // s) ** 2 for s in STRIDES)
        return g.model({"images": ["batch", 3, SIDE, SIDE]}, {"output0": ["batch", 4 + CLASSES, cells]},
                       "Vedette shapes detector")


def cells_of(height, width, device):
    """Centres [N, 2] and strides [N] of every cell, in pixels."""
    points, steps = [], []
    for stride in STRIDES:
        down, across = (torch.arange(extent // stride, device=device) for extent in (height, width))
        y, x = torch.meshgrid(down, across, indexing="ij")
        points.append((torch.stack([x.flatten(), y.flatten()], 1) + 0.5) * stride)
        steps.append(torch.full((x.numel(),), float(stride), device=device))
    return torch.cat(points), torch.cat(steps)


def boxes_of(raw, points, steps):
    """Raw output to boxes x1 y1 x2 y2, [B, N, 4]."""
    sides = raw[:, :4].permute(0, 2, 1).sigmoid() * (REACH * steps[None, :, None])
    return torch.cat([points - sides[..., :2], points + sides[..., 2:]], 2)


def overlap(a, b, complete=False):
    """IoU of boxes, elementwise; `complete` takes off the distance and the aspect (CIoU)."""
    wide = (torch.minimum(a[..., 2], b[..., 2]) - torch.maximum(a[..., 0], b[..., 0])).clamp(min=0)
    high = (torch.minimum(a[..., 3], b[..., 3]) - torch.maximum(a[..., 1], b[..., 1])).clamp(min=0)
    aw, ah = a[..., 2] - a[..., 0], (a[..., 3] - a[..., 1]).clamp(min=1e-6)
    bw, bh = b[..., 2] - b[..., 0], (b[..., 3] - b[..., 1]).clamp(min=1e-6)
    iou = wide * high / (aw * ah + bw * bh - wide * high + 1e-6)
    if not complete:
        return iou
    hull_w = torch.maximum(a[..., 2], b[..., 2]) - torch.minimum(a[..., 0], b[..., 0])
    hull_h = torch.maximum(a[..., 3], b[..., 3]) - torch.minimum(a[..., 1], b[..., 1])
    apart = (a[..., 0] + a[..., 2] - b[..., 0] - b[..., 2]) ** 2 + (a[..., 1] + a[..., 3] - b[..., 1] - b[..., 3]) ** 2
    aspect = (4 / np.pi ** 2) * (torch.atan(bw / bh) - torch.atan(aw / ah)) ** 2
    with torch.no_grad():
        share = aspect / (aspect - iou + 1 + 1e-6)
    return iou - apart / 4 / (hull_w ** 2 + hull_h ** 2 + 1e-6) - share * aspect


@torch.no_grad()
def assign(scores, boxes, points, truth, labels, kind):
    """Which cell answers for which shape.

    `kind` [B, M]: 1 counts, 0 is padding, -1 is a shape covered about as much as the limit, of which
    nothing is asked. Returns the shape's index, the target score and the unasked cells, each [B, N].
    """
    batch, cells = scores.shape[:2]
    inside = ((points[None, None] > truth[:, :, None, :2]) & (points[None, None] < truth[:, :, None, 2:])).all(3)
    inside &= (kind != 0)[:, :, None]
    iou = overlap(truth[:, :, None], boxes[:, None]) * inside
    own = scores.gather(2, labels[:, None, :].expand(-1, cells, -1)).permute(0, 2, 1)
    metric = (own.sqrt() * iou ** 4 + 1e-9 * inside) * inside
    best = metric.topk(7, dim=2).indices
    chosen = torch.zeros_like(metric).scatter_(2, best, 1.0).bool() & inside
    ranked = torch.where(chosen, iou + 1e-6, torch.zeros_like(iou))
    value, which = ranked.max(1)
    taken = value > 0
    only = F.one_hot(which, truth.shape[1]).permute(0, 2, 1).bool() & taken[:, None]
    metric, iou = metric * only, iou * only
    peak = metric.amax(2, keepdim=True) + 1e-9
    target = (metric / peak * iou.amax(2, keepdim=True)).amax(1)
    unasked = taken & (kind.gather(1, which) < 0)
    return which, torch.where(taken & ~unasked, target, torch.zeros_like(target)), unasked


def loss_of(raw, height, width, truth, labels, kind):
    """Sum of label loss and box loss, per counted target."""
    points, steps = cells_of(height, width, raw.device)
    boxes = boxes_of(raw, points, steps)
    logits = raw[:, 4:].permute(0, 2, 1)
    which, target, unasked = assign(logits.sigmoid(), boxes.detach(), points, truth, labels, kind)
    label = labels.gather(1, which)
    wanted = F.one_hot(label, CLASSES) * target[..., None]
    total = target.sum().clamp(min=1.0)
    label_loss = (F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * ~unasked[..., None]).sum()
    hit = target > 0
    goal = truth.gather(1, which[..., None].expand(-1, -1, 4))[hit]
    box_loss = ((1 - overlap(boxes[hit], goal, complete=True)) * target[hit]).sum()
    return (label_loss + 5.0 * box_loss) / total
