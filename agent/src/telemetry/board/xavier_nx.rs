//! Jetson Xavier NX: JetPack 4 and 5. NVML is absent.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "xavier-nx",
    title: "Jetson Xavier NX",
    compatible: &["nvidia,p3668-"],
    model: &["Xavier NX"],
    gpu: &[
        "sys/devices/platform/17000000.gv11b",
        "sys/devices/17000000.gv11b",
        "sys/devices/gpu.0",
    ],
    gpu_clock: &["17000000.gv11b"],
    total: Total::Rail("VDD_IN"),
    nvml: Nvml::Never,
};
