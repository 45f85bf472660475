//! Jetson Nano: JetPack 4. NVML is absent.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "nano",
    title: "Jetson Nano",
    compatible: &["nvidia,p3448-", "nvidia,p3449-", "nvidia,jetson-nano"],
    model: &["Jetson Nano"],
    gpu: &["sys/devices/57000000.gpu", "sys/devices/gpu.0"],
    gpu_clock: &["57000000.gpu"],
    total: Total::Rail("POM_5V_IN"),
    nvml: Nvml::Never,
};
