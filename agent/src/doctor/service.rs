//! Does the service run, and why not? And is the package whole?

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Finding, Patient};
use crate::supervisor::exit;

const CHECK: &str = "service";
const UNIT: &str = "vedette.service";
/// What systemd is asked for.
const PROPERTIES: &str = "LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainCode,ExecMainStatus,\
    StatusText,NRestarts,WatchdogUSec,MainPID";
/// Where systemd runs.
const SYSTEMD: &str = "/run/systemd/system";
/// `ExecMainCode` of a process that ended by itself.
const EXITED: &str = "1";
/// `ExecMainCode` where there has been no process.
const NEVER_RAN: &str = "0";

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    if !patient.is_service {
        let said = format!("it has another configuration than `{}`", patient.path.display());
        return vec![Finding::skipped(CHECK, said)];
    }
    let package = answer("dpkg-query", &["--show", "--showformat=${Status}", "vedette"]);
    let mut findings: Vec<Finding> = package.as_deref().and_then(of_package).into_iter().collect();
    if !runs_systemd() {
        findings.push(Finding::skipped(CHECK, "systemd does not run here"));
        return findings;
    }
    let Some(text) = asked(PROPERTIES) else {
        let todo = ["systemctl status vedette"];
        findings.push(Finding::wrong(CHECK, "systemd does not answer", todo));
        return findings;
    };
    let state_dir = patient.config.as_ref().ok().map(|config| config.state_dir.join("lock"));
    let holder = state_dir.and_then(|lock| super::state::holder(&lock));
    findings.push(judge(&properties(&text), holder.as_ref()));
    findings
}

fn runs_systemd() -> bool {
    Path::new(SYSTEMD).is_dir()
}

/// What systemd says of the unit's `properties`, a line each; `None` where it does not answer.
pub(super) fn asked(properties: &str) -> Option<String> {
    runs_systemd().then(|| answer("systemctl", &["show", UNIT, "--property", properties]))?
}

/// What `program` prints; `None` where it is not there or fails.
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is wrong with the package in this state; `None` where nothing is, or where it is not installed.
fn of_package(status: &str) -> Option<Finding> {
    let state = status.split_whitespace().last().unwrap_or_default();
    if ["installed", "not-installed", "config-files", ""].contains(&state) {
        return None;
    }
    let said = format!("the package is {state}: an installation was cut short");
    let todo = ["sudo dpkg --configure -a", "sudo apt-get install --fix-broken"];
    Some(Finding::wrong(CHECK, said, todo))
}

fn properties(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once('=')).collect()
}

fn judge(of: &BTreeMap<&str, &str>, holder: Option<&(u32, String)>) -> Finding {
    let get = |key: &str| of.get(key).copied().unwrap_or_default();
    let (active, status) = (get("ActiveState"), get("StatusText"));
    if get("LoadState") == "not-found" {
        return Finding::skipped(CHECK, "it is not installed: the daemon is run by hand here");
    }
    let told = if status.is_empty() { String::new() } else { format!(": {status}") };
    let restarts = match get("NRestarts") {
        "" | "0" => String::new(),
        count => format!(", restarted {count} times"),
    };
    match active {
        "active" => {
            let watched = if ["", "0", "infinity"].contains(&get("WatchdogUSec")) {
                "no watchdog".to_owned()
            } else {
                format!("watchdog {}", get("WatchdogUSec"))
            };
            if get("UnitFileState") == "disabled" {
                let said = "it runs, and will not after the next boot";
                return Finding::wrong(CHECK, said, ["sudo systemctl enable vedette"]);
            }
            return Finding::well(CHECK, format!("active, {watched}{restarts}{told}"));
        }
        "activating" if get("SubState") == "start" => {
            return Finding::well(CHECK, format!("starting{restarts}{told}"));
        }
        "inactive" => {
            let todo = ["sudo systemctl enable --now vedette"];
            return Finding::wrong(CHECK, "it does not run: somebody stopped it", todo);
        }
        _ => {}
    }
    let (why, mut todo) = ended(get("Result"), get("ExecMainCode"), get("ExecMainStatus"), holder);
    todo.push("journalctl -u vedette -n 50 --no-pager".to_owned());
    Finding::wrong(CHECK, format!("{active}{restarts}, {why}{told}"), todo)
}

