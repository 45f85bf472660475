//! May the service use the GPU's nodes?

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::unit::{self, Gate};
use super::{Account, Finding, Patient};

const CHECK: &str = "GPU";
/// Folders of nodes and how the names of a GPU's begin, of any board.
const NODES: &[(&str, &[&str])] = &[
    ("dev", &["nvidia", "nvmap", "nvhost-", "host1x-fence"]),
    ("dev/nvgpu/igpu0", &["ctrl", "as", "channel", "tsg", "prof"]),
    ("dev/dri", &["renderD"]),
];
/// How those begin that are not for computing here: mode setting, switches and disks of large machines.
const LEFT_OUT: &[&str] = &[
    "nvidia-modeset",
    "nvidia-caps",
    "nvidia-nvlink",
    "nvidia-nvswitch",
    "nvidia-fs",
    "nvhost-ctrl-pva",
];

/// A node of `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) path: PathBuf,
    /// The first of its two numbers: its driver's.
    pub(super) major: u32,
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let nodes: Vec<Node> =
        NODES.iter().flat_map(|(folder, names)| nodes(Path::new("/"), folder, names)).collect();
    let gate = Gate::of(patient);
    vec![judge(&nodes, super::is_jetson(), &patient.account, gate.as_ref())]
}

/// The nodes in `folder` below `root` whose names begin so, in order.
pub(super) fn nodes(root: &Path, folder: &str, names: &[&str]) -> Vec<Node> {
    let mut found: Vec<Node> = std::fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let wanted = names.iter().any(|begin| name.starts_with(begin));
            if !wanted || LEFT_OUT.iter().any(|begin| name.starts_with(begin)) {
                return None;
            }
            let meta = std::fs::metadata(entry.path()).ok().filter(|meta| !meta.is_dir())?;
            let (owner, group, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o777);
            let major = rustix::fs::major(meta.rdev());
            Some(Node { path: entry.path(), major, owner, group, mode })
        })
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// What to type so that `account` may use `node`.
pub(super) fn cure(node: &Node, account: &Account) -> String {
    let group = account.group(node.group);
    if node.mode & 0o060 == 0o060 && node.group != 0 {
        format!("sudo usermod -aG {group} {} && sudo systemctl restart vedette", account.name)
    } else {
        // The package's udev rules give it to `video`.
        "sudo udevadm control --reload && sudo udevadm trigger && sudo systemctl restart vedette"
            .to_owned()
    }
}

/// `gate`: what the unit opens, where that is known.
fn judge(nodes: &[Node], is_jetson: bool, account: &Account, gate: Option<&Gate>) -> Finding {
    if nodes.is_empty() {
        if !is_jetson {
            return Finding::skipped(CHECK, "there is none that this daemon could use");
        }
        let said = "this is a Jetson, and no node of its GPU is in /dev: its driver is not loaded";
        return Finding::wrong(CHECK, said, ["sudo dmesg | grep -i -e nvgpu -e nvidia"]);
    }
    let closed = |node: &&Node| !account.may_use(node.owner, node.group, node.mode);
    if let Some(node) = nodes.iter().find(closed) {
        let said = format!(
            "{} may not use `{}` (group {}, mode {:o})",
            account.name,
            node.path.display(),
            account.group(node.group),
            node.mode
        );
        return Finding::wrong(CHECK, said, [cure(node, account)]);
    }
    let lacks = |gate: &Gate| nodes.iter().find_map(|node| Some((node, gate.lacks(node)?)));
    if let Some((node, entry)) = gate.and_then(lacks) {
        let path = node.path.display();
        let said = format!("the service's unit keeps `{path}` closed, whoever may use it");
        return Finding::wrong(CHECK, said, [unit::cure(&entry)]);
    }
    let by = match gate {
        Some(_) => " and by the service's unit",
        None => "; no unit was looked at",
    };
    Finding::well(CHECK, format!("{} nodes, all open to {}{by}", nodes.len(), account.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn node(group: u32, mode: u32) -> Node {
        Node { path: "/dev/nvmap".into(), major: 10, owner: 0, group, mode }
    }

    #[test]
    fn a_gpu_that_the_service_may_not_use_names_the_node_and_the_command() {
        let account = Account { name: "vedette".to_owned(), uid: 9, ..Account::default() };
        for (nodes, is_jetson, verdict, todo) in [
            (vec![], false, Verdict::Skipped, ""),
            (vec![], true, Verdict::Wrong, "dmesg"),
            (vec![node(44, 0o666)], true, Verdict::Well, ""),
            (vec![node(44, 0o660)], true, Verdict::Wrong, "usermod -aG 44 vedette"),
            (vec![node(0, 0o600)], true, Verdict::Wrong, "udevadm"),
        ] {
            let finding = judge(&nodes, is_jetson, &account, None);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.todo.concat().contains(todo), "{finding:?}");
        }
    }

    #[test]
    fn a_node_that_the_unit_closes_is_wrong_although_its_mode_lets_everybody() {
        let account = Account { name: "vedette".to_owned(), uid: 9, ..Account::default() };
        let judged = |unit: &str| {
            let gate = Gate::new(unit, "Character devices:\n 10 misc\n");
            judge(&[node(44, 0o666)], true, &account, Some(&gate))
        };
        let finding = judged("DevicePolicy=closed\nDeviceAllow=char-nvmap rw\n");
        assert_eq!(finding.verdict, Verdict::Wrong, "{finding:?}");
        assert!(finding.todo.concat().contains("DeviceAllow=/dev/nvmap rw"), "{finding:?}");
        assert_eq!(judged("DeviceAllow=/dev/nvmap rw\n").verdict, Verdict::Well);
    }

    #[test]
    fn nodes_are_found_by_how_their_names_begin() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev/dri")).unwrap();
        for name in [
            "dev/nvidia0",
            "dev/nvidia-modeset",
            "dev/nvidia-fs0",
            "dev/null",
            "dev/dri/renderD128",
        ] {
            std::fs::File::create(root.path().join(name)).unwrap();
        }
        let found: Vec<Node> =
            NODES.iter().flat_map(|(folder, names)| nodes(root.path(), folder, names)).collect();
        let names: Vec<_> = found.iter().filter_map(|node| node.path.file_name()).collect();
        assert_eq!(names, ["nvidia0", "renderD128"]);
    }
}
