//! Built engines are never mixed up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::hw::ort::options::Profile;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn each_circumstance_has_a_folder_of_its_own() {
    let text = |text: &str| text.to_owned();
    let base = Facts::default();
    let facts = [
        base.clone(),
        Facts { model: text("x"), ..base.clone() },
        Facts { runtime: text("x"), ..base.clone() },
        Facts { tensorrt: text("x"), ..base.clone() },
        Facts { cuda: text("x"), ..base.clone() },
        Facts { gpu: text("x"), ..base.clone() },
        Facts { device: 1, ..base.clone() },
        Facts { l4t: text("x"), ..base.clone() },
        Facts { precision: text("x"), ..base.clone() },
        Facts { profile: text("x"), ..base.clone() },
        Facts { model: text("xx"), ..base.clone() },
        Facts { model: text("x"), runtime: text("x"), ..base },
    ];
    let keys: BTreeSet<String> = facts.iter().map(key).collect();
    assert_eq!(keys.len(), facts.len());
    assert!(keys.iter().all(|key| key.len() == 64));
}

#[test]
fn each_setting_that_changes_an_engine_changes_its_folder() {
    let with = |change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        key(&Facts::of("m", "r", &options, b""))
    };
    let profile = || Profile { input: "a".to_owned(), min: vec![1], opt: vec![1], max: vec![2] };
    let keys = [
        with(|_| ()),
        with(|o| o.tensorrt.fp16 = true),
        with(|o| o.tensorrt.int8 = true),
        with(|o| o.tensorrt.native_calibration = true),
        with(|o| o.tensorrt.workspace_bytes = 1),
        with(|o| o.tensorrt.dla_core = Some(0)),
        with(|o| o.tensorrt.optimization_level = 5),
        with(|o| o.optimization = crate::hw::ort::Optimization::None),
        with(|o| o.device = 1),
        key(&Facts::of("m", "r", &Options::default(), b"table")),
        key(&{
            let mut options = Options::default();
            options.tensorrt.profiles.push(profile());
            Facts::of("m", "r", &options, b"")
        }),
    ];
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
}

#[test]
fn a_model_and_its_external_data_lie_in_the_folder_under_the_digest() {
    let root = tempfile::tempdir().unwrap();
    let (cache, models) = (root.path().join("engines"), root.path().join("m"));
    write(&models.join("model.onnx"), "graph");
    write(&models.join("sub/w.bin"), "weights");
    let data = [PathBuf::from("sub/w.bin")];
    for _ in 0..2 {
        let claim = prepare(&cache, "k", &models.join("model.onnx"), &data, "abc").unwrap();
        assert_eq!(claim.graph, cache.join("k/abc.onnx"));
        assert_eq!(fs::read_to_string(&claim.graph).unwrap(), "graph");
        assert_eq!(fs::read_to_string(cache.join("k/sub/w.bin")).unwrap(), "weights");
    }
    let outside = [PathBuf::from("../m/model.onnx")];
    assert!(prepare(&cache, "k", &models.join("model.onnx"), &outside, "abc").is_err());
}

#[test]
fn what_was_left_half_built_is_removed_and_what_ran_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let (cache, graph) = (root.path().join("engines"), root.path().join("model.onnx"));
    write(&graph, "graph");
    let ours = |name: &str| cache.join("k").join(name);
    let claim = prepare(&cache, "k", &graph, &[], "abc").unwrap();
    write(&ours("a.engine"), "half");
    drop(claim);
    let claim = prepare(&cache, "k", &graph, &[], "abc").unwrap();
    assert!(!ours("a.engine").exists() && claim.graph.exists());
    write(&ours("a.engine"), "whole");
    claim.complete().unwrap();
    drop(claim);
    prepare(&cache, "k", &graph, &[], "abc").unwrap();
    assert_eq!(fs::read_to_string(ours("a.engine")).unwrap(), "whole");
}

#[test]
fn a_folder_is_held_by_one_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let (cache, graph) = (root.path().join("engines"), root.path().join("model.onnx"));
    write(&graph, "graph");
    let claim = prepare(&cache, "k", &graph, &[], "abc").unwrap();
    let other = fs::File::open(cache.join("k/lock")).unwrap();
    let try_it = || flock(&other, FlockOperation::NonBlockingLockExclusive);
    assert!(try_it().is_err());
    drop(claim);
    assert!(try_it().is_ok());
}

#[test]
fn a_half_written_copy_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let (from, to) = (root.path().join("a"), root.path().join("b"));
    write(&from, "whole");
    write(&to, "wh");
    place(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "whole");
}

#[test]
fn a_model_that_was_overwritten_under_its_name_is_not_taken_for_the_one_before() {
    let root = tempfile::tempdir().unwrap();
    let (from, to) = (root.path().join("a"), root.path().join("b"));
    write(&from, "first");
    place(&from, &to).unwrap();
    write(&from, "other");
    fs::remove_file(&from).unwrap();
    write(&from, "first");
    place(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "first");
}

#[test]
fn the_folders_that_were_not_used_for_longest_go() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("model.onnx"), "graph");
    write(&root.path().join("engines/notes/x"), "not ours");
    let cache = root.path().join("engines");
    let key_of = |n: usize| hex(&Sha256::digest(n.to_le_bytes()));
    for n in 0..FOLDERS_MAX + 3 {
        let graph = root.path().join("model.onnx");
        prepare(&cache, &key_of(n), &graph, &[], "abc").unwrap();
        let second = std::time::Duration::from_secs(u64::try_from(n).unwrap());
        let folder = fs::File::open(cache.join(key_of(n))).unwrap();
        folder.set_modified(std::time::UNIX_EPOCH + second).unwrap();
    }
    let kept = (0..FOLDERS_MAX + 3).filter(|&n| cache.join(key_of(n)).exists()).collect::<Vec<_>>();
    assert_eq!(kept, (3..FOLDERS_MAX + 3).collect::<Vec<_>>());
    assert!(cache.join("notes/x").exists());
}
