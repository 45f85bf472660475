//! A rotation of keys that is cut off at any of its files, and the command after it.

use crate::Desk;

const ROLES: [&str; 5] = ["root", "targets", "rollout", "snapshot", "timestamp"];

/// Every file that a rotation writes, as it is called before it is in place.
const WRITTEN: [&str; 7] = [
    "keys/.ROLE.key.new.new",
    "repo/metadata/.2.root.json.new",
    "repo/metadata/.2.targets.json.new",
    "repo/metadata/.2.rollout.json.new",
    "repo/metadata/.2.snapshot.json.new",
    "repo/metadata/.timestamp.json.new",
    "keys/.root.json.new",
];

/// What a cut rotation left is finished by the command that comes next, and all keys are those that sign.
fn goes_on(desk: &Desk, role: &str, next: &str, at: &str) {
    let (code, said) = desk.run("status repo");
    assert!(code == 0 || said.contains("a rotation was cut off"), "{role} at {at}: {said}");
    desk.must(next);
    desk.must("status repo");
    assert_eq!(desk.ending(".key.new"), [""; 0], "{role} at {at}, then {next}");
    let newest =
        (1..9).rev().find_map(|number| desk.read(&format!("repo/metadata/{number}.root.json")));
    assert_eq!(desk.read("keys/root.json"), newest, "{role} at {at}, then {next}");
    for line in
        ["refresh repo --keys keys --targets", "keys rotate repo root --keys keys --unencrypted"]
    {
        desk.must(line);
    }
    desk.must("status repo");
}

#[test]
fn a_rotation_that_a_full_disk_cuts_off_is_finished_by_the_next_command() {
    let mut cut = 0;
    for role in ROLES {
        for file in WRITTEN {
            let name = if role == "root" { "root-2" } else { role };
            let at = file.replace("ROLE", name);
            let line = format!("keys rotate repo {role} --keys keys --unencrypted");
            let desk = Desk::new();
            desk.must("init repo --keys keys --unencrypted");
            std::os::unix::fs::symlink("/dev/full", desk.path(&at)).unwrap();
            let (code, said) = desk.run(&line);
            if code == 0 {
                assert!(desk.path(&at).is_symlink(), "{role} wrote {at}");
                continue;
            }
            assert!(said.contains("No space left on device"), "{role} at {at}: {said}");
            let public = desk.read("repo/metadata/2.root.json").is_some();
            assert_eq!(said.contains("devices see what they saw before"), !public, "{said}");
            assert_eq!(said.contains("make room on that disk first"), public, "{said}");
            assert!(public || desk.ending(".key.new").is_empty(), "{role} at {at}");
            let next = [line.as_str(), "refresh repo --keys keys"][cut % 2];
            goes_on(&desk, role, next, &at);
            cut += 1;
        }
    }
    // One key each; a root that each but rollout has; the roots', the releases' and the rollouts' own lists; a
    // snapshot, a timestamp and the keys' root.
    assert_eq!(cut, 5 + 4 + 2 + 1 + 5 + 5 + 4);
}

#[test]
fn a_rotation_whose_old_key_cannot_make_room_is_finished_by_the_next_command() {
    for role in ROLES {
        let name = if role == "root" { "root-2" } else { role };
        let at = format!("keys/{name}.key.old-1");
        let desk = Desk::new();
        desk.must("init repo --keys keys --unencrypted");
        std::fs::create_dir_all(desk.path(&at).join("in the way")).unwrap();
        let (code, said) = desk.run(&format!("keys rotate repo {role} --keys keys --unencrypted"));
        assert!(code == 1 && said.contains("do not remove a `.key.new`"), "{role}: {said}");
        std::fs::remove_dir_all(desk.path(&at)).unwrap();
        goes_on(&desk, role, "refresh repo --keys keys", &at);
    }
}

#[test]
fn new_keys_of_which_only_one_is_in_place_are_all_put_there() {
    let desk = Desk::new();
    desk.must("init repo --keys keys --unencrypted");
    desk.must("keys rotate repo root --keys keys --unencrypted");
    desk.write("keys/root.json", &desk.read("repo/metadata/1.root.json").unwrap());
    for name in ["root-2", "root-3"] {
        let key = desk.path("keys").join(name);
        std::fs::copy(key.with_extension("key"), key.with_extension("key.new")).unwrap();
        std::fs::remove_file(key.with_extension("key")).unwrap();
    }
    goes_on(&desk, "root", "refresh repo --keys keys", "the second key");
}

#[test]
fn a_new_key_that_nothing_names_is_taken_by_the_next_rotation() {
    let (desk, other) = (Desk::new(), Desk::new());
    desk.must("init repo --keys keys --unencrypted");
    other.must("init repo --keys keys --unencrypted");
    std::fs::copy(other.path("keys/targets.key"), desk.path("keys/targets.key.new")).unwrap();
    desk.must("refresh repo --keys keys --targets");
    assert_eq!(desk.ending(".key.new"), ["targets.key.new"]);
    desk.must("keys rotate repo targets --keys keys --unencrypted");
    assert_eq!(desk.read("keys/targets.key"), other.read("keys/targets.key"));
    goes_on(&desk, "targets", "refresh repo --keys keys", "no file");
}

#[test]
fn what_a_replaced_key_signed_is_refused_once_its_rotation_is_done() {
    for role in ["targets", "snapshot", "timestamp"] {
        let desk = Desk::new();
        desk.must("init repo --keys keys --unencrypted");
        let before = desk.read("repo/metadata/timestamp.json").unwrap();
        desk.must(&format!("keys rotate repo {role} --keys keys --unencrypted"));
        desk.write("repo/metadata/timestamp.json", &before);
        let (code, said) = desk.run("refresh repo --keys keys --targets");
        assert!(code == 1 && said.contains("is not signed by its keys"), "{role}: {said}");
    }
}
