//! Writes small ONNX graphs, field by field as `onnx.proto` numbers them.

/// A protobuf message being written.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn new() -> Self {
        Self::default()
    }

    fn raw(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.raw(field << 3);
        self.raw(value as u64);
        self
    }

    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.raw(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        self.raw(field << 3 | 2);
        self.raw(value.as_ref().len() as u64);
        self.0.extend(value.as_ref());
        self
    }

    pub fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }
}

pub const F32: i64 = 1;
pub const U8: i64 = 2;
pub const I8: i64 = 3;
pub const I64: i64 = 7;
pub const BOOL: i64 = 9;
pub const F16: i64 = 10;

/// One extent: a number, or a name where it is free.
#[derive(Clone, Copy)]
pub enum Dim {
    N(i64),
    Free(&'static str),
}

pub use Dim::{Free, N};

/// A tensor's type.
pub fn tensor_type(element: i64, dims: &[Dim]) -> Message {
    let shape = dims.iter().fold(Message::new(), |shape, dim| {
        let dim = match dim {
            N(extent) => Message::new().int(1, *extent),
            Free(name) => Message::new().bytes(2, name),
        };
        shape.message(1, &dim)
    });
    Message::new().message(1, &Message::new().int(1, element).message(2, &shape))
}

/// An input or output.
pub fn value(name: &str, element: i64, dims: &[Dim]) -> Message {
    Message::new().bytes(1, name).message(2, &tensor_type(element, dims))
}

/// A node of ONNX's own operators.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let node = inputs.iter().fold(Message::new(), |node, name| node.bytes(1, name));
    let node = outputs.iter().fold(node, |node, name| node.bytes(2, name));
    node.bytes(3, format!("{op}-{}", outputs.first().unwrap_or(&""))).bytes(4, op)
}

/// An attribute that is an integer.
pub fn int_attribute(name: &str, value: i64) -> Message {
    Message::new().bytes(1, name).int(3, value).int(20, 2)
}

/// An attribute that is a graph.
pub fn graph_attribute(name: &str, value: &Message) -> Message {
    Message::new().bytes(1, name).message(6, value).int(20, 5)
}

/// An attribute that is a tensor.
pub fn tensor_attribute(name: &str, value: &Message) -> Message {
    Message::new().bytes(1, name).message(5, value).int(20, 4)
}

/// A constant with its bytes.
pub fn tensor(name: &str, element: i64, dims: &[i64], raw: &[u8]) -> Message {
    let tensor = dims.iter().fold(Message::new(), |tensor, &dim| tensor.int(1, dim));
    tensor.int(2, element).bytes(8, name).bytes(9, raw)
}

/// A constant in another file.
pub fn external(name: &str, element: i64, dims: &[i64], entries: &[(&str, &str)]) -> Message {
    let tensor = dims.iter().fold(Message::new(), |tensor, &dim| tensor.int(1, dim));
    let tensor = tensor.int(2, element).bytes(8, name);
    let entry = |key: &str, value: &str| Message::new().bytes(1, key).bytes(2, value);
    let tensor =
        entries.iter().fold(tensor, |tensor, (key, value)| tensor.message(13, &entry(key, value)));
    tensor.int(14, 1)
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn longs(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A graph: nodes, inputs, outputs, constants.
#[derive(Clone, Default)]
pub struct Graph {
    pub nodes: Vec<Message>,
    pub inputs: Vec<Message>,
    pub outputs: Vec<Message>,
    pub constants: Vec<Message>,
}

impl Graph {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.nodes.push(node(op, inputs, outputs));
        self
    }

    pub fn with(mut self, node: Message) -> Self {
        self.nodes.push(node);
        self
    }

    pub fn input(mut self, name: &str, element: i64, dims: &[Dim]) -> Self {
        self.inputs.push(value(name, element, dims));
        self
    }

    pub fn output(mut self, name: &str, element: i64, dims: &[Dim]) -> Self {
        self.outputs.push(value(name, element, dims));
        self
    }

    pub fn constant(mut self, tensor: Message) -> Self {
        self.constants.push(tensor);
        self
    }

    /// The graph alone.
    pub fn message(&self) -> Message {
        let add = |graph: Message, field, list: &[Message]| {
            list.iter().fold(graph, |graph, item| graph.message(field, item))
        };
        let graph = add(Message::new(), 1, &self.nodes).bytes(2, "graph");
        let graph = add(graph, 5, &self.constants);
        add(add(graph, 11, &self.inputs), 12, &self.outputs)
    }

    /// The file, for operators of version 17.
    pub fn model(&self) -> Vec<u8> {
        self.model_with(8, &[("", 17)])
    }

    /// The file, with these versions of file and operators.
    pub fn model_with(&self, ir: i64, opsets: &[(&str, i64)]) -> Vec<u8> {
        let model = Message::new().int(1, ir).bytes(2, "vedette-tests");
        let model = model.message(7, &self.message());
        let opset =
            |(domain, version): &(&str, i64)| Message::new().bytes(1, domain).int(2, *version);
        opsets.iter().fold(model, |model, entry| model.message(8, &opset(entry))).0
    }
}

/// `y = x + x` over `[batch, 3, 8, 8]`.
pub fn doubler(element: i64) -> Vec<u8> {
    let dims = [Free("batch"), N(3), N(8), N(8)];
    Graph::new()
        .node("Add", &["x", "x"], &["y"])
        .input("x", element, &dims)
        .output("y", element, &dims)
        .model()
}

/// `y = x`, over any `[batch, 4]`.
pub fn identity() -> Vec<u8> {
    let dims = [Free("batch"), N(4)];
    Graph::new()
        .node("Identity", &["x"], &["y"])
        .input("x", F32, &dims)
        .output("y", F32, &dims)
        .model()
}

/// The places of what is not zero: as many as there are.
pub fn nonzero() -> Vec<u8> {
    Graph::new()
        .node("NonZero", &["x"], &["y"])
        .input("x", F32, &[N(1), N(4)])
        .output("y", I64, &[N(2), Free("k")])
        .model()
}

/// A convolution with a kernel of ones, 3 x 3, over `[batch, 1, 16, 16]`.
pub fn convolution() -> Vec<u8> {
    Graph::new()
        .node("Conv", &["x", "w"], &["c"])
        .node("Relu", &["c"], &["y"])
        .constant(tensor("w", F32, &[2, 1, 3, 3], &floats(&[1.0; 18])))
        .input("x", F32, &[Free("batch"), N(1), N(16), N(16)])
        .output("y", F32, &[Free("batch"), N(2), N(14), N(14)])
        .model()
}
