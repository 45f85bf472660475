//! A release in waves that is halted and resumed, and a folder that cannot be one.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::Desk;

/// What stands for an agent that finds every folder good: none is built for this package's tests.
const AGENT: &str = "#!/bin/sh\necho '{\"passed\":true}'\n";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.must("init repo --keys keys --unencrypted");
    std::fs::create_dir(desk.path("model")).unwrap();
    desk.write("model/model.toml", "name = \"pose.keypoints\"\nversion = \"1.0.0\"\n");
    desk.write("model/model.onnx", "a graph");
    desk.write("agent", AGENT);
    std::fs::set_permissions(desk.path("agent"), PermissionsExt::from_mode(0o755)).unwrap();
    desk
}

fn rollout(desk: &Desk) -> Value {
    let status: Value = serde_json::from_str(&desk.must("status repo --json")).unwrap();
    status["rollouts"][0].clone()
}

#[test]
fn a_halt_says_since_when_and_a_resume_what_it_moved() {
    let desk = desk();
    desk.must("publish repo model --keys keys --vedette ./agent");
    desk.must("rollout repo pose.keypoints 1.0.0 --keys keys --waves 10,100 --every 1h");
    let before = rollout(&desk);
    let said = desk.must("halt repo pose.keypoints --keys keys");
    let halted = rollout(&desk);
    let since = halted["halted_at"].as_str().unwrap();
    assert!(said.contains(&format!("halted since {since}")), "{said}");
    // Times are whole seconds: the next one has to begin.
    let mut said = desk.must("resume repo pose.keypoints --keys keys");
    while !said.contains("the waves that had not begun are later by ") {
        desk.must("halt repo pose.keypoints --keys keys");
        said = desk.must("resume repo pose.keypoints --keys keys");
    }
    let after = rollout(&desk);
    assert_eq!((&after["halted"], after.get("halted_at")), (&Value::Bool(false), None));
    let wave = |rollout: &Value, at: usize| rollout["waves"][at]["not_before"].clone();
    assert_eq!(wave(&after, 0), wave(&before, 0));
    assert_ne!(wave(&after, 1), wave(&before, 1));
}

#[test]
fn a_file_whose_name_no_device_would_take_is_called_so() {
    let desk = desk();
    desk.write("model/a picture.png", "");
    let (code, said) = desk.run("publish repo model --keys keys --vedette ./agent");
    let why = "no device would take `model/a picture.png`: `a picture.png` is not a name";
    assert!(code == 1 && said.contains(why), "{said}");
}
