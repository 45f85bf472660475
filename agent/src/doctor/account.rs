//! Whom the service runs as, and what that account may use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::disk;

/// The service's user.
const SERVICE: &str = "vedette";
/// Groups that the unit adds (`SupplementaryGroups=` in systemd/vedette.service).
const UNIT_GROUPS: [&str; 3] = ["video", "render", "dialout"];
/// Largest list of users or groups that is read.
const LIST_BYTES_MAX: u64 = 4 << 20;

/// An account of this device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Its name; the number where it has none.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its groups.
    pub gids: BTreeSet<u32>,
    /// Names of all groups here, by number.
    pub(super) groups: BTreeMap<u32, String>,
}

impl Account {
    /// The service's account where root asks for it and there is one; else that of this process.
    #[must_use]
    pub fn here(of_service: bool) -> Self {
        let read = |path: &str| {
            let bytes = disk::read_bounded(Path::new(path), LIST_BYTES_MAX).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
        let uid = rustix::process::getuid();
        let service = Self::named(SERVICE, &users, &groups);
        match service.filter(|_| of_service) {
            Some(service) if uid.is_root() || uid.as_raw() == service.uid => service,
            _ => {
                let gids = rustix::process::getgroups().unwrap_or_default();
                let own = std::iter::once(rustix::process::getegid()).chain(gids);
                let name = fields(&users)
                    .find(|user| number(user, 2) == Some(uid.as_raw()))
                    .map_or_else(|| uid.as_raw().to_string(), |user| user[0].to_owned());
                Self {
                    name,
                    uid: uid.as_raw(),
                    gids: own.map(rustix::fs::Gid::as_raw).collect(),
                    groups: names(&groups),
                }
            }
        }
    }

    /// The account `name` with the groups that the unit gives it, as the files `passwd` and `group` have it.
    fn named(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let user = fields(passwd).find(|user| user.first() == Some(&name))?;
        let (uid, gid) = (number(&user, 2)?, number(&user, 3)?);
        let belongs = |group: &Vec<&str>| {
            let member = group.get(3).is_some_and(|all| all.split(',').any(|one| one == name));
            member || UNIT_GROUPS.contains(&group[0])
        };
        let others =
            fields(group).filter(belongs).filter_map(|group| number(&group, 2)).chain([gid]);
        Some(Self { name: name.to_owned(), uid, gids: others.collect(), groups: names(group) })
    }

    /// Whether it may read and write what `owner`:`group` own with these `mode` bits.
    pub(super) fn may_use(&self, owner: u32, group: u32, mode: u32) -> bool {
        let wanted = if self.uid == 0 {
            return true;
        } else if owner == self.uid {
            0o600
        } else if self.gids.contains(&group) {
            0o060
        } else {
            0o006
        };
        mode & wanted == wanted
    }

    /// The name of a group; its number where it has none.
    pub(super) fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_else(|| gid.to_string())
    }
}

fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn number(fields: &[&str], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok()
}

fn names(group: &str) -> BTreeMap<u32, String> {
    fields(group).filter_map(|group| Some((number(&group, 2)?, group[0].to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0::/root:/bin/sh\nvedette:x:998:997::/var/lib/vedette:/usr/sbin/nologin\n";
    const GROUP: &str = "video:x:44:\ncam:x:50:ann,vedette\nother:x:51:ann\nvedette:x:997:\n";

    #[test]
    fn the_services_account_has_its_own_groups_and_those_that_the_unit_gives() {
        let account = Account::named("vedette", PASSWD, GROUP).unwrap();
        assert_eq!((account.uid, account.gids), (998, BTreeSet::from([44, 50, 997])));
        assert_eq!(Account::named("nobody", PASSWD, GROUP), None);
    }

    #[test]
    fn a_node_is_used_by_its_owner_its_group_and_whoever_else_the_mode_lets() {
        let account = Account::named("vedette", PASSWD, GROUP).unwrap();
        for (owner, group, mode, may) in [
            (998, 0, 0o600, true),
            (0, 44, 0o660, true),
            (0, 44, 0o640, false),
            (0, 51, 0o660, false),
            (0, 51, 0o666, true),
            (998, 44, 0o060, false), // the owner's bits count for the owner
        ] {
            assert_eq!(account.may_use(owner, group, mode), may, "{owner}:{group} {mode:o}");
        }
    }
}
