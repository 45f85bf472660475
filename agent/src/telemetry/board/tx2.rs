//! Jetson TX2: JetPack 4. NVML is absent.

use super::{Board, Nvml, Total};

/// See the module.
pub(super) const BOARD: Board = Board {
    name: "tx2",
    title: "Jetson TX2",
    compatible: &["nvidia,p3310-", "nvidia,p3489-", "nvidia,p3636-"],
    model: &["TX2"],
    gpu: &["sys/devices/17000000.gp10b", "sys/devices/gpu.0"],
    gpu_clock: &["17000000.gp10b"],
    total: Total::Rail("VDD_IN"),
    nvml: Nvml::Never,
};
