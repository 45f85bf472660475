//! Writes small ONNX graphs, good ones and bad ones, without a library: an ONNX file is a Protocol Buffers
//! message, and what a test needs of that are tags, lengths and little-endian numbers.
//!
//! Only what the tests use is here. That ONNX Runtime opens and runs such a graph is seen in
//! `tests/engine_failure.rs`, which could not pass otherwise.

/// Type of a tensor's elements, with ONNX's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floating point.
    F32,
    /// 64-bit integer.
    I64,
    /// True or false, a byte.
    Bool,
    /// Another one, by ONNX's number.
    Number(u64),
}

/// Every type of elements, by its name in `model.toml`.
pub const ELEMENTS: [(&str, u64); 14] = [
    ("f32", 1),
    ("u8", 2),
    ("i8", 3),
    ("u16", 4),
    ("i16", 5),
    ("i32", 6),
    ("i64", 7),
    ("string", 8),
    ("bool", 9),
    ("f16", 10),
    ("f64", 11),
    ("u32", 12),
    ("u64", 13),
    ("bf16", 16),
];

impl Element {
    fn number(self) -> u64 {
        match self {
            Self::F32 => 1,
            Self::I64 => 7,
            Self::Bool => 9,
            Self::Number(number) => number,
        }
    }
}

/// One graph, being put together.
#[derive(Debug, Clone)]
pub struct Graph {
    opset: u64,
    parts: Vec<u8>,
}

/// A message of the format: fields behind each other.
#[derive(Debug, Clone, Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn varint(&mut self, mut value: u64) {
        loop {
            let low = u8::try_from(value & 0x7f).unwrap_or(0);
            value >>= 7;
            if value == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        self.varint(field << 3 | 2);
        self.varint(u64::try_from(value.as_ref().len()).unwrap_or(0));
        self.0.extend_from_slice(value.as_ref());
        self
    }

    fn message(self, field: u64, value: &Fields) -> Self {
        self.bytes(field, &value.0)
    }
}

impl Graph {
    /// An empty graph of ONNX's operator set `opset`.
    #[must_use]
    pub fn new(opset: u64) -> Self {
        Self { opset, parts: Vec::new() }
    }

    /// Adds an input of type f32.
    #[must_use]
    pub fn input(self, name: &str, shape: &[u64]) -> Self {
        self.value(11, name, Element::F32, shape)
    }

    /// Adds an output of type f32.
    #[must_use]
    pub fn output(self, name: &str, shape: &[u64]) -> Self {
        self.value(12, name, Element::F32, shape)
    }

    /// Adds a constant with one element.
    #[must_use]
    pub fn constant(self, name: &str, value: f32) -> Self {
        let tensor = Fields::default().number(1, 1).number(2, Element::F32.number());
        self.add(5, &tensor.bytes(8, name).bytes(9, value.to_le_bytes()))
    }

    /// Adds a constant of any type, from its bytes.
    #[must_use]
    pub fn tensor(self, name: &str, element: Element, shape: &[u64], bytes: &[u8]) -> Self {
        let dims = shape.iter().fold(Fields::default(), |tensor, extent| tensor.number(1, *extent));
        self.add(5, &dims.number(2, element.number()).bytes(8, name).bytes(9, bytes))
    }

    /// Adds a loop over `value` that makes `output` of it, once `body` says that it is done.
    #[must_use]
    pub fn looped(self, go: &str, value: &str, output: &str, body: &Graph) -> Self {
        // An attribute of type 5 is a graph.
        let body = Fields(body.parts.clone()).bytes(2, "body");
        let attribute = Fields::default().bytes(1, "body").message(6, &body).number(20, 5);
        let inputs = Fields::default().bytes(1, "").bytes(1, go).bytes(1, value);
        self.add(1, &inputs.bytes(2, output).bytes(4, "Loop").message(5, &attribute))
    }

