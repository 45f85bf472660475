//! Mistakes in a configuration: each is named with its line and what to do, all of them at once, exit code 78.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use tests::bench::{self, BRIGHTNESS};
use tests::{Daemon, Ended, Folder, Launch, PATIENCE, Stdout, onnx};

/// The line of a configuration on which `text` stands, counted from 1.
fn line_of(config: &str, text: &str) -> Result<usize> {
    let found = config.lines().position(|line| line.contains(text));
    Ok(found.with_context(|| format!("no `{text}` in:\n{config}"))? + 1)
}

/// A configuration without mistakes.
fn good(folder: &Folder) -> Result<String> {
    let model = bench::brightness(folder, BRIGHTNESS, &onnx::brightness(13))?;
    let log = "[log]\nlevel = \"info\"\n[mqtt]\nurl = \"mqtt://127.0.0.1:1\"\n";
    let sink = "[sinks.file]\nkind = \"jsonl\"\npath = \"seen.jsonl\"\n";
    let source = "kind = \"pattern\", width = 64, height = 64, rate_hz = 5";
    let door = bench::pipeline("door", BRIGHTNESS, source, "sinks = [\"file\"]");
    let yard = bench::pipeline("yard", BRIGHTNESS, "kind = \"pattern\"", "sinks = [\"mqtt\"]");
    Ok(bench::head() + log + &model + sink + &door + &yard)
}

fn check(folder: &Folder, config: &str) -> Result<Ended> {
    folder.write("vedette.toml", config)?;
    Launch::test(folder, &["check", "--config", "vedette.toml"])?.start()?.wait_exit(PATIENCE)
}

#[test]
fn a_configuration_without_mistakes_is_called_good() -> Result<()> {
    let folder = Folder::new()?;
    let ended = check(&folder, &good(&folder)?)?;
    assert_eq!((ended.code, ended.log.as_str()), (Some(0), ""));
    Ok(())
}

#[test]
fn every_mistake_is_refused_with_its_line_and_what_to_do() -> Result<()> {
    let folder = Folder::new()?;
    let good = good(&folder)?;
    for (what, from, to, words) in [
        ("unknown key", "device =", "devise =", &["devise", "did you mean `device`?"][..]),
        ("unknown key of a source", "width = 64", "widht = 64", &["source.widht", "`width`"]),
        ("unknown table", "[log]", "[logg]", &["logg", "did you mean `log`?"]),
        ("wrong type", "rate_hz = 5", "rate_hz = \"five\"", &["a string, expected a number"]),
        ("wrong type of a table", "sinks = [\"file\"]", "sinks = 3", &["expected a list"]),
        ("impossible value", "rate_hz = 5", "rate_hz = -5", &["rate_hz", "-5 is not from 0"]),
        ("impossible size", "width = 64", "width = 999999", &["source.width", "999999"]),
        (
            "no level",
            "level = \"info\"",
            "level = \"inof\"",
            &["log.level", "did you mean `info`?"],
        ),
        ("unknown kind", "kind = \"jsonl\"", "kind = \"json\"", &["did you mean `jsonl`?"]),
        ("unknown model", "model = \"brightness\"", "model = \"bright\"", &["`brightness`"]),
        ("unknown sink", "sinks = [\"file\"]", "sinks = [\"fill\"]", &["did you mean `file`?"]),
        ("missing folder", "path = 'brightness'", "path = 'nowhere'", &["nowhere", "No such file"]),
        ("no address", "url = \"mqtt://127.0.0.1:1\"", "url = \"127.0.0.1\"", &["mqtt://HOST"]),
        ("duplicate name", "name = \"yard\"", "name = \"door\"", &["another pipeline `door`"]),
        (
            "duplicate key",
            "level = \"info\"",
            "level = \"info\"\nlevel = \"warn\"",
            &["duplicate key"],
        ),
        ("no TOML", "[log]", "[log", &["vedette.toml"]),
        ("bad name", "device = \"dut\"", "device = \"a/b\"", &["`a/b` is not a name"]),
    ] {
        let config = good.replacen(from, to, 1);
        // The mistake is on the last of the lines that stand there now.
        let line = line_of(&good, from)? + to.lines().count() - 1;
        let ended = Daemon::run(&folder, &config)?;
        assert_eq!(ended.code, Some(78), "{what}: {}", ended.log);
        let said = &ended.log;
        assert!(said.starts_with("vedette: "), "{what}: {said}");
        assert!(said.contains(&format!("line {line}")), "{what}: no line {line} in: {said}");
        for word in words {
            assert!(said.contains(word), "{what}: no `{word}` in: {said}");
        }
    }
    Ok(())
}

