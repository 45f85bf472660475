//! Jetson Orin NX: JetPack 5, 6 and 7. NVML opens, and supports nothing.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "orin-nx",
    title: "Jetson Orin NX",
    compatible: &["nvidia,p3767-0000", "nvidia,p3767-0001"],
    model: &["Orin NX"],
    gpu: &[
        "sys/devices/platform/bus@0/17000000.gpu",
        "sys/devices/platform/17000000.ga10b",
        "sys/devices/platform/gpu.0",
    ],
    gpu_clock: &["17000000.gpu", "17000000.ga10b"],
    total: Total::Rail("VDD_IN"),
    nvml: Nvml::Never,
};
