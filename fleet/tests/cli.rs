//! What the operator's program does so far, as a user would call it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Output};

fn fleet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vedette-fleet")).args(arguments).output().unwrap()
}

#[test]
fn help_completions_and_manual_page_are_printed_and_anything_else_is_a_usage_error() {
    for (arguments, code, says) in [
        (&["--help"][..], 0, "Usage: vedette-fleet <COMMAND>"),
        (&["completions", "bash"], 0, "complete -F _vedette__fleet"),
        (&["man"], 0, ".TH vedette-fleet 1"),
        (&[], 2, ""),
        (&["publish"], 2, ""),
    ] {
        let output = fleet(arguments);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}