/// Why it ended, in words, and what to type.
fn ended(
    result: &str,
    code: &str,
    status: &str,
    holder: Option<&(u32, String)>,
) -> (String, Vec<String>) {
    let restart = "sudo systemctl restart vedette".to_owned();
    if result == "watchdog" {
        let why = "the watchdog ended it: an engine or the update path made no progress";
        return (why.to_owned(), vec![restart]);
    }
    if result == "timeout" {
        let why = "it was not ready, or not at its end, in the time that systemd gives it";
        return (why.to_owned(), vec!["systemctl status vedette".to_owned(), restart]);
    }
    if code == NEVER_RAN {
        let why = format!("systemd could not start it ({result})");
        return (why, vec!["systemctl status vedette".to_owned(), restart]);
    }
    if code != EXITED {
        let why = if result == "oom-kill" {
            "it was killed: this device had no memory left".to_owned()
        } else {
            format!("signal {status} killed it")
        };
        return (why, vec!["sudo dmesg | tail -50".to_owned(), restart]);
    }
    let is = |code: u8| status.parse() == Ok(code);
    if is(exit::CONFIG) {
        let todo = vec!["vedette check".to_owned(), restart];
        ("the configuration was refused (78); it is not started again by itself".to_owned(), todo)
    } else if is(exit::STATE) {
        match holder {
            Some((pid, command)) => (
                format!("process {pid} ({command}) holds the state directory (73)"),
                vec![format!("sudo kill {pid}     # or stop what started it")],
            ),
            None => ("the state directory cannot be used (73)".to_owned(), vec![restart]),
        }
    } else if is(exit::ACCELERATOR) {
        ("the accelerator was lost (70)".to_owned(), vec!["sudo reboot".to_owned()])
    } else if status == "203" {
        let todo = vec!["file /usr/bin/vedette; uname -m".to_owned()];
        ("the program cannot be started (203): is it for this processor?".to_owned(), todo)
    } else {
        (format!("it ended with {status}"), vec![restart])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn judged(text: &str, holder: Option<(u32, String)>) -> Finding {
        judge(&properties(text), holder.as_ref())
    }

    #[test]
    fn each_end_of_the_service_has_its_words_and_its_command() {
        let other = || Some((77, "vedette run".to_owned()));
        let failed = "LoadState=loaded\nActiveState=failed\nExecMainCode=1\n";
        for (state, holder, said, todo) in [
            ("Result=exit-code\nExecMainStatus=78", None, "refused (78)", "vedette check"),
            ("Result=exit-code\nExecMainStatus=73", None, "state directory", "restart"),
            ("Result=exit-code\nExecMainStatus=73", other(), "process 77", "kill 77"),
            ("Result=exit-code\nExecMainStatus=70", None, "accelerator", "reboot"),
            ("Result=exit-code\nExecMainStatus=203", None, "processor", "file /usr/bin/vedette"),
            ("Result=exit-code\nExecMainStatus=1", None, "ended with 1", "restart"),
            ("Result=watchdog\nExecMainStatus=9", None, "watchdog", "journalctl"),
            ("Result=timeout\nExecMainCode=2\nExecMainStatus=15", None, "not ready", "status"),
            ("Result=resources\nExecMainCode=0\nExecMainStatus=0", None, "(resources)", "status"),
            ("Result=oom-kill\nExecMainCode=2\nExecMainStatus=9", None, "memory", "dmesg"),
            ("Result=signal\nExecMainCode=2\nExecMainStatus=11", None, "signal 11", "dmesg"),
        ] {
            let finding = judged(&format!("{failed}{state}\n"), holder);
            assert_eq!(finding.verdict, Verdict::Wrong, "{finding:?}");
            assert!(finding.said.contains(said), "{said}: {finding:?}");
            assert!(finding.todo.concat().contains(todo), "{todo}: {finding:?}");
        }
    }

    #[test]
    fn a_service_that_runs_is_well_where_it_will_after_the_next_boot_too() {
        let active =
            "LoadState=loaded\nActiveState=active\nWatchdogUSec=1min\nStatusText=1 pipeline\n";
        let well = judged(&format!("{active}UnitFileState=enabled\nNRestarts=2\n"), None);
        assert_eq!(well.verdict, Verdict::Well);
        assert_eq!(well.said, "active, watchdog 1min, restarted 2 times: 1 pipeline");
        let disabled = judged(&format!("{active}UnitFileState=disabled\n"), None);
        assert_eq!(disabled.verdict, Verdict::Wrong);
        assert_eq!(judged("LoadState=not-found\n", None).verdict, Verdict::Skipped);
        let stopped = judged("LoadState=loaded\nActiveState=inactive\n", None);
        assert!(stopped.todo.concat().contains("enable --now"), "{stopped:?}");
    }

    #[test]
    fn a_package_that_was_cut_short_is_said_and_a_whole_one_is_not() {
        for (status, wrong) in [
            ("install ok installed", false),
            ("deinstall ok config-files", false),
            ("unknown ok not-installed", false),
            ("install ok half-configured", true),
            ("install ok unpacked", true),
            ("install reinstreq half-installed", true),
        ] {
            assert_eq!(of_package(status).is_some(), wrong, "{status}");
        }
    }
}