#[test]
fn a_load_that_nothing_would_lower_is_refused() -> Result<()> {
    let folder = Folder::new()?;
    let loaded = good(&folder)? + "[pipeline.load]\n";
    assert_eq!(check(&folder, &loaded)?.code, Some(0));
    let refused = check(&folder, &(loaded + "[telemetry]\nenabled = false\n"))?;
    assert_eq!(refused.code, Some(78));
    assert!(refused.log.contains("[pipeline.load] acts on its readings"), "{}", refused.log);
    Ok(())
}

#[test]
fn a_batch_for_a_model_that_takes_one_frame_at_a_time_is_refused_with_what_to_do() -> Result<()> {
    let folder = Folder::new()?;
    let path = "path = 'brightness'\n";
    let batched = format!("{path}batch_max = 4\nbatch_delay_ms = 5\n");
    let config = good(&folder)?.replacen(path, &batched, 1);
    let refused = check(&folder, &config)?;
    assert_eq!(refused.code, Some(78));
    for word in ["batch_max", "takes one frame at a time", "[1, 3, ", "export it with a free"] {
        assert!(refused.log.contains(word), "no `{word}` in {}", refused.log);
    }
    let shapes = bench::shapes()? + "batch_max = 4\n";
    let several = bench::pipeline("gate", "shapes", bench::TEN_A_SECOND, "sinks = [\"console\"]");
    let ended = check(&folder, &(good(&folder)? + &shapes + &several))?;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    Ok(())
}

#[test]
fn a_missing_configuration_is_named() -> Result<()> {
    let folder = Folder::new()?;
    let ended = Launch::test(&folder, &["run", "--config", "missing.toml"])?
        .start()?
        .wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(78), "{}", ended.log);
    for word in ["missing.toml", "No such file"] {
        assert!(ended.log.contains(word), "{}", ended.log);
    }
    Ok(())
}

/// Five mistakes for one configuration, each as what to replace, by what, and what is said of it.
const MISTAKES: [(&str, &str, &str); 5] = [
    ("device = \"dut\"", "device = 7", "is an integer, expected a string"),
    ("level = \"info\"", "levle = \"info\"", "did you mean `level`?"),
    ("width = 64", "width = 0", "0 is not from"),
    ("kind = \"jsonl\"", "kind = \"jsonl\"\nkeep = true", "is true or false, expected an integer"),
    ("name = \"yard\"", "name = \"door\"", "another pipeline `door`"),
];

#[test]
fn all_mistakes_are_reported_at_once_whoever_asks() -> Result<()> {
    let folder = Folder::new()?;
    let mut config = good(&folder)?;
    for (from, to, _) in MISTAKES {
        config = config.replacen(from, to, 1);
    }
    let (run, check) = (Daemon::run(&folder, &config)?, check(&folder, &config)?);
    assert_eq!((run.code, &run), (Some(78), &check));
    assert!(run.log.contains("5 mistakes"), "{}", run.log);
    for (_, _, said) in MISTAKES {
        assert!(run.log.contains(said), "no `{said}` in: {}", run.log);
    }

    let mut json = Launch::test(&folder, &["check", "--json", "--config", "vedette.toml"])?
        .stdout(Stdout::Pipe)
        .start()?;
    let mut text = String::new();
    json.take_stdout().context("no standard output")?.read_to_string(&mut text)?;
    assert_eq!(json.wait_exit(PATIENCE)?.code, Some(78));
    let verdict: serde_json::Value = serde_json::from_str(&text)?;
    assert_eq!(verdict["good"], false);
    assert_eq!(verdict["mistakes"].as_array().map(Vec::len), Some(MISTAKES.len()), "{text}");
    Ok(())
}

#[test]
fn a_variable_of_the_environment_has_the_last_word_and_is_named_where_it_is_wrong() -> Result<()> {
    let folder = Folder::new()?;
    folder.write("vedette.toml", good(&folder)?)?;
    for (value, code) in [("mqtt://127.0.0.1:2", 0), ("127.0.0.1", 78)] {
        let ended = Launch::test(&folder, &["check", "--config", "vedette.toml"])?
            .env("VEDETTE_MQTT__URL", value)
            .start()?
            .wait_exit(PATIENCE)?;
        assert_eq!(ended.code, Some(code), "{}", ended.log);
        assert_eq!(ended.log.contains("`VEDETTE_MQTT__URL`"), code != 0, "{}", ended.log);
    }
    Ok(())
}
