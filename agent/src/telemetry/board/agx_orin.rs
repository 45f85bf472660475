//! Jetson AGX Orin: JetPack 5, 6 and 7. No rail is the whole board. NVML opens, and supports nothing.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "agx-orin",
    title: "Jetson AGX Orin",
    compatible: &["nvidia,p3701-"],
    model: &["AGX Orin"],
    gpu: &[
        "sys/devices/platform/bus@0/17000000.gpu",
        "sys/devices/platform/17000000.ga10b",
        "sys/devices/platform/gpu.0",
    ],
    gpu_clock: &["17000000.gpu", "17000000.ga10b"],
    total: Total::Sum(&["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"]),
    nvml: Nvml::Never,
};