    /// Adds an input or output (`field` 11 or 12) of any type.
    fn value(self, field: u64, name: &str, element: Element, shape: &[u64]) -> Self {
        self.add(field, &value_info(name, element, shape))
    }

    /// Adds an input (or, where `out`, an output) of any type whose first extent is free and called `n`.
    #[must_use]
    pub fn batched(self, out: bool, name: &str, element: Element, rest: &[u64]) -> Self {
        let free = Fields::default().message(1, &Fields::default().bytes(2, "n"));
        let dims = rest
            .iter()
            .fold(free, |dims, extent| dims.message(1, &Fields::default().number(1, *extent)));
        self.add(if out { 12 } else { 11 }, &info(name, element, &dims))
    }

    /// Adds a node that makes `output` of `inputs`.
    #[must_use]
    pub fn node(self, operator: &str, inputs: &[&str], output: &str) -> Self {
        let node = inputs.iter().fold(Fields::default(), |node, input| node.bytes(1, input));
        self.add(1, &node.bytes(2, output).bytes(4, operator))
    }

    /// Adds a node that makes `output` of `input` in another type.
    #[must_use]
    pub fn cast(self, input: &str, output: &str, to: Element) -> Self {
        // An attribute of type 2 is an integer.
        let attribute = Fields::default().bytes(1, "to").number(3, to.number()).number(20, 2);
        let node = Fields::default().bytes(1, input).bytes(2, output).bytes(4, "Cast");
        self.add(1, &node.message(5, &attribute))
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        let mut graph = Fields(self.parts.clone());
        graph = graph.bytes(2, "test");
        let opset = Fields::default().bytes(1, "").number(2, self.opset);
        // IR version 8 belongs to operator set 13 and is read by every ONNX Runtime since 1.10.
        let model = Fields::default().number(1, 8).bytes(2, "vedette tests");
        model.message(7, &graph).message(8, &opset).0
    }

    fn add(mut self, field: u64, part: &Fields) -> Self {
        self.parts.extend(Fields::default().message(field, part).0);
        self
    }
}

fn value_info(name: &str, element: Element, shape: &[u64]) -> Fields {
    let dims = shape.iter().fold(Fields::default(), |dims, extent| {
        dims.message(1, &Fields::default().number(1, *extent))
    });
    info(name, element, &dims)
}

fn info(name: &str, element: Element, dims: &Fields) -> Fields {
    let tensor = Fields::default().number(1, element.number()).message(2, dims);
    Fields::default().bytes(1, name).message(2, &Fields::default().message(1, &tensor))
}

/// A model that gives back what it gets: an input and an output of each type, `n` times 2.
#[must_use]
pub fn echo() -> Vec<u8> {
    let graph = ELEMENTS.iter().fold(Graph::new(16), |graph, (name, number)| {
        let (input, output) = (format!("in_{name}"), format!("out_{name}"));
        let element = Element::Number(*number);
        let graph = graph.batched(false, &input, element, &[2]);
        graph.node("Identity", &[&input], &output).batched(true, &output, element, &[2])
    });
    graph.file()
}

/// `model.toml` of [`echo`].
#[must_use]
pub fn echo_toml() -> String {
    let head = "schema = 1\nname = \"echo\"\nversion = \"1.0.0\"\ntask = \"raw\"\n";
    let tensors = ELEMENTS.iter().map(|(name, _)| {
        let tensor = |role: &str, prefix: &str| {
            format!(
                "[[{role}]]\nname = \"{prefix}_{name}\"\ntype = \"{name}\"\nshape = [\"n\", 2]\n"
            )
        };
        tensor("input", "in") + &tensor("output", "out")
    });
    head.to_owned() + &tensors.collect::<String>()
}

