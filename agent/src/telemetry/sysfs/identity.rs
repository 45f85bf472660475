//! What a board is: its model, its system on a chip, its software.

use wire::telemetry::BoardIdentity;

use super::super::attribute::{Attribute, Reader, text_once};
use super::super::board::{self, Board};
use super::super::tree::Tree;

/// Jetson Linux and the JetPack that it belongs to, by the beginning of its version.
const JETPACKS: &[(&str, &str)] = &[
    ("32.7.", "4.6"),
    ("36.3", "6.0"),
    ("36.4.7", "6.2.1"),
    ("36.4.4", "6.2.1"),
    ("36.4.3", "6.2"),
    ("36.4.0", "6.1"),
    ("36.5", "6.2.2"),
    ("38.2", "7.0"),
    ("38.4", "7.1"),
    ("39.2", "7.2"),
];
/// What stands there for a Jetson Linux that is younger than this table.
const UNKNOWN: &str = "unknown";

/// What a board is, and where its power mode stands.
#[derive(Debug)]
pub(super) struct Identity {
    fixed: BoardIdentity,
    mode: Option<Attribute>,
    modes: Vec<(u32, String)>,
}

/// Finds out which board this is.
pub(super) fn find(tree: &Tree, with_serial: bool) -> (&'static Board, Identity) {
    let compatible = text_once(tree, "proc/device-tree", "compatible");
    // The last is the system on a chip.
    let names: Vec<&str> =
        compatible.as_deref().into_iter().flat_map(|text| text.split('\0')).collect();
    let model = text_once(tree, "proc/device-tree", "model").or_else(|| pc_model(tree));
    let board = board::known(&names, model.as_deref())
        .unwrap_or_else(|| board::generic(compatible.is_some()));
    let l4t = text_once(tree, "etc", "nv_tegra_release").as_deref().and_then(l4t);
    let soc = names.last().map(|name| name.rsplit(',').next().unwrap_or(name).to_owned());
    let serial = || text_once(tree, "proc/device-tree", "serial-number");
    let fixed = BoardIdentity {
        kind: board.name.to_owned(),
        model,
        soc,
        serial: if with_serial { serial() } else { None },
        jetpack: l4t.as_deref().map(|l4t| jetpack(l4t).to_owned()),
        l4t,
        power_mode_id: None,
        power_mode: None,
    };
    let modes = Attribute::file(tree, "etc/nvpmodel.conf")
        .and_then(|mut file| {
            file.text(&mut Reader::new(tree, std::time::Duration::ZERO)).map(modes)
        })
        .unwrap_or_default();
    let mode = Attribute::file(tree, "var/lib/nvpmodel/status");
    (board, Identity { fixed, mode, modes })
}

impl Identity {
    /// What does not change.
    pub(super) fn into_fixed(self) -> BoardIdentity {
        self.fixed
    }

    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> BoardIdentity {
        let text = self.mode.as_mut().and_then(|mode| mode.text(reader));
        let power_mode_id = text.and_then(mode_id);
        let name =
            |id| self.modes.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone());
        BoardIdentity {
            power_mode_id,
            power_mode: power_mode_id.and_then(name),
            ..self.fixed.clone()
        }
    }
}

/// A PC has no device tree, but says who made it.
fn pc_model(tree: &Tree) -> Option<String> {
    text_once(tree, "sys/class/dmi/id", "product_name").filter(|name| !name.is_empty())
}

/// `36.4.3` of `# R36 (release), REVISION: 4.3, GCID: …`.
fn l4t(text: &str) -> Option<String> {
    let release = text.strip_prefix("# R")?.split_whitespace().next()?;
    let revision = text.split("REVISION:").nth(1)?.split(',').next()?.trim();
    let digits =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (digits(release) && digits(revision)).then(|| format!("{release}.{revision}"))
}

fn jetpack(l4t: &str) -> &str {
    if l4t.starts_with("35.") {
        return "5";
    }
    // `36.4` is what 36.4.0 calls itself.
    let fits = |begin: &str| l4t.starts_with(begin) || format!("{l4t}.0") == begin;
    JETPACKS.iter().find(|(begin, _)| fits(begin)).map_or(UNKNOWN, |(_, jetpack)| jetpack)
}

/// The number in `pmode:0002`, with whatever follows.
fn mode_id(text: &str) -> Option<u32> {
    let number = text.split(':').nth(1)?.trim();
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

/// Number and name of each `< POWER_MODEL ID=2 NAME=MAXN_SUPER >`.
fn modes(text: &str) -> Vec<(u32, String)> {
    let value = |line: &str, key: &str| -> Option<String> {
        let rest = line.split(key).nth(1)?;
        Some(rest.split(|c: char| c.is_whitespace() || c == '>').next()?.to_owned())
    };
    text.lines()
        .filter(|line| line.trim_start().starts_with("< POWER_MODEL"))
        .filter_map(|line| Some((value(line, " ID=")?.parse().ok()?, value(line, " NAME=")?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_jetson_linux_is_read_and_an_unknown_one_says_so() {
        let text = |release: &str, revision: &str| {
            format!(
                "# R{release} (release), REVISION: {revision}, GCID: 1, BOARD: generic, EABI: aarch64"
            )
        };
        for (release, revision, version, pack) in [
            ("32", "7.4", "32.7.4", "4.6"),
            ("35", "4.1", "35.4.1", "5"),
            ("36", "3.0", "36.3.0", "6.0"),
            ("36", "4.0", "36.4.0", "6.1"),
            ("36", "4", "36.4", "6.1"),
            ("36", "4.3", "36.4.3", "6.2"),
            ("36", "4.7", "36.4.7", "6.2.1"),
            ("36", "5.0", "36.5.0", "6.2.2"),
            ("38", "2.0", "38.2.0", "7.0"),
            ("39", "2.0", "39.2.0", "7.2"),
            ("47", "1.0", "47.1.0", "unknown"),
        ] {
            let found = l4t(&text(release, revision)).unwrap();
            assert_eq!((found.as_str(), jetpack(&found)), (version, pack));
        }
        assert_eq!(l4t("Debian"), None);
    }

    #[test]
    fn a_power_mode_is_its_number_and_its_name() {
        let conf = "# comment\n< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\
                    < POWER_MODEL ID=2 NAME=MAXN_SUPER >\n";
        assert_eq!(modes(conf), [(0, "15W".to_owned()), (2, "MAXN_SUPER".to_owned())]);
        for (text, id) in [("pmode:0002", Some(2)), ("pmode:0008 fmode:quiet", Some(8)), ("", None)]
        {
            assert_eq!(mode_id(text), id, "{text}");
        }
    }
}
