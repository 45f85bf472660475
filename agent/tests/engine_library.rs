//! Libraries that are missing, are something else, or are too old: one clear error each, and no panic.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use vedette::hw::ort::Runtime;
use vedette::pipeline::engine::EngineError;

fn refused(path: &Path) -> (String, String, Vec<String>) {
    match Runtime::open(Some(path)).unwrap_err() {
        EngineError::Library { path, advice, source } => {
            let mut chain = Vec::new();
            let mut next: Option<&dyn std::error::Error> = match source.as_deref() {
                Some(error) => Some(error),
                None => None,
            };
            while let Some(error) = next {
                chain.push(error.to_string());
                next = error.source();
            }
            (path, advice, chain)
        }
        other => panic!("{other}"),
    }
}

/// Compiles a library whose `OrtGetApiBase` is `base`.
fn compiled(folder: &Path, source: &str) -> PathBuf {
    let (c, so) = (folder.join("stub.c"), folder.join("libonnxruntime.so"));
    std::io::Write::write_all(&mut std::fs::File::create(&c).unwrap(), source.as_bytes()).unwrap();
    let status = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&so).arg(&c).status();
    assert!(status.expect("gcc is needed for this test").success());
    so
}

const BASE: &str = r#"
static const void *api(unsigned version) { return 0; }
static const char *version(void) { return VERSION; }
static const struct { const void *(*a)(unsigned); const char *(*v)(void); } base = { api, version };
const void *OrtGetApiBase(void) { return &base; }
"#;

#[test]
fn a_missing_library_is_named_with_what_the_loader_says_and_what_to_do() {
    let (path, advice, chain) = refused(Path::new("/none/libonnxruntime.so"));
    assert_eq!(path, "/none/libonnxruntime.so");
    assert!(advice.contains("vedette setup-onnxruntime"), "{advice}");
    assert!(chain.concat().contains("cannot open shared object file"), "{chain:?}");
}

#[test]
fn an_empty_folder_and_a_file_that_is_no_library_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, advice, _) = refused(folder.path());
    assert_eq!(Path::new(&path), folder.path().join("libonnxruntime.so"));
    assert!(advice.contains("install"), "{advice}");
    std::fs::File::create(folder.path().join("libonnxruntime.so")).unwrap();
    let (_, advice, chain) = refused(folder.path());
    assert!(advice.contains("it is no shared library"), "{advice}");
    assert!(!chain.is_empty());
}

#[test]
fn a_library_for_another_processor_is_told_with_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libonnxruntime.so");
    let (machine, other) = match std::env::consts::ARCH {
        "aarch64" => (62, "x86_64"),
        _ => (183, "aarch64"),
    };
    let mut head = vec![0; 64];
    head[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    head[18] = machine;
    vedette::disk::replace(&path, &head).unwrap();
    let (_, advice, _) = refused(&path);
    let words = format!("it is for {other}, this machine is {}", std::env::consts::ARCH);
    assert!(advice.starts_with(&words), "{advice}");
}

#[test]
fn a_library_that_is_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let library = compiled(folder.path(), "int something_else(void) { return 1; }\n");
    let (_, advice, _) = refused(&library);
    assert_eq!(advice, "it is no ONNX Runtime: it has no `OrtGetApiBase`");
}

#[test]
fn a_library_that_is_too_old_is_told_with_both_versions() {
    for (version, words) in [
        ("\"1.10.0\"", "it is version 1.10.0, needed is 1.18 or newer"),
        ("\"1.17.3\"", "it is version 1.17.3, needed is 1.18 or newer"),
        ("\"nonsense\"", "it is version nonsense, needed is 1.18 or newer"),
        ("0", "it is version (unknown), needed is 1.18 or newer"),
        ("\"1.18.0\"", "version 1.18.0 has no interface of 1.18"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let source = format!("#define VERSION {version}\n{BASE}");
        let (_, advice, _) = refused(&compiled(folder.path(), &source));
        assert!(advice.starts_with(words), "{version}: {advice}");
    }
}

#[test]
fn a_library_without_its_base_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let library = compiled(folder.path(), "const void *OrtGetApiBase(void) { return 0; }\n");
    assert_eq!(refused(&library).1, "it answers no interface");
}
