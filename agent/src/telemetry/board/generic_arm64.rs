//! A board with a device tree: No module's number: chosen where no other board fits.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "generic-arm64",
    title: "a board with a device tree",
    compatible: &[],
    model: &[],
    gpu: &["sys/devices/platform/gpu.0", "sys/devices/gpu.0"],
    gpu_clock: &[],
    total: Total::Unknown,
    nvml: Nvml::Believed,
};
