//! Files of the kernel that do not answer: each is `null`, and none is asked again at every sample.
//!
//! The kernel's errors are given by a small library that is preloaded into a real process: it answers reads of the
//! files that are named to it with an error, as a powered-off sensor's driver does, and writes down each. The
//! process is this test again.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod boards;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vedette::telemetry::Tree;
use vedette::telemetry::sysfs::Sysfs;

/// The tree that the process is to read; set only for the one that this test starts.
const ROOT: &str = "VEDETTE_REFUSAL_TEST_ROOT";
/// Samples of that process, one a second of its clock.
const SAMPLES: u64 = 60;

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* REFUSE is `path=errno;path=errno`, REFUSED the file in which each refusal is written down. */
static int refusal(int fd) {
    char link[64], path[4096], all[16384];
    const char *refuse = getenv("REFUSE"), *refused = getenv("REFUSED");
    if (!refuse || !refused) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    strncpy(all, refuse, sizeof all - 1);
    all[sizeof all - 1] = 0;
    char *rest = all;
    for (char *one; (one = strsep(&rest, ";"));) {
        char *is = strchr(one, '=');
        if (!is) continue;
        *is = 0;
        size_t end = strlen(one);
        if ((size_t)length < end || strcmp(path + length - end, one)) continue;
        int log = open(refused, O_WRONLY | O_APPEND | O_CREAT, 0600);
        dprintf(log, "%s\n", one);
        close(log);
        return atoi(is + 1);
    }
    return 0;
}

ssize_t read(int fd, void *bytes, size_t length) {
    int error = refusal(fd);
    if (error) { errno = error; return -1; }
    return ((ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read"))(fd, bytes, length);
}
"#;

/// In the process that is started for it: samples, and says what it read.
#[expect(clippy::print_stdout, reason = "the process that asks reads it there")]
fn sample_for(root: &Path) {
    let mut sysfs = Sysfs::new(Tree::open(root).unwrap(), false);
    let mut last = None;
    for second in 1..=SAMPLES {
        last = Some(sysfs.sample(Duration::from_secs(second)));
    }
    println!("\nREADINGS {}", serde_json::to_string(&last.unwrap()).unwrap());
}

#[test]
fn a_file_that_answers_an_error_is_null_and_is_left_alone() {
    if let Some(root) = std::env::var_os(ROOT) {
        return sample_for(Path::new(&root));
    }
    let files = boards::agx_orin()
        .file("sys/devices/platform/17000000.ga10b/load", "!EACCES")
        .file("sys/class/hwmon/hwmon3/curr2_input", "!EINVAL");
    let dir = files.directory();
    let tools = tempfile::tempdir().unwrap();
    let (source, shim) = (tools.path().join("shim.c"), tools.path().join("shim.so"));
    vedette::disk::replace(&source, SHIM.as_bytes()).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(&source).status();
    assert!(built.unwrap().success());
    let refuse: Vec<String> =
        files.refusing().iter().map(|(path, errno)| format!("{path}={errno}")).collect();
    assert_eq!(refuse.len(), 4, "{refuse:?}");
    let log = tools.path().join("refused");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["a_file_that_answers_an_error_is_null_and_is_left_alone", "--exact", "--nocapture"])
        .env(ROOT, dir.path())
        .env("LD_PRELOAD", &shim)
        .env("REFUSE", refuse.join(";"))
        .env("REFUSED", &log)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("READINGS "));
    let readings: serde_json::Value = serde_json::from_str(
        line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))),
    )
    .unwrap();
    for (pointer, value) in [
        ("/thermal/zones/GPU-therm/temperature_c", serde_json::json!(null)),
        ("/thermal/zones/CV0-therm/temperature_c", serde_json::json!(null)),
        ("/thermal/zones/CPU-therm/temperature_c", serde_json::json!(48.0)),
        ("/gpu/load_percent", serde_json::json!(null)),
        ("/gpu/load_source", serde_json::json!(null)),
        ("/power/rails/VDD_CPU_CV/power_mw", serde_json::json!(null)),
        ("/power/rails/VDD_GPU_SOC/power_mw", serde_json::json!(3800)),
        ("/power/total_mw", serde_json::json!(null)),
    ] {
        assert_eq!(readings.pointer(pointer), Some(&value), "{pointer} in {readings:#}");
    }
    let refused = std::fs::read_to_string(log).unwrap();
    for path in refuse.iter().filter_map(|one| one.split('=').next()) {
        let asked = refused.lines().filter(|line| *line == path).count();
        // At the first sample, and after half a minute each.
        assert!((2..=3).contains(&asked), "{path} was asked {asked} times in {SAMPLES} samples");
    }
}
