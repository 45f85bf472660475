//! The commands that need no model, as a user would call them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Output};

fn vedette(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vedette"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VEDETTE_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_ends_with_the_documented_exit_code() {
    for (arguments, code, says) in [
        (&["--version"][..], 0, ""),
        (&["kinds"], 0, ""),
        (&["completions", "zsh"], 0, ""),
        (&["man"], 0, ""),
        (&[], 2, "Usage: vedette"),
        (&["fly"], 2, "unrecognized subcommand"),
        (&["bench", "m", "--batch", "0"], 2, "a batch of 0 is not from 1 to 1024"),
        (&["bench", "/no/such/model"], 1, "model.toml`: line 1: cannot be read"),
        (&["check", "--config", "/no/such.toml"], 78, "cannot be read: No such file"),
        (&["run", "--config", "/no/such.toml"], 78, "cannot be read: No such file"),
    ] {
        let output = vedette(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn every_command_that_help_lists_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let output = vedette(&["man", "--dir", dir.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let help = text(&vedette(&["--help"]).stdout);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 5, "{help}");
    for command in commands {
        let page =
            std::fs::read_to_string(dir.path().join(format!("vedette-{command}.1"))).unwrap();
        assert!(page.contains(&format!("vedette\\-{command}")), "{command}");
    }
}

#[test]
fn kinds_and_check_speak_json_to_programs() {
    let kinds: serde_json::Value =
        serde_json::from_slice(&vedette(&["kinds", "--json"]).stdout).unwrap();
    let names: Vec<&str> =
        kinds.as_array().unwrap().iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    for name in [
        "pattern",
        "replay",
        "onnxruntime",
        "classify",
        "detect",
        "anomaly",
        "raw",
        "mqtt",
        "jsonl",
        "console",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("v.toml");
    vedette::disk::replace(&file, b"devise = 'x'\n[[pipeline]]\nname = 'a'\n").unwrap();
    let output = vedette(&["check", "--json", "--config", file.to_str().unwrap()]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), found["good"].as_bool()), (Some(78), Some(false)));
    let keys: Vec<&str> = found["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| mistake["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["pipeline.a.model", "pipeline.a.source", "devise"]);
}
