//! Bad days: what `vedette doctor` says of each, and what the service says of itself.

use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::bench::{self, BRIGHTNESS};
use tests::{Bench, Broker, Daemon, Fleet, Folder, Launch, Login, PATIENCE, Stdout, onnx, places};

const DOCTOR: [&str; 4] = ["doctor", "--json", "--config", "vedette.toml"];

/// What a doctor found.
struct Examined {
    findings: Vec<Value>,
    code: Option<i32>,
}

impl Examined {
    /// Runs a doctor that is about to be started.
    fn by(launch: Launch) -> Result<Self> {
        let mut doctor = launch.stdout(Stdout::Pipe).start()?;
        let mut text = String::new();
        doctor.take_stdout().context("no standard output")?.read_to_string(&mut text)?;
        let code = doctor.wait_exit(PATIENCE)?.code;
        let found: Value = serde_json::from_str(&text).with_context(|| format!("{text:?}"))?;
        let findings = found["findings"].as_array().context("no findings")?.clone();
        let well = findings.iter().all(|finding| finding["verdict"] != "wrong");
        ensure!(found["well"] == well, "{text}");
        ensure!(code == Some(i32::from(!well)), "exit code {code:?}: {text}");
        Ok(Self { findings, code })
    }

    /// The same in `folder`, of the configuration `config`.
    fn of(folder: &Folder, config: &str) -> Result<Self> {
        folder.write("vedette.toml", config)?;
        Self::by(Launch::test(folder, &DOCTOR)?)
    }

    /// Whether `check` came to `verdict` with all of `words` in what was said and what is to be done.
    fn says(&self, check: &str, verdict: &str, words: &[&str]) -> Result<()> {
        let fits = |finding: &&Value| {
            let text = finding.to_string();
            finding["check"] == check
                && finding["verdict"] == verdict
                && words.iter().all(|word| text.contains(word))
        };
        let found = self.findings.iter().find(fits);
        found.with_context(|| format!("no `{check}` that is {verdict} with {words:?}: {self}"))?;
        Ok(())
    }
}

impl std::fmt::Display for Examined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

/// A configuration of the small model, without a broker.
fn good(folder: &Folder) -> Result<String> {
    let model = bench::brightness(folder, BRIGHTNESS, &onnx::brightness(13))?;
    Ok(bench::head() + &model + &bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, ""))
}

/// Runs `script` in a mount namespace of its own, in `folder`, as root of it.
fn apart(folder: &Folder, script: &str) -> Result<Launch> {
    let vedette = places::vedette()?;
    let script = format!("vedette='{}'\n{script}", vedette.display());
    let args = ["--map-root-user", "--mount", "sh", "-ec", &script];
    Ok(Launch::new(&places::program("unshare")?, &places::onnxruntime()?, folder.path(), &args))
}

#[test]
fn what_is_well_is_said_beside_a_daemon_that_is_not_disturbed() -> Result<()> {
    let (bench, fleet) = (Bench::new()?, Fleet::new()?);
    let model = bench::brightness(&bench.folder, BRIGHTNESS, &onnx::brightness(13))?;
    let pipeline = bench::pipeline("door", BRIGHTNESS, bench::TEN_A_SECOND, "");
    let config = fleet.update() + &model + &pipeline;
    let mut daemon = bench.start(&config)?;
    bench.observed("door", 5)?;
    let examined = Examined::by(Launch::test(&bench.folder, &DOCTOR)?)?;
    examined.says("configuration", "well", &["1 pipeline, 1 model"])?;
    examined.says("state directory", "well", &["in use by process", "vedette run"])?;
    examined.says("disk space", "well", &["MiB free"])?;
    examined.says("ONNX Runtime", "well", &["1.31.1", "cpu"])?;
    examined.says("models", "well", &["brightness", "sha256"])?;
    examined.says("broker", "well", &["a message came back after"])?;
    examined.says("fleet", "well", &["signed for this device, fresh until"])?;
    // Neither thrown out by the broker nor by the lock.
    let seen = bench.observed("door", 5)?.len();
    bench.observed("door", seen + 5)?;
    assert_eq!(daemon.stop()?.code, Some(0));
    assert!(!daemon.log().contains("no broker; trying on"), "{}", daemon.log());
    Ok(())
}