/// A model that says twice what it gets, three numbers an item, and how much that is together.
#[must_use]
pub fn double() -> Vec<u8> {
    Graph::new(13)
        .batched(false, "x", Element::F32, &[3])
        .node("Add", &["x", "x"], "twice")
        .node("Neg", &["x"], "minus")
        .batched(true, "twice", Element::F32, &[3])
        .batched(true, "minus", Element::F32, &[3])
        .file()
}

/// `model.toml` of [`double`] and [`slow_double`].
pub const DOUBLE_TOML: &str = r#"schema = 1
name = "double"
version = "1.0.0"
task = "raw"
labels = ["a", "b", "c"]

[[input]]
name = "x"
type = "f32"
shape = ["n", 3]

[[output]]
name = "twice"
type = "f32"
shape = ["n", 3]

[[output]]
name = "minus"
type = "f32"
shape = ["n", 3]
"#;

/// The same as [`double`], after so many rounds of work that change nothing.
#[must_use]
pub fn slow_double(rounds: usize) -> Vec<u8> {
    let ones: Vec<u8> = (0..512 * 512).flat_map(|_| 0.001_f32.to_le_bytes()).collect();
    let mut graph = Graph::new(13)
        .batched(false, "x", Element::F32, &[3])
        .tensor("ones", Element::F32, &[512, 512], &ones)
        .constant("zero", 0.0)
        .node("ReduceMean", &["x"], "mean")
        .node("Add", &["ones", "mean"], "w0");
    for number in 0..rounds {
        graph = graph.node("MatMul", &[&format!("w{number}"), "ones"], &format!("w{}", number + 1));
    }
    graph
        .node("ReduceMean", &[&format!("w{rounds}")], "worked")
        .node("Mul", &["worked", "zero"], "nothing0")
        .tensor("one", Element::I64, &[1], &1_i64.to_le_bytes())
        .node("Reshape", &["nothing0", "one"], "nothing")
        .node("Add", &["x", "nothing"], "same")
        .node("Add", &["same", "same"], "twice")
        .node("Neg", &["same"], "minus")
        .batched(true, "twice", Element::F32, &[3])
        .batched(true, "minus", Element::F32, &[3])
        .file()
}

/// Side of the picture that the models made here take.
pub const SIDE: u64 = 16;

/// A model that says how bright a picture is, 0 to 1, and whose run *fails* where that is 0.5 or more: it looks
/// something up in a table of one entry.
#[must_use]
pub fn fails_on_bright_pictures() -> Vec<u8> {
    Graph::new(13)
        .input("images", &[1, 3, SIDE, SIDE])
        .constant("two", 2.0)
        .constant("table", 0.0)
        .node("ReduceMean", &["images"], "mean")
        .node("Mul", &["mean", "two"], "twice")
        .cast("twice", "index", Element::I64)
        .node("Gather", &["table", "index"], "zero")
        .node("Add", &["mean", "zero"], "brightness")
        .output("brightness", &[1, 1, 1, 1])
        .file()
}

/// A model that says how bright a picture is, 0 to 1.
#[must_use]
pub fn brightness(opset: u64) -> Vec<u8> {
    Graph::new(opset)
        .input("images", &[1, 3, SIDE, SIDE])
        .node("ReduceMean", &["images"], "brightness")
        .output("brightness", &[1, 1, 1, 1])
        .file()
}

/// The same, slower by `waste` operators that change nothing.
#[must_use]
pub fn slow_brightness(opset: u64, waste: usize) -> Vec<u8> {
    let mut graph = Graph::new(opset)
        .input("images", &[1, 3, SIDE, SIDE])
        .constant("zero", 0.0)
        .node("Sigmoid", &["images"], "w0");
    for number in 1..waste {
        graph = graph.node("Sigmoid", &[&format!("w{}", number - 1)], &format!("w{number}"));
    }
    graph
        .node("Mul", &[&format!("w{}", waste.max(1) - 1), "zero"], "nothing")
        .node("Add", &["images", "nothing"], "same")
        .node("ReduceMean", &["same"], "brightness")
        .output("brightness", &[1, 1, 1, 1])
        .file()
}

