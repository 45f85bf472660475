//! Which provider ran which node, from a profile of one real run.
//!
//! A missing provider is silent in ONNX Runtime, and its list of available ones is decided at compile time:
//! what a run did is the only answer that can be trusted, and a profile gives it in every version.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Longest profile that is read: the library stops at a million events of some 250 bytes.
const PROFILE_BYTES_MAX: u64 = 512 << 20;

/// How many nodes each provider ran, from the profile at `path`.
pub(super) fn read(path: &CString) -> std::io::Result<BTreeMap<String, u64>> {
    let path = Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    let file = File::open(path)?.take(PROFILE_BYTES_MAX);
    parse(BufReader::new(file)).map_err(std::io::Error::from)
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Arguments,
}

#[derive(Deserialize, Default)]
struct Arguments {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    op_name: String,
}

/// How many nodes each provider ran. Copies between memories do not count, nor does a node twice.
fn parse(profile: impl Read) -> Result<BTreeMap<String, u64>, serde_json::Error> {
    let mut events = serde_json::Deserializer::from_reader(profile);
    events.deserialize_seq(Nodes::default())
}

/// Counts events as they are read: a graph with a loop has a million of them.
#[derive(Default)]
struct Nodes {
    seen: BTreeSet<(String, String, String)>,
    nodes: BTreeMap<String, u64>,
}

impl Nodes {
    fn add(&mut self, Event { cat, name, args }: Event) {
        let node = name.strip_suffix("_kernel_time");
        let copies = matches!(args.op_name.as_str(), "MemcpyToHost" | "MemcpyFromHost");
        let Some(node) = node.filter(|_| cat == "Node" && !args.provider.is_empty() && !copies)
        else {
            return;
        };
        if self.seen.insert((args.provider.clone(), node.to_owned(), args.op_name)) {
            *self.nodes.entry(args.provider).or_default() += 1;
        }
    }
}

impl<'de> Visitor<'de> for Nodes {
    type Value = BTreeMap<String, u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut events: A) -> Result<Self::Value, A::Error> {
        while let Some(event) = events.next_element()? {
            self.add(event);
        }
        Ok(self.nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_once_by_provider_without_copies_between_memories() {
        let event = |name: &str, op: &str, provider: &str| {
            format!(
                r#"{{"cat":"Node","pid":1,"dur":9,"ts":3,"ph":"X","name":"{name}","args":{{"op_name":"{op}","provider":"{provider}","x":[{{}}]}}}}"#
            )
        };
        let profile = [
            r#"{"cat":"Session","name":"model_run","args":{}}"#.to_owned(),
            event("a_fence_before", "Conv", ""),
            event("a_kernel_time", "Conv", "CUDAExecutionProvider"),
            event("a_kernel_time", "Conv", "CUDAExecutionProvider"),
            event("b_kernel_time", "Relu", "CUDAExecutionProvider"),
            event("m_kernel_time", "MemcpyToHost", "CUDAExecutionProvider"),
            event("c_kernel_time", "TopK", "CPUExecutionProvider"),
        ];
        let found = parse(format!("[{}]", profile.join(",\n")).as_bytes()).unwrap();
        let expected = [("CPUExecutionProvider", 1), ("CUDAExecutionProvider", 2)];
        assert!(found.iter().map(|(k, v)| (k.as_str(), *v)).eq(expected), "{found:?}");
    }
}