#[test]
fn three_mistakes_are_all_told_and_the_service_says_so_and_ends_with_78() -> Result<()> {
    let folder = Folder::new()?;
    let three = good(&folder)?
        .replace("device =", "devise =")
        .replace("threads = 1", "threads = -1")
        .replace("rate_hz = 10", "rate_hz = \"ten\"");
    let words = ["3 mistakes", "devise", "threads", "rate_hz", "systemctl restart"];
    let examined = Examined::of(&folder, &three)?;
    examined.says("configuration", "wrong", &words)?;
    examined.says("models", "skipped", &["the configuration comes first"])?;
    assert_eq!(examined.code, Some(1));

    let status = last_status(&folder, &["run", "--config", "vedette.toml"], 78)?;
    assert!(status.contains("3 mistakes") && status.contains("vedette check"), "{status}");
    Ok(())
}

/// Runs `vedette` with `args` until it ends with `code`: the last `STATUS=` that a service manager heard.
fn last_status(folder: &Folder, args: &[&str], code: i32) -> Result<String> {
    let socket = folder.join("notify");
    let manager = UnixDatagram::bind(&socket)?;
    let mut daemon = Launch::test(folder, args)?.env("NOTIFY_SOCKET", &socket).start()?;
    let ended = daemon.wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(code), "{}", ended.log);
    manager.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (mut bytes, mut last) = ([0; 4096], String::new());
    while let Ok(count) = manager.recv(&mut bytes) {
        let said = String::from_utf8_lossy(&bytes[..count]).into_owned();
        if let Some(status) = said.lines().find_map(|line| line.strip_prefix("STATUS=")) {
            status.clone_into(&mut last);
        }
    }
    std::fs::remove_file(&socket)?;
    Ok(last)
}

#[test]
fn a_second_daemon_ends_with_73_and_the_first_is_named() -> Result<()> {
    let folder = Folder::new()?;
    let config = good(&folder)?;
    let first = Daemon::start(&folder, &config)?;
    first.wait_log(bench::RUNNING, PATIENCE)?;
    let status = last_status(&folder, &["run", "--config", "vedette.toml"], 73)?;
    assert!(status.contains("another vedette uses the state directory"), "{status}");
    let examined = Examined::by(Launch::test(&folder, &DOCTOR)?)?;
    examined.says("state directory", "well", &[&format!("process {}", first.pid()?)])?;
    Ok(())
}

#[test]
fn onnx_runtime_that_is_missing_or_of_another_kind_is_told_with_the_command_to_type() -> Result<()>
{
    let folder = Folder::new()?;
    folder.write("vedette.toml", good(&folder)?)?;
    // The head of a library for a processor that nobody here has.
    let mut riscv = b"\x7fELF\x02\x01\x01".to_vec();
    riscv.resize(64, 0);
    riscv[18] = 243;
    let foreign = folder.write("libforeign.so", riscv)?;
    let text = folder.write("libtext.so", "this is no library")?;
    for (library, words) in [
        (folder.join("libmissing.so"), "libmissing.so"),
        (foreign, "another processor"),
        (text, "it is no shared library"),
    ] {
        let doctor = Launch::test(&folder, &DOCTOR)?.env("ORT_DYLIB_PATH", &library);
        let examined = Examined::by(doctor)?;
        examined.says("ONNX Runtime", "wrong", &[words, "vedette setup-onnxruntime"])?;
    }
    Ok(())
}

#[test]
fn a_provider_that_is_required_and_not_in_the_library_is_told() -> Result<()> {
    let folder = Folder::new()?;
    let config = good(&folder)?.replace("[\"cpu\"]", "[\"tensorrt\", \"cpu\"]\nrequire = true");
    let examined = Examined::of(&folder, &config)?;
    examined.says("ONNX Runtime", "wrong", &["prefers tensorrt", "vedette setup-onnxruntime"])
}

