//! May the service use the GPU's nodes?

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Account, Finding, Patient};

const CHECK: &str = "GPU";
/// Folders of nodes and how the names of a GPU's begin, of any board.
const NODES: &[(&str, &[&str])] = &[
    ("dev", &["nvidia", "nvmap", "nvhost-"]),
    ("dev/nvgpu/igpu0", &["ctrl", "as", "channel", "prof"]),
    ("dev/dri", &["renderD"]),
];
/// Kernel logs and mode setting of the desktop driver: not for computing.
const LEFT_OUT: &[&str] = &["nvidia-modeset", "nvidia-caps", "nvhost-ctrl-pva"];

/// A node of `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) path: PathBuf,
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let nodes: Vec<Node> =
        NODES.iter().flat_map(|(folder, names)| nodes(Path::new("/"), folder, names)).collect();
    vec![judge(&nodes, super::is_jetson(), &patient.account)]
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
            if !wanted || LEFT_OUT.contains(&name.as_str()) {
                return None;
            }
            let meta = std::fs::metadata(entry.path()).ok().filter(|meta| !meta.is_dir())?;
            let (owner, group, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o777);
            Some(Node { path: entry.path(), owner, group, mode })
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

fn judge(nodes: &[Node], is_jetson: bool, account: &Account) -> Finding {
    if nodes.is_empty() {
        if !is_jetson {
            return Finding::skipped(CHECK, "there is none that this daemon could use");
        }
        let said = "this is a Jetson, and no node of its GPU is in /dev: its driver is not loaded";
        return Finding::wrong(CHECK, said, ["sudo dmesg | grep -i -e nvgpu -e nvidia"]);
    }
    let closed = |node: &&Node| !account.may_use(node.owner, node.group, node.mode);
    let Some(node) = nodes.iter().find(closed) else {
        let said = format!("{} nodes, all open to {}", nodes.len(), account.name);
        return Finding::well(CHECK, said);
    };
    let said = format!(
        "{} may not use `{}` (group {}, mode {:o})",
        account.name,
        node.path.display(),
        account.group(node.group),
        node.mode
    );
    Finding::wrong(CHECK, said, [cure(node, account)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn node(group: u32, mode: u32) -> Node {
        Node { path: "/dev/nvmap".into(), owner: 0, group, mode }
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
            let finding = judge(&nodes, is_jetson, &account);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.todo.concat().contains(todo), "{finding:?}");
        }
    }

    #[test]
    fn nodes_are_found_by_how_their_names_begin() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("dev/dri")).unwrap();
        for name in ["dev/nvidia0", "dev/nvidia-modeset", "dev/null", "dev/dri/renderD128"] {
            std::fs::File::create(root.path().join(name)).unwrap();
        }
        let found: Vec<Node> =
            NODES.iter().flat_map(|(folder, names)| nodes(root.path(), folder, names)).collect();
        let names: Vec<_> = found.iter().filter_map(|node| node.path.file_name()).collect();
        assert_eq!(names, ["nvidia0", "renderD128"]);
    }
}
