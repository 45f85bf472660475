//! Models and libraries that cannot be used: one clear error, exit code 78, before anything runs.

use anyhow::Result;
use tests::bench::{self, BRIGHTNESS};
use tests::{Daemon, Folder, Launch, PATIENCE, onnx, places};

/// A model folder that is made from a good one, and what is said of it.
struct Bad {
    what: &'static str,
    /// Makes the folder `model` bad.
    spoil: fn(&Folder) -> Result<()>,
    words: &'static [&'static str],
}

/// The graph of the folder `model` becomes `bytes`.
fn graph(folder: &Folder, bytes: impl AsRef<[u8]>) -> Result<()> {
    folder.write("model/model.onnx", bytes).map(drop)
}

const BAD: [Bad; 9] = [
    Bad {
        what: "no graph",
        spoil: |folder| Ok(std::fs::remove_file(folder.join("model/model.onnx"))?),
        words: &["model.onnx", "No such file"],
    },
    Bad { what: "empty", spoil: |folder| graph(folder, b""), words: &["model.onnx"] },
    Bad {
        what: "not ONNX",
        spoil: |folder| graph(folder, b"<!DOCTYPE html><html>404</html>"),
        words: &["model.onnx"],
    },
    Bad {
        what: "truncated",
        spoil: |folder| {
            let whole = std::fs::read(folder.join("model/model.onnx"))?;
            graph(folder, &whole[..whole.len() / 2])
        },
        words: &["model.onnx"],
    },
    Bad {
        what: "an operator set of the future",
        spoil: |folder| {
            folder.write("model/model.toml", onnx::BRIGHTNESS_TOML)?;
            graph(folder, onnx::brightness(9999))
        },
        words: &["model.onnx", "opset"],
    },
    Bad {
        what: "another input shape than it says",
        spoil: |folder| folder.edit("model/model.toml", "320, 320", "640, 640"),
        words: &["images", "320", "640"],
    },
    Bad {
        what: "another output than it says",
        spoil: |folder| folder.edit("model/model.toml", "8, 2100", "84, 8400"),
        words: &["output0", "2100", "8400"],
    },
    Bad {
        what: "labels too few",
        spoil: |folder| {
            let four = r#"["circle", "square", "triangle", "star"]"#;
            folder.edit("model/model.toml", four, r#"["circle", "square"]"#)
        },
        words: &["label", "2", "4"],
    },
    Bad {
        what: "no model.toml",
        spoil: |folder| Ok(std::fs::remove_file(folder.join("model/model.toml"))?),
        words: &["model.toml", "No such file"],
    },
];

#[test]
fn a_model_that_cannot_run_is_refused_by_name_and_reason() -> Result<()> {
    let folder = Folder::new()?;
    let pipeline = bench::pipeline("door", "watch", bench::TEN_A_SECOND, "");
    let config = bench::head() + &bench::model("watch", "model") + &pipeline;
    for Bad { what, spoil, words } in BAD {
        folder.copy_model(&places::model("shapes")?, "model")?;
        spoil(&folder)?;
        let ended = Daemon::run(&folder, &config)?;
        let said = &ended.log;
        assert_eq!(ended.code, Some(78), "{what}: {said}");
        assert!(said.contains("vedette: "), "{what}: {said}");
        for word in words.iter().chain(&["watch"]) {
            assert!(said.contains(word), "{what}: no `{word}` in: {said}");
        }
        assert!(!said.contains("panicked"), "{what}: {said}");
    }
    Ok(())
}

#[test]
fn without_onnx_runtime_the_daemon_says_what_to_install_and_where() -> Result<()> {
    let folder = Folder::new()?;
    let model = bench::brightness(&folder, BRIGHTNESS, &onnx::brightness(13))?;
    let config =
        bench::head() + &model + &bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    folder.write("vedette.toml", &config)?;
    let other = folder.write("libother.so", "this is no library")?;
    let run = ["run", "--config", "vedette.toml"];
    for (what, library, words) in [
        ("missing", folder.join("libmissing.so"), &["libmissing.so", "ORT_DYLIB_PATH"][..]),
        ("something else", other, &["libother.so"]),
    ] {
        let ended = Launch::test(&folder, &run)?
            .env("ORT_DYLIB_PATH", &library)
            .start()?
            .wait_exit(PATIENCE)?;
        assert_eq!(ended.code, Some(78), "{what}: {}", ended.log);
        for word in words {
            assert!(ended.log.contains(word), "{what}: no `{word}` in: {}", ended.log);
        }
        assert!(!ended.log.contains("panicked"), "{what}: {}", ended.log);
    }
    let named = format!("onnxruntime = \"libnowhere.so\"\n{config}");
    let ended = Daemon::run(&folder, &named)?;
    assert_eq!(ended.code, Some(78), "{}", ended.log);
    assert!(ended.log.contains("line 1: `onnxruntime`: there is no such file"), "{}", ended.log);
    Ok(())
}
