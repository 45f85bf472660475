//! Jetson AGX Thor: JetPack 7. The GPU is a PCI device without a `load`; NVML says how busy it is, except where it
//! says 0 of a GPU that works: one that is idle was seen to draw 4.3 W, one that was busy 20 W.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "thor",
    title: "Jetson AGX Thor",
    compatible: &["nvidia,p3834-"],
    model: &["Thor"],
    gpu: &[],
    gpu_clock: &["gpu-gpc-0"],
    total: Total::Rail("VIN"),
    nvml: Nvml::ZeroOnlyBelow { rail: "VDD_GPU", power_mw: 8500 },
};
