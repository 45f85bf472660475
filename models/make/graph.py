"""Builds ONNX graphs node by node: what the detector's export and the benchmark models are written with.

Opset 13 and IR version 8, so that ONNX Runtime 1.18 (JetPack 5) and TensorRT 8.5 open them.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 8


def same_padding(kernel, stride):
    """Pixels on each side, so that a convolution's output is its input's extent divided by the stride."""
    return kernel // 2 if kernel % 2 else (kernel - stride) // 2


class Graph:
    """A graph under construction; each method adds nodes and returns the name of its result."""

    def __init__(self, name):
        self.name = name
        self.nodes, self.weights, self.count = [], [], 0

    def constant(self, value, hint="c"):
        """An initializer."""
        self.count += 1
        name = f"{hint}{self.count}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op, inputs, outputs=1, named=None, **attributes):
        """Any node; `named` fixes the name of its only output."""
        self.count += 1
        names = [named] if named else [f"{op.lower()}{self.count}_{i}" for i in range(outputs)]
        node = helper.make_node(op, inputs, names, name=f"{op.lower()}{self.count}", **attributes)
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def conv(self, x, weight, bias, stride=1, groups=1):
        """Convolution with "same" padding; weight [out, in / groups, k...]."""
        kernel = list(weight.shape[2:])
        pads = [same_padding(k, stride) for k in kernel] * 2
        inputs = [x, self.constant(weight.astype(np.float32), "w"), self.constant(bias.astype(np.float32), "b")]
        return self.add("Conv", inputs, kernel_shape=kernel, strides=[stride] * len(kernel), pads=pads, group=groups)

    def silu(self, x):
        """x * sigmoid(x)."""
        return self.add("Mul", [x, self.add("Sigmoid", [x])])

    def concat(self, parts, axis=1, named=None):
        """Joins along an axis."""
        return self.add("Concat", parts, axis=axis, named=named)

    def halves(self, x, size):
        """The two halves of the channels, each `size` wide."""
        sizes = self.constant(np.array([size, size], np.int64), "sizes")
        return self.add("Split", [x, sizes], outputs=2, axis=1)

    def max_pool(self, x, kernel, stride=1):
        """Max pooling with "same" padding."""
        return self.add("MaxPool", [x], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)

    def twice(self, x):
        """Nearest neighbour, twice as wide and high."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32), "scales")
        return self.add("Resize", [x, "", scales], mode="nearest", nearest_mode="floor",
                        coordinate_transformation_mode="asymmetric")

    def reshape(self, x, shape):
        """Reshape; 0 keeps an extent, -1 works one out."""
        return self.add("Reshape", [x, self.constant(np.array(shape, np.int64), "shape")])

    def number(self, value):
        """A float32 constant."""
        return self.constant(np.array(value, np.float32))

    def model(self, inputs, outputs, doc):
        """The checked model. `inputs`, `outputs`: {name: shape}, a string is a free dimension."""
        value = lambda item: helper.make_tensor_value_info(item[0], TensorProto.FLOAT, item[1])
        graph = helper.make_graph(self.nodes, self.name, list(map(value, inputs.items())),
                                  list(map(value, outputs.items())), self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                  producer_name="vedette", doc_string=doc)
        onnx.checker.check_model(model, full_check=True)
        return model


def centres(side, strides):
    """Centre of every cell of a detector's grids, and its stride: three rows of N, in pixels."""
    parts = []
    for stride in strides:
        cells = side // stride
        y, x = np.mgrid[0:cells, 0:cells].astype(np.float32)
        parts.append(np.stack([(x.ravel() + 0.5) * stride, (y.ravel() + 0.5) * stride, np.full(cells * cells, stride)]))
    return np.concatenate(parts, axis=1).astype(np.float32)


def decode_sides(graph, sides, side, strides):
    """Distances left, top, right, bottom in cells [B, 4, N] to centre x, y, width, height in pixels [B, 4, N]."""
    grid = centres(side, strides)
    first, second = graph.halves(sides, 2)
    middle = graph.add("Mul", [graph.add("Sub", [second, first]), graph.number(0.5)])
    extent = graph.add("Add", [first, second])
    step = graph.constant(grid[None, 2:3])
    middle = graph.add("Add", [graph.add("Mul", [middle, step]), graph.constant(grid[None, :2])])
    return graph.concat([middle, graph.add("Mul", [extent, step])])
