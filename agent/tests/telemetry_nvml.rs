//! NVIDIA's library as it is met in the field: absent, of another version than its driver, without answers, with a
//! GPU that falls off the bus and comes back.
//!
//! It is a real shared library, opened at run time by the same code as the real one; what it answers stands in a
//! file. The real one has never answered here: this machine has no GPU.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vedette::hw::nvml::Nvml;

/// NVML by its public interface, as far as it is asked. The file beside it says what it answers: the result of
/// initialising, and of every question.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int answer(int place) {
    Dl_info info;
    char path[4096];
    int answers[2] = {0, 0};
    dladdr((void *)&answer, &info);
    snprintf(path, sizeof path, "%s.answers", info.dli_fname);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%d %d", &answers[0], &answers[1]) != 2) answers[0] = 999;
        fclose(file);
    }
    return answers[place];
}

typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } process;

#define ASK() do { int result = answer(1); if (result) return result; } while (0)

int nvmlInit_v2(void) { return answer(0); }
int nvmlInitWithFlags(unsigned flags) { (void)flags; return answer(0); }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    (void)index; *device = (void *)1; return 0;
}
int nvmlDeviceGetName(void *d, char *name, unsigned length) {
    (void)d; strncpy(name, "NVIDIA RTX A2000", length); return 0;
}
int nvmlDeviceGetUtilizationRates(void *d, utilization *u) { (void)d; ASK(); u->gpu = 37; u->memory = 5; return 0; }
int nvmlDeviceGetTemperature(void *d, int s, unsigned *c) { (void)d; (void)s; ASK(); *c = 61; return 0; }
int nvmlDeviceGetPowerUsage(void *d, unsigned *mw) { (void)d; ASK(); *mw = 48250; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *d, unsigned *mw) { (void)d; ASK(); *mw = 70000; return 0; }
int nvmlDeviceGetClockInfo(void *d, int k, unsigned *mhz) { (void)d; (void)k; ASK(); *mhz = 1410; return 0; }
int nvmlDeviceGetMaxClockInfo(void *d, int k, unsigned *mhz) { (void)d; (void)k; ASK(); *mhz = 2100; return 0; }
int nvmlDeviceGetMemoryInfo(void *d, memory_v1 *m) {
    (void)d; ASK(); m->total = 6000; m->free = 4000; m->used = 2000; return 0;
}
int nvmlDeviceGetMemoryInfo_v2(void *d, memory_v2 *m) {
    (void)d; ASK(); m->total = 6000; m->reserved = 0; m->free = 4000; m->used = 2000; return 0;
}
int nvmlDeviceGetFanSpeed_v2(void *d, unsigned f, unsigned *s) { (void)d; (void)f; ASK(); *s = 30; return 0; }
int nvmlDeviceGetTotalEccErrors(void *d, int kind, int c, unsigned long long *n) {
    (void)d; (void)c; ASK(); *n = kind == 0 ? 4 : 1; return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *d, unsigned long long *r) { (void)d; ASK(); *r = 0x4 | 0x40; return 0; }
int nvmlDeviceGetCurrPcieLinkGeneration(void *d, unsigned *g) { (void)d; ASK(); *g = 4; return 0; }
int nvmlDeviceGetCurrPcieLinkWidth(void *d, unsigned *w) { (void)d; ASK(); *w = 8; return 0; }
int nvmlDeviceGetPcieReplayCounter(void *d, unsigned *n) { (void)d; ASK(); *n = 0; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *d, unsigned *count, process *p) {
    (void)d; ASK();
    if (*count < 2) { *count = 2; return p ? 7 : 7; }
    *count = 2;
    p[0] = (process){11, 100, -1u, -1u};
    p[1] = (process){12, 900, -1u, -1u};
    return 0;
}
"#;

const SUCCESS: u32 = 0;
const NOT_SUPPORTED: u32 = 3;
const GPU_LOST: u32 = 15;
const VERSION_MISMATCH: u32 = 18;

fn library(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("nvml.c"), dir.join("libnvidia-ml.so.1"));
    vedette::disk::replace(&source, LIBRARY.as_bytes()).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success());
    library
}

fn answers(dir: &Path, initialising: u32, asking: u32) {
    let text = format!("{initialising} {asking}\n");
    vedette::disk::replace(&dir.join("libnvidia-ml.so.1.answers"), text.as_bytes()).unwrap();
}

#[test]
fn what_nvml_says_of_a_gpu_is_read_with_its_units() {
    let dir = tempfile::tempdir().unwrap();
    answers(dir.path(), SUCCESS, SUCCESS);
    let mut nvml = Nvml::new(Some(library(dir.path())));
    let devices = nvml.read(Duration::from_secs(1));
    assert_eq!(devices.len(), 1);
    let said = serde_json::to_value(&devices[0]).unwrap();
    let wanted = serde_json::json!({
        "name": "NVIDIA RTX A2000", "load_percent": 37.0, "temperature_c": 61.0, "power_mw": 48_250,
        "power_limit_mw": 70_000, "frequency_hz": 1_410_000_000_u64, "frequency_max_hz": 2_100_000_000_u64,
        "memory_used_bytes": 2000, "memory_total_bytes": 6000, "fan_percent": 30.0,
        "ecc_corrected": 4, "ecc_uncorrected": 1,
        "clock_reasons": ["sw_power_cap", "hw_thermal_slowdown"],
        "pcie_generation": 4, "pcie_lanes": 8, "pcie_replays": 0,
        "processes": [{"pid": 12, "memory_bytes": 900}, {"pid": 11, "memory_bytes": 100}],
    });
    assert_eq!(said, wanted);
}

#[test]
fn a_question_without_an_answer_is_null_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    answers(dir.path(), SUCCESS, NOT_SUPPORTED);
    let devices = Nvml::new(Some(library(dir.path()))).read(Duration::from_secs(1));
    assert_eq!(devices[0].name.as_deref(), Some("NVIDIA RTX A2000"));
    assert_eq!((devices[0].load_percent, devices[0].processes.as_ref()), (None, None));
}

#[test]
fn whatever_is_wrong_is_tried_again_after_a_pause_and_read_once_it_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libnvidia-ml.so.1");
    let mut nvml = Nvml::new(Some(path.clone()));
    let mut at = |seconds: u64| nvml.read(Duration::from_secs(seconds)).len();
    assert_eq!(at(1), 0, "there is no library");
    answers(dir.path(), VERSION_MISMATCH, SUCCESS);
    assert_eq!(library(dir.path()), path);
    assert_eq!(at(32), 0, "the driver is of another version");
    answers(dir.path(), SUCCESS, SUCCESS);
    assert_eq!(at(33), 0, "it rests");
    assert_eq!(at(63), 1);
    answers(dir.path(), SUCCESS, GPU_LOST);
    assert_eq!(at(64), 0, "the GPU fell off the bus");
    answers(dir.path(), SUCCESS, SUCCESS);
    assert_eq!(at(65), 0, "it rests");
    assert_eq!(at(95), 1);
}
