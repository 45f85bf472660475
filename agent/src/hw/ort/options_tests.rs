//! Settings, from TOML.

use std::path::Path;

use crate::config::tree::{At, parse};
use crate::config::{Mistakes, Section};

use super::{Options, Provider, TensorRt};

fn read(text: &str) -> (Options, Vec<String>) {
    let (file, mistakes) = (Path::new("f"), Mistakes::new());
    let table = parse(text, file).unwrap();
    let top = Section::top(&table, At::File(file.into(), 1), Path::new("/base"), &mistakes);
    top.text("kind");
    let options = Options::read(&top);
    top.finish();
    (options, mistakes.into_vec().iter().map(|m| m.to_string().replace("`f`: ", "")).collect())
}

#[test]
fn nothing_said_means_the_best_provider_that_works_and_threads_that_sleep() {
    let (options, mistakes) = read("");
    assert_eq!((options.clone(), mistakes), (Options::default(), vec![]));
    assert_eq!(options.providers, [Provider::Tensorrt, Provider::Cuda, Provider::Cpu]);
    assert!(!options.require && !options.spinning);
}

#[test]
fn the_example_is_read_without_a_mistake() {
    let (options, mistakes) = read(super::EXAMPLE);
    assert_eq!(mistakes, Vec::<String>::new());
    assert!(options.threads == 2);
    let TensorRt { profiles, .. } = options.tensorrt;
    assert_eq!((profiles[0].input.as_str(), profiles[0].opt[0]), ("images", 4));
}

#[test]
fn every_mistake_is_told_with_its_line_and_a_suggestion() {
    let text = "\
providers = ['tensort', 'cpu', 'cpu']
threads = 999
optimization = 'al'
spining = true
[tensorrt]
dla_core = 2
calibration_table = 'none.table'
workspace_bytes = -1
[tensorrt.profile.images]
min = [1, 3]
opt = [2]
max = [0]
[cuda]
arena = 'double'
";
    let (_, mistakes) = read(text);
    assert_eq!(
        mistakes,
        [
            "line 1: `providers`: unknown value `tensort`; did you mean `tensorrt`?",
            "line 1: `providers`: `cpu` is there twice",
            "line 3: `optimization`: unknown value `al`; did you mean `all`?",
            "line 2: `threads`: 999 is not from 0 to 256",
            "line 8: `tensorrt.workspace_bytes`: -1 is not from 0 to 1099511627776",
            "line 6: `tensorrt.dla_core`: 2 is not from 0 to 1",
            "line 12: `tensorrt.profile.images.max`: is not a list of integers from 1",
            "line 9: `tensorrt.profile.images`: needs `min`, `opt` and `max` of the same rank, \
             each at least the one before",
            "line 7: `tensorrt.calibration_table`: is of no use without `int8 = true`",
            "line 7: `tensorrt.calibration_table`: there is no file `/base/none.table`",
            "line 14: `cuda.arena`: unknown value `double`; did you mean `doubling`?",
            "line 4: `spining`: unknown key; did you mean `spinning`?",
        ]
    );
}
