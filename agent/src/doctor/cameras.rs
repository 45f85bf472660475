//! Which cameras there are, and may the service use them?

use std::path::Path;

use super::devices::{self, Node};
use super::{Account, Finding, Patient};
use crate::disk;

const CHECK: &str = "cameras";
/// Longest name of a camera that is shown.
const NAME_BYTES_MAX: u64 = 128;

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let root = Path::new("/");
    let nodes = devices::nodes(root, "dev", &["video"]);
    if nodes.is_empty() {
        return vec![Finding::skipped(CHECK, "there is no /dev/video*")];
    }
    nodes.iter().map(|node| judge(node, &name(root, node), &patient.account)).collect()
}

/// What the driver calls it.
fn name(root: &Path, node: &Node) -> String {
    let node = node.path.file_name().unwrap_or_default();
    let path = root.join("sys/class/video4linux").join(node).join("name");
    let bytes = disk::read_bounded(&path, NAME_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn judge(node: &Node, name: &str, account: &Account) -> Finding {
    let path = node.path.display();
    if account.may_use(node.owner, node.group, node.mode) {
        return Finding::well(CHECK, format!("`{path}`: {name}"));
    }
    let said = format!(
        "{} may not use `{path}`: {name} (group {}, mode {:o})",
        account.name,
        account.group(node.group),
        node.mode
    );
    Finding::wrong(CHECK, said, [devices::cure(node, account)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_camera_of_a_group_that_the_service_is_not_in_names_the_group() {
        let account = Account { name: "vedette".to_owned(), uid: 9, ..Account::default() };
        let node = Node { path: "/dev/video0".into(), major: 81, owner: 0, group: 44, mode: 0o660 };
        let finding = judge(&node, "vivid", &account);
        assert_eq!(finding.verdict, Verdict::Wrong, "{finding:?}");
        assert!(finding.todo.concat().contains("usermod -aG 44 vedette"), "{finding:?}");
        let open = Account { gids: [44].into(), ..account };
        assert_eq!(judge(&node, "vivid", &open).verdict, Verdict::Well);
    }
}
