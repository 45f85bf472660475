//! Jetson AGX Xavier: JetPack 4 and 5. No rail is the whole board. NVML is absent.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "xavier-agx",
    title: "Jetson AGX Xavier",
    compatible: &["nvidia,p2888-"],
    model: &["AGX Xavier", "Jetson-AGX"],
    gpu: &[
        "sys/devices/platform/17000000.gv11b",
        "sys/devices/17000000.gv11b",
        "sys/devices/gpu.0",
    ],
    gpu_clock: &["17000000.gv11b"],
    total: Total::Sum(&["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"]),
    nvml: Nvml::Never,
};
