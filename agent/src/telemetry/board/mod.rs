//! The boards, on one page: each is data. Adding one is a file and a line.
//!
//! What is not said here is found by looking: zones, rails, fans and engines are read by what they call themselves,
//! so that a board that nobody has heard of reports them too. A board's constant says only what looking cannot tell:
//! which node is the GPU, which rails are the whole board, whom to believe.

mod agx_orin;
mod generic_arm64;
mod nano;
mod orin_nano;
mod orin_nx;
mod thor;
mod tx2;
mod x86_pc;
mod xavier_agx;
mod xavier_nx;

/// Every board that is known, the more particular first.
pub const BOARDS: &[&Board] = &[
    &nano::BOARD,
    &tx2::BOARD,
    &xavier_nx::BOARD,
    &xavier_agx::BOARD,
    &orin_nano::BOARD,
    &orin_nx::BOARD,
    &agx_orin::BOARD,
    &thor::BOARD,
    &generic_arm64::BOARD,
    &x86_pc::BOARD,
];

/// What is known of one kind of board.
#[derive(Debug, PartialEq, Eq)]
pub struct Board {
    /// What it is called in messages.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// Beginnings of names in the device tree's `compatible` that only this board has: its module's number.
    pub compatible: &'static [&'static str],
    /// Words in the device tree's `model` that only this board has, for carriers with a `compatible` of their own.
    pub model: &'static [&'static str],
    /// Where its GPU's node may be, the newest software first; its `load` is in permille.
    pub gpu: &'static [&'static str],
    /// What its GPU is called among the devices with a changing clock.
    pub gpu_clock: &'static [&'static str],
    /// What the whole board draws.
    pub total: Total,
    /// Whether NVML says how busy the GPU is.
    pub nvml: Nvml,
}

/// Which rails are the whole board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// This one: everything passes through it.
    Rail(&'static str),
    /// All of these together.
    Sum(&'static [&'static str]),
    /// Not known by name: one of those that are called so everywhere, or nothing.
    Unknown,
}

/// Whether to ask NVML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nvml {
    /// No: there is none, or it says nothing true of this GPU.
    Never,
    /// Yes, as for a discrete GPU.
    Believed,
    /// Yes, but a load of 0 is no reading once the GPU's rail draws more than this.
    ZeroOnlyBelow {
        /// The GPU's own rail.
        rail: &'static str,
        /// Well above what it draws when idle.
        power_mw: u64,
    },
}

/// Names of rails that are the whole board wherever they are.
pub const INPUT_RAILS: [&str; 3] = ["VDD_IN", "POM_5V_IN", "VIN"];

/// The board whose device tree says `compatible` and `model`, where one is known by them.
#[must_use]
pub fn known(compatible: &[&str], model: Option<&str>) -> Option<&'static Board> {
    let names: Vec<String> = compatible.iter().flat_map(|name| in_parts(name)).collect();
    let by_module = |board: &&&'static Board| {
        let mut begins = board.compatible.iter();
        begins.any(|begin| names.iter().any(|name| name.starts_with(begin)))
    };
    let by_model = |board: &&&'static Board| {
        board.model.iter().any(|word| model.is_some_and(|model| model.contains(word)))
    };
    // A carrier board of somebody else's keeps the module's number, so that this is the surer sign.
    BOARDS.iter().find(by_module).or_else(|| BOARDS.iter().find(by_model)).copied()
}

/// `maker,carrier+module`, and the module by a name of its own.
fn in_parts(name: &str) -> Vec<String> {
    let maker = name.split_once(',').map_or("", |(maker, _)| maker);
    let mut parts = vec![name.to_owned()];
    parts.extend(name.split('+').skip(1).map(|module| format!("{maker},{module}")));
    parts
}

/// What a board is that is not known: by its architecture.
#[must_use]
pub fn generic(has_device_tree: bool) -> &'static Board {
    if has_device_tree { &generic_arm64::BOARD } else { &x86_pc::BOARD }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_known_by_its_module_then_by_its_model() {
        for (compatible, model, name) in [
            (&["nvidia,p3449-0000-b00", "nvidia,jetson-nano", "nvidia,tegra210"][..], None, "nano"),
            (&["nvidia,p2597-0000+p3310-1000", "nvidia,tegra186"], None, "tx2"),
            (&["nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"], None, "xavier-nx"),
            (&["nvidia,p2822-0000+p2888-0001", "nvidia,tegra194"], None, "xavier-agx"),
            (&["nvidia,p3768-0000+p3767-0005-super", "nvidia,tegra234"], None, "orin-nano"),
            (&["acme,carrier", "nvidia,p3767-0000", "nvidia,tegra234"], None, "orin-nx"),
            (&["nvidia,p3737-0000+p3701-0005", "nvidia,tegra234"], None, "agx-orin"),
            (&["nvidia,p4071-0000+p3834-0008", "nvidia,tegra264"], None, "thor"),
            (&["acme,box", "nvidia,tegra234"], Some("Acme Box with Orin NX"), "orin-nx"),
        ] {
            assert_eq!(known(compatible, model).map(|board| board.name), Some(name), "{model:?}");
        }
        assert_eq!(known(&["acme,next", "nvidia,tegra999"], Some("Jetson Next")), None);
        assert_eq!(known(&[], None), None);
    }

    #[test]
    fn a_name_belongs_to_one_board() {
        for (index, board) in BOARDS.iter().enumerate() {
            for other in &BOARDS[..index] {
                assert_ne!(board.name, other.name);
                assert!(board.compatible.iter().all(|name| !other.compatible.contains(name)));
            }
        }
    }
}