#[test]
fn a_state_directory_that_is_read_only_full_or_missing_is_told_with_the_command_to_type()
-> Result<()> {
    let folder = Folder::new()?;
    folder.write("vedette.toml", good(&folder)?)?;
    std::fs::create_dir(folder.join("state"))?;
    let doctor = "exec \"$vedette\" doctor --json --config vedette.toml";
    let full = "mount -t tmpfs -o size=16k none state\nhead -c 1M /dev/zero >state/fill 2>/dev/null || true";
    for (what, words) in [
        ("mount -t tmpfs -o ro none state", ["Read-only file system", "remount,rw"]),
        (full, ["No space left on device", "journalctl --vacuum-size"]),
    ] {
        let examined = Examined::by(apart(&folder, &format!("{what}\n{doctor}"))?)?;
        examined.says("state directory", "wrong", &words)?;
    }
    std::fs::remove_dir(folder.join("state"))?;
    let examined = Examined::by(Launch::test(&folder, &DOCTOR)?)?;
    examined.says("state directory", "wrong", &["is not there", "install -d"])?;

    std::fs::create_dir(folder.join("state"))?;
    let run = "mount -t tmpfs -o ro none state\nexec \"$vedette\" run --config vedette.toml";
    let ended = apart(&folder, run)?.start()?.wait_exit(PATIENCE)?;
    assert_eq!(ended.code, Some(73), "{}", ended.log);
    assert!(ended.log.contains("Read-only file system"), "{}", ended.log);
    Ok(())
}

#[test]
fn a_broker_that_is_unknown_away_or_strict_is_told() -> Result<()> {
    let folder = Folder::new()?;
    let good = good(&folder)?;
    let login = Login { user: "device".to_owned(), password: "right".to_owned() };
    let strict = Broker::with(Some(&login), false)?;
    folder.write("password", "wrong")?;
    tests::folder::set_mode(&folder.join("password"), 0o600)?;
    let wrong =
        format!("url = \"{}\"\nusername = \"device\"\npassword_file = \"password\"", strict.url());
    for (mqtt, words) in [
        (
            "url = \"mqtt://no-such-broker.invalid\"".to_owned(),
            ["nobody knows the name", "getent hosts"],
        ),
        ("url = \"mqtt://127.0.0.1:1\"".to_owned(), ["nothing listens there", "ping"]),
        (wrong, ["the broker refuses the login", "sudoedit"]),
    ] {
        let config = good.replacen("[models", &format!("[mqtt]\n{mqtt}\n[models"), 1);
        Examined::of(&folder, &config)?.says("broker", "wrong", &words)?;
    }
    Ok(())
}

#[test]
fn a_broker_whose_password_is_the_services_credential_is_asked_with_it_or_not_at_all() -> Result<()>
{
    let folder = Folder::new()?;
    let login = Login { user: "device".to_owned(), password: "right".to_owned() };
    let strict = Broker::with(Some(&login), false)?;
    let mqtt = format!(
        "[mqtt]\nurl = \"{}\"\nusername = \"device\"\npassword_file = \"credential:mqtt\"\n[models",
        strict.url()
    );
    let config = good(&folder)?.replacen("[models", &mqtt, 1);
    let examined = Examined::of(&folder, &config)?;
    examined.says("broker", "skipped", &["the credential `mqtt` is the service's"])?;
    let script = "mount -t tmpfs none /run\nmkdir -p /run/credentials/vedette.service\n\
                  echo right >/run/credentials/vedette.service/mqtt\n\
                  exec \"$vedette\" doctor --json --config vedette.toml";
    let examined = Examined::by(apart(&folder, script)?)?;
    examined.says("broker", "well", &["a message came back after"])
}

#[test]
fn a_fleet_that_is_away_or_of_somebody_else_is_told_and_nothing_that_is_trusted_changes()
-> Result<()> {
    let (folder, fleet, other) = (Folder::new()?, Fleet::new()?, Fleet::new()?);
    let good = good(&folder)?;
    let root = |fleet: &Fleet| fleet.folder().join("keys/root.json");
    let update = |url: &str, root: PathBuf| {
        format!("[update]\nurl = \"{url}\"\nroot = '{}'\n", root.display())
    };
    for (update, words) in [
        (update("http://127.0.0.1:1", root(&fleet)), ["cannot be read", "curl"]),
        (update(fleet.url(), root(&other)), ["wrong signatures", "sha256sum"]),
    ] {
        let config = good.replacen("[models", &format!("{update}[models"), 1);
        Examined::of(&folder, &config)?.says("fleet", "wrong", &words)?;
        assert!(!Path::new(&folder.join("state/tuf")).exists());
    }
    Ok(())
}
