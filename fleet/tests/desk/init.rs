//! What a new repository's making leaves where it fails.

use crate::Desk;

#[test]
fn an_init_that_fails_removes_what_it_made_and_nothing_else() {
    for (there, left) in [(true, &["targets"][..]), (false, &[])] {
        for file in [".snapshot.key.new", ".root.json.new"] {
            let desk = Desk::new();
            std::fs::create_dir(desk.path("keys")).unwrap();
            std::os::unix::fs::symlink("/dev/full", desk.path("keys").join(file)).unwrap();
            if there {
                std::fs::create_dir_all(desk.path("repo/targets")).unwrap();
                desk.write("repo/targets/somebody's", "work");
            }
            let (code, said) = desk.run("init repo --keys keys --unencrypted");
            assert!(code == 1 && said.contains("No space left on device"), "{said}");
            assert_eq!(desk.ending(""), [""; 0], "{file}");
            let listing = std::fs::read_dir(desk.path("repo")).into_iter().flatten();
            let names: Vec<_> = listing.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, left, "{file}");
            assert_eq!(desk.path("repo").exists(), there, "{file}");
            assert_eq!(desk.read("repo/targets/somebody's").is_some(), there, "{file}");
        }
    }
}
