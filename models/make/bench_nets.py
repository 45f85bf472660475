"""Real-size networks with random weights, batch norms already folded: MobileNetV2, ResNet-50, a YOLOv8n-size detector;
and full layers, for requests.

Written from the published structures, so that their cost is that of the real ones; they recognise nothing.
Weights are drawn for a variance of about one after every layer, so that the numbers stay sane.
"""

import numpy as np

from graph import Graph, decode_sides

EDGE_GAIN = 0.3
DENSE_WIDTH, DENSE_LAYERS = 768, 4
YOLO_SIDE, YOLO_CLASSES, YOLO_BINS, YOLO_STRIDES = 640, 80, 16, (8, 16, 32)


class Random(Graph):
    """A graph that draws its weights as it grows."""

    def __init__(self, name, seed):
        super().__init__(name)
        self.rng = np.random.default_rng(seed)

    def layer(self, x, inputs, outputs, kernel=1, stride=1, groups=1, gain=2.0, bias=0.1):
        """A convolution; `gain` is the variance it gives back for what the activation takes."""
        fan = inputs // groups * kernel * kernel
        weight = self.rng.normal(0, np.sqrt(gain / fan), (outputs, inputs // groups, kernel, kernel))
        return self.conv(x, weight, self.rng.normal(0, bias, outputs), stride, groups)

    def relu(self, x):
        """max(x, 0)."""
        return self.add("Relu", [x])

    def relu6(self, x):
        """x between 0 and 6."""
        return self.add("Clip", [x, self.number(0.0), self.number(6.0)])

    def classifier(self, x, inputs, classes):
        """Mean over the picture and a full layer to `logits`."""
        x = self.add("Flatten", [self.add("GlobalAveragePool", [x])], axis=1)
        weight = self.rng.normal(0, np.sqrt(4.0 / inputs), (classes, inputs)).astype(np.float32)
        bias = np.zeros(classes, np.float32)
        return self.add("Gemm", [x, self.constant(weight, "w"), self.constant(bias, "b")], named="logits", transB=1)

    def picture_model(self, side, classes, doc):
        """The finished classifier."""
        return self.model({"input": ["batch", 3, side, side]}, {"logits": ["batch", classes]}, doc)


def dense(seed=4):
    """Full layers: 2.4 million weights that are read once a run, whatever the batch, so that a batch gains."""
    g, x = Random("dense", seed), "x"
    for index in range(DENSE_LAYERS):
        weight = g.rng.normal(0, np.sqrt(2.0 / DENSE_WIDTH), (DENSE_WIDTH, DENSE_WIDTH)).astype(np.float32)
        last = index == DENSE_LAYERS - 1
        x = g.add("MatMul", [x, g.constant(weight, "w")], named="y" if last else None)
        x = x if last else g.relu(x)
    return g.model({"x": ["batch", DENSE_WIDTH]}, {"y": ["batch", DENSE_WIDTH]}, "Full layers, random weights")


def mobilenet_v2(seed=1):
    """MobileNetV2 1.0, 224 pixels, 1,000 classes: 3.5 million parameters, 0.3 billion multiplications."""
    g = Random("mobilenet-v2", seed)
    x, channels = g.relu6(g.layer("input", 3, 32, 3, 2)), 32
    for expand, outputs, repeats, first_stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                   (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
        for index in range(repeats):
            stride, wide, before = first_stride if index == 0 else 1, channels * expand, x
            if expand != 1:
                x = g.relu6(g.layer(x, channels, wide))
            x = g.relu6(g.layer(x, wide, wide, 3, stride, groups=wide))
            x = g.layer(x, wide, outputs, gain=0.3 if stride == 1 and channels == outputs else 1.0)
            if stride == 1 and channels == outputs:
                x = g.add("Add", [before, x])
            channels = outputs
    return _finish(g, g.relu6(g.layer(x, channels, 1280)), 1280, "MobileNetV2 224, random weights")


def resnet50(seed=2):
    """ResNet-50 (stride in the 3x3), 224 pixels, 1,000 classes: 25.6 million parameters."""
    g = Random("resnet-50", seed)
    x, channels = g.max_pool(g.relu(g.layer("input", 3, 64, 7, 2)), 3, 2), 64
    for width, repeats, first_stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for index in range(repeats):
            stride, before = first_stride if index == 0 else 1, x
            x = g.relu(g.layer(x, channels, width))
            x = g.relu(g.layer(x, width, width, 3, stride))
            x = g.layer(x, width, width * 4, gain=0.3)
            if index == 0:
                before = g.layer(before, channels, width * 4, 1, stride, gain=1.0)
            x, channels = g.relu(g.add("Add", [before, x])), width * 4
    return _finish(g, x, channels, "ResNet-50 224, random weights")


def _finish(g, x, channels, doc):
    g.classifier(x, channels, 1000)
    return g.picture_model(224, 1000, doc)


class Yolo(Random):
    """Blocks of the YOLOv8 family."""

    def block(self, x, inputs, outputs, kernel=3, stride=1):
        """Convolution and SiLU."""
        return self.silu(self.layer(x, inputs, outputs, kernel, stride, gain=2.8))

    def edges(self, x):
        """The first layer: filters without a mean, strong enough to feel noise, so that every cell of any scene differs."""
        weight = self.rng.normal(0, 1, (16, 3, 3, 3))
        weight -= weight.mean(axis=(2, 3), keepdims=True)
        return self.conv(x, weight * EDGE_GAIN, self.rng.normal(0, 0.1, 16), 2)

    def c2f(self, x, inputs, outputs, repeats, residual):
        """Half the channels pass `repeats` bottlenecks, every step is joined."""
        half = outputs // 2
        parts = list(self.halves(self.block(x, inputs, outputs, 1), half))
        for _ in range(repeats):
            deep = self.block(self.block(parts[-1], half, half), half, half)
            parts.append(self.add("Add", [parts[-1], deep]) if residual else deep)
        return self.block(self.concat(parts), (2 + repeats) * half, outputs, 1)

    def sppf(self, x, channels):
        """Three max pools in a row, joined."""
        parts = [self.block(x, channels, channels // 2, 1)]
        for _ in range(3):
            parts.append(self.max_pool(parts[-1], 5))
        return self.block(self.concat(parts), channels * 2, channels, 1)

    def head(self, x, inputs, gain, offset):
        """One stride's distance bins and label logits, joined and flat; `gain` and `offset` are per channel."""
        box = self.block(self.block(x, inputs, 64), 64, 64)
        label = self.block(self.block(x, inputs, 80), 80, 80)
        bins, labels = 4 * YOLO_BINS, YOLO_CLASSES
        box = self._last(box, 64, bins, gain[:bins], offset[:bins])
        label = self._last(label, 80, labels, gain[bins:], offset[bins:])
        return self.reshape(self.concat([box, label]), [0, bins + labels, -1])

    def _last(self, x, inputs, outputs, gain, offset):
        weight = self.rng.normal(0, np.sqrt(1 / inputs), (outputs, inputs, 1, 1))
        return self.conv(x, weight * gain[:, None, None, None], offset)


YOLO_CHANNELS = 4 * YOLO_BINS + YOLO_CLASSES
YOLO_CELLS = [(YOLO_SIDE // s) ** 2 for s in YOLO_STRIDES]


def yolo_n(gain=None, offset=None, seed=3):
    """A detector of YOLOv8n's structure and size, 640 pixels, 80 classes: 3.2 million parameters, output [batch, 84, 8400].

    `gain`, `offset` [3, 144] scale each stride's last layer. Without them the output is `raw` [batch, 144, 8400],
    from which `settle` finds them.
    """
    bare = gain is None
    if bare:
        gain, offset = np.ones((3, YOLO_CHANNELS)), np.zeros((3, YOLO_CHANNELS))
    g = Yolo("yolo-n-size", seed)
    x = g.block(g.silu(g.edges("images")), 16, 32, 3, 2)
    x = g.block(g.c2f(x, 32, 32, 1, True), 32, 64, 3, 2)
    p8 = g.c2f(x, 64, 64, 2, True)
    p16 = g.c2f(g.block(p8, 64, 128, 3, 2), 128, 128, 2, True)
    p32 = g.sppf(g.c2f(g.block(p16, 128, 256, 3, 2), 256, 256, 1, True), 256)
    n16 = g.c2f(g.concat([g.twice(p32), p16]), 384, 128, 1, False)
    n8 = g.c2f(g.concat([g.twice(n16), p8]), 192, 64, 1, False)
    n16 = g.c2f(g.concat([g.block(n8, 64, 64, 3, 2), n16]), 192, 128, 1, False)
    n32 = g.c2f(g.concat([g.block(n16, 128, 128, 3, 2), p32]), 384, 256, 1, False)
    heads = [g.head(level, width, *last) for level, width, *last in zip((n8, n16, n32), (64, 128, 256), gain, offset)]
    raw = g.concat(heads, axis=2, named="raw" if bare else None)
    cells = sum(YOLO_CELLS)
    if bare:
        return g.model({"images": ["batch", 3, YOLO_SIDE, YOLO_SIDE]}, {"raw": ["batch", YOLO_CHANNELS, cells]}, "raw")
    sizes = g.constant(np.array([4 * YOLO_BINS, YOLO_CLASSES], np.int64), "sizes")
    bins, logits = g.add("Split", [raw, sizes], outputs=2, axis=1)
    bins = g.add("Transpose", [g.reshape(bins, [0, 4, YOLO_BINS, cells])], perm=[0, 2, 1, 3])
    bins = g.add("Softmax", [bins], axis=1)
    mean = g.conv(bins, np.arange(YOLO_BINS, dtype=np.float32).reshape(1, YOLO_BINS, 1, 1), np.zeros(1))
    boxes = decode_sides(g, g.reshape(mean, [0, 4, cells]), YOLO_SIDE, YOLO_STRIDES)
    g.concat([boxes, g.add("Sigmoid", [logits])], named="output0")
    return g.model({"images": ["batch", 3, YOLO_SIDE, YOLO_SIDE]}, {"output0": ["batch", 4 + YOLO_CLASSES, cells]},
                   "A detector of YOLOv8n's size, random weights")


def settle(raw, score, candidates):
    """(gain, offset) for `yolo_n`: raw outputs [scenes, 144, 8400] become even over cells and labels.

    Afterwards about `candidates` cells of the median scene have a label above `score`.
    """
    parts = np.split(raw, np.cumsum(YOLO_CELLS)[:-1], axis=2)
    gain = np.stack([1 / (p.std(axis=(0, 2)) + 1e-6) for p in parts])
    offset = np.stack([-p.mean(axis=(0, 2)) for p in parts]) * gain
    even = [p * a[None, :, None] + b[None, :, None] for p, a, b in zip(parts, gain, offset)]
    best = np.sort(np.concatenate([p[:, 4 * YOLO_BINS:].max(axis=1) for p in even], axis=1), axis=1)
    offset[:, 4 * YOLO_BINS:] += np.log(score / (1 - score)) - np.median(best[:, -candidates])
    return gain, offset