/// A model whose every output is no number: a root of what is below zero.
#[must_use]
pub fn no_number() -> Vec<u8> {
    Graph::new(13)
        .input("images", &[1, 3, SIDE, SIDE])
        .node("ReduceMean", &["images"], "mean")
        .constant("two", 2.0)
        .node("Sub", &["mean", "two"], "below")
        .node("Sqrt", &["below"], "brightness")
        .output("brightness", &[1, 1, 1, 1])
        .file()
}

/// A model that takes pictures of another size than it says.
#[must_use]
pub fn misshapen() -> Vec<u8> {
    Graph::new(13)
        .input("images", &[1, 3, 2 * SIDE, 2 * SIDE])
        .node("ReduceMean", &["images"], "brightness")
        .output("brightness", &[1, 1, 1, 1])
        .file()
}

/// A model that never comes to an end of a run: a loop whose condition is always true.
#[must_use]
pub fn endless() -> Vec<u8> {
    let body = Graph::new(13)
        .value(11, "round", Element::I64, &[])
        .value(11, "go", Element::Bool, &[])
        .value(11, "before", Element::F32, &[1, 1, 1, 1])
        .node("Identity", &["go"], "go_on")
        .node("Add", &["before", "before"], "after")
        .value(12, "go_on", Element::Bool, &[])
        .value(12, "after", Element::F32, &[1, 1, 1, 1]);
    Graph::new(13)
        .input("images", &[1, 3, SIDE, SIDE])
        .node("ReduceMean", &["images"], "mean")
        .tensor("true", Element::Bool, &[], &[1])
        .looped("true", "mean", "brightness", &body)
        .output("brightness", &[1, 1, 1, 1])
        .file()
}

/// A model that asks for 64 GiB at each run.
#[must_use]
pub fn greedy() -> Vec<u8> {
    let shape: Vec<u8> =
        [1_u64, 1, 1 << 19, 1 << 15].iter().flat_map(|n| n.to_le_bytes()).collect();
    Graph::new(13)
        .input("images", &[1, 3, SIDE, SIDE])
        .node("ReduceMean", &["images"], "mean")
        .tensor("shape", Element::I64, &[4], &shape)
        .node("Expand", &["mean", "shape"], "vast")
        .node("ReduceMean", &["vast"], "brightness")
        .output("brightness", &[1, 1, 1, 1])
        .file()
}

/// What the file of [`deadly`] says of itself.
pub const DEADLY: &str = "makes its library crash";

/// A good model with [`DEADLY`] as its description.
#[must_use]
pub fn deadly() -> Vec<u8> {
    let mut model = Fields(brightness(13));
    model = model.bytes(6, DEADLY);
    model.0
}

/// `model.toml` of them.
pub const BRIGHTNESS_TOML: &str = r#"schema = 1
name = "brightness"
version = "1.0.0"
task = "raw"
summary = "Says how bright a picture is."
license = "Apache-2.0"

[[input]]
name = "images"
type = "f32"
shape = [1, 3, 16, 16]

[picture]
input = "images"
layout = "nchw"
color = "rgb"
fit = "stretch"
scale = 0.00392156862745098
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]

[[output]]
name = "brightness"
type = "f32"
shape = [1, 1, 1, 1]

[postprocess]
kind = "raw"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_seven_bits_at_a_time() {
        for (value, bytes) in [(0, &[0][..]), (127, &[127]), (128, &[128, 1]), (300, &[172, 2])] {
            let mut fields = Fields::default();
            fields.varint(value);
            assert_eq!(fields.0, bytes, "{value}");
        }
    }

    #[test]
    fn a_file_begins_with_its_version_and_its_maker() {
        let file = brightness(13);
        assert_eq!(file[..4], [0x08, 8, 0x12, 13]);
        assert_eq!(&file[4..17], b"vedette tests");
    }
}
