//! The GPU's load and clock. Its node may come late: whoever scans again finds it then.

use wire::telemetry::{Gpu, LoadSource};

use super::super::attribute::{Attribute, Reader, count, devices, scaled, text_once};
use super::super::board::Board;
use super::super::tree::Tree;

/// The GPU, as far as it was found.
#[derive(Debug, Default)]
pub(super) struct GpuNode {
    load: Option<Attribute>,
    frequency: Option<Attribute>,
    frequency_min: Option<Attribute>,
    frequency_max: Option<Attribute>,
    governor: Option<Attribute>,
}

pub(super) fn find(tree: &Tree, board: &Board) -> GpuNode {
    let load = board.gpu.iter().find_map(|node| Attribute::find(tree, node, "load"));
    let clocks = devices(tree, "sys/class/devfreq", "");
    let clock = board
        .gpu_clock
        .iter()
        .find_map(|wanted| clocks.iter().find(|(_, name)| name == wanted))
        .or_else(|| clocks.iter().find(|(place, name)| is_gpu(tree, place, name)));
    // A board that nobody has heard of may have its load beside its clock.
    let load = load.or_else(|| Attribute::find(tree, &clock?.0, "device/load"));
    let of = |name| Attribute::find(tree, &clock?.0, name);
    GpuNode {
        load,
        frequency: of("cur_freq"),
        frequency_min: of("min_freq"),
        frequency_max: of("max_freq"),
        governor: of("governor"),
    }
}

/// Whether the device with a changing clock at `place` is a GPU.
fn is_gpu(tree: &Tree, place: &str, name: &str) -> bool {
    let node = text_once(tree, place, "device/of_node/name");
    node.as_deref() == Some("gpu") || name.ends_with(".gpu")
}

impl GpuNode {
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Gpu {
        let load = count(&mut self.load, reader).and_then(|permille| i64::try_from(permille).ok());
        let load_percent = load.filter(|permille| *permille <= 1000).map(|load| scaled(load, 10));
        let governor = self.governor.as_mut().and_then(|governor| governor.text(reader));
        Gpu {
            governor: governor.map(str::to_owned),
            load_percent,
            load_source: load_percent.map(|_| LoadSource::Sysfs),
            frequency_hz: count(&mut self.frequency, reader),
            frequency_min_hz: count(&mut self.frequency_min, reader),
            frequency_max_hz: count(&mut self.frequency_max, reader),
            ..Gpu::default()
        }
    }
}
