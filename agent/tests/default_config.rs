//! The annotated configuration says what the code reads: as it is, and with everything in it switched on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use vedette::config::Config;

/// Loads `text` as a configuration file, with the repository's model.
fn check(text: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("vedette.toml");
    vedette::disk::replace(&file, text.as_bytes()).unwrap();
    // What the file names beside itself; secrets are the owner's alone.
    for name in ["root.json", "ca.pem", "device.pem", "device.key", "token"] {
        let path = dir.path().join(name);
        vedette::disk::replace(&path, b"any").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let variables = [
        ("VEDETTE_MODELS__SHAPES__PATH", root.join("models/shapes")),
        ("VEDETTE_MODELS__SHAPES-SMALL__PATH", root.join("models/shapes")),
        ("VEDETTE_MODELS__VIBRATION__PATH", root.join("models/vibration")),
        // Any file will do: it is not opened before `run`.
        ("VEDETTE_ONNXRUNTIME", root.join("LICENSE")),
    ];
    let variables = variables.map(|(name, path)| (name.to_owned(), path.display().to_string()));
    if let Err(mistakes) = Config::load(&file, variables.into_iter()) {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"));
    }
}

/// The line without its `# `, where what follows is a setting or a table.
fn uncommented(line: &str) -> &str {
    match line.strip_prefix("# ") {
        Some(rest) if rest.starts_with('[') => rest,
        Some(rest) => match rest.split_once(" = ") {
            Some((key, _)) if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => rest,
            _ => line,
        },
        None => line,
    }
}

#[test]
fn the_annotated_configuration_is_good_and_so_is_what_it_has_commented_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/vedette.toml");
    let text = std::fs::read_to_string(path).unwrap();
    check(&text);
    let all: Vec<&str> = text.lines().map(uncommented).collect();
    assert!(all.iter().zip(text.lines()).filter(|(now, then)| *now != then).count() > 10);
    check(&all.join("\n"));
}
