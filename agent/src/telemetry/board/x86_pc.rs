//! A computer without a device tree: Chosen where there is no device tree.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "x86-pc",
    title: "a computer without a device tree",
    compatible: &[],
    model: &[],
    gpu: &[],
    gpu_clock: &[],
    total: Total::Unknown,
    nvml: Nvml::Believed,
};
