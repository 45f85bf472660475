//! The commands that need no model, as a user would call them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod boards;

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
        (&["probe", "--sysroot", "/no/such/tree"], 1, "cannot open `/no/such/tree`: No such file"),
        (&["probe", "--sysroot", "Cargo.toml"], 1, "`Cargo.toml` is no capture of a board"),
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
        let name = command.replace('-', "\\-");
        assert!(page.contains(&format!("vedette\\-{name}")), "{command}");
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
        "orin-nano",
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

#[test]
fn a_board_is_printed_packed_and_read_back() {
    let (board, dir) = (boards::orin_nano(), tempfile::tempdir().unwrap());
    let (root, file) = (board.capture(dir.path()), dir.path().join("again.tar"));
    let (root, file) = (root.to_str().unwrap(), file.to_str().unwrap());
    let packed = vedette(&["probe", "--sysroot", root, "--capture", file]);
    assert!(text(&packed.stdout).contains("files in"), "{packed:?}");
    let page = text(&vedette(&["probe", "--sysroot", file]).stdout);
    for line in [
        "Board: Jetson Orin Nano",
        "  software               L4T 36.5.0, JetPack 6.2.2",
        "  power mode             MAXN_SUPER (2)",
        "  load                   42.7 % (sysfs)",
        "  cv0-thermal            –  (slower at 99 °C, off at 104.5 °C)",
        "  cpu-thermal            47.4 °C  (slower at 99 °C, off at 104.5 °C)",
        "  total                  7.77 W",
        "  VDD_IN                 7.77 W  5016 mV  1550 mA  (limit 4984 mA)",
        "  over-current (OC3)     27390 events",
        "  fan                    100.0 %, 2140 rpm",
        "  processor              –",
    ] {
        assert!(page.lines().any(|found| found == line), "no `{line}` in\n{page}");
    }
    assert!(!page.contains('\x1b'), "a pipe is no terminal");
    let json = |path: &str| {
        let output = vedette(&["probe", "--json", "--sysroot", path]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(json(file), json(root));
    assert_eq!(
        json(file)["thermal"]["zones"]["cv0-thermal"]["temperature_c"],
        serde_json::Value::Null
    );
}

#[test]
fn this_machine_is_probed_whatever_it_is() {
    let output = vedette(&["probe", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let readings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(readings["host"]["uptime_s"].as_u64().is_some_and(|uptime| uptime > 0), "{readings:#}");
    assert!(
        readings["memory"]["total_bytes"].as_u64().is_some_and(|bytes| bytes > 0),
        "{readings:#}"
    );
    assert_eq!(readings["board"]["serial"], serde_json::Value::Null);
}
