//! A board's memory: one for the processor and the GPU, so that what NVML says of it does not count here.

use wire::telemetry::Memory;

use super::super::attribute::{Attribute, Reader};
use super::super::tree::Tree;

/// Bytes of what the kernel counts in KiB.
const KIB: u64 = 1024;
/// How the swap devices begin that are compressed memory.
const ZRAM: &str = "/dev/zram";

/// The kernel's three files.
#[derive(Debug, Default)]
pub(super) struct Files {
    memory: Option<Attribute>,
    swaps: Option<Attribute>,
    events: Option<Attribute>,
}

pub(super) fn find(tree: &Tree) -> Files {
    let file = |path| Attribute::file(tree, path);
    Files { memory: file("proc/meminfo"), swaps: file("proc/swaps"), events: file("proc/vmstat") }
}

impl Files {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Memory {
        let mut memory = Memory::default();
        if let Some(text) = text(&mut self.memory, reader) {
            let bytes = |key| value(text, key)?.checked_mul(KIB);
            memory.total_bytes = bytes("MemTotal:");
            memory.available_bytes = bytes("MemAvailable:");
            memory.swap_total_bytes = bytes("SwapTotal:");
            let free = bytes("SwapFree:");
            memory.swap_used_bytes =
                memory.swap_total_bytes.zip(free).map(|(total, free)| total.saturating_sub(free));
        }
        if let Some(text) = text(&mut self.swaps, reader) {
            let zrams = text.lines().filter(|line| line.starts_with(ZRAM));
            let sum = |column: usize| {
                let number = |line: &str| line.split_whitespace().nth(column)?.parse::<u64>().ok();
                zrams.clone().try_fold(0_u64, |sum, line| Some(sum + number(line)? * KIB))
            };
            (memory.zram_total_bytes, memory.zram_used_bytes) = (sum(2), sum(3));
        }
        if let Some(text) = text(&mut self.events, reader) {
            memory.oom_kills_total = value(text, "oom_kill");
        }
        memory
    }
}

fn text<'r>(file: &mut Option<Attribute>, reader: &'r mut Reader<'_>) -> Option<&'r str> {
    file.as_mut()?.text(reader)
}

/// The number behind `key` at the beginning of a line.
fn value(text: &str, key: &str) -> Option<u64> {
    let mut words =
        text.lines().find(|line| line.split_whitespace().next() == Some(key))?.split_whitespace();
    words.nth(1)?.parse().ok()
}
