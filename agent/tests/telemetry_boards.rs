//! Every board that is known, and some that are not, read from what public captures say of them: values by the key
//! that they are published under, which ends in their unit.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod boards;

use std::time::Duration;

use boards::Files;
use serde_json::{Value, json};
use vedette::telemetry::sysfs::Sysfs;
use vedette::telemetry::{Sampler, Tree, capture};

const SECOND: Duration = Duration::from_secs(1);
/// What stands for a name that the board must not have.
const ABSENT: &str = "(absent)";

fn sample(files: &Files) -> Value {
    serde_json::to_value(Sampler::new(files.tree(), None, false).sample(SECOND)).unwrap()
}

/// Checks each `pointer = value` of what `files` read as.
fn check(files: &Files, wanted: &[(&str, Value)]) {
    let readings = sample(files);
    for (pointer, value) in wanted {
        let wanted = Some(value).filter(|value| **value != json!(ABSENT));
        assert_eq!(readings.pointer(pointer), wanted, "{pointer} in {readings:#}");
    }
}

#[test]
fn a_nano_is_read_with_its_units() {
    check(
        &boards::nano(),
        &[
            ("/board/kind", json!("nano")),
            ("/board/model", json!("NVIDIA Jetson Nano Developer Kit")),
            ("/board/soc", json!("tegra210")),
            ("/board/serial", json!(null)),
            ("/board/l4t", json!("32.7.4")),
            ("/board/jetpack", json!("4.6")),
            ("/board/power_mode", json!(null)),
            ("/gpu/load_percent", json!(0.0)),
            ("/gpu/load_source", json!("sysfs")),
            ("/gpu/frequency_hz", json!(76_800_000)),
            ("/gpu/frequency_max_hz", json!(921_600_000)),
            ("/gpu/memory_total_bytes", json!(null)),
            ("/thermal/zones/CPU-therm/temperature_c", json!(24.5)),
            ("/thermal/zones/PMIC-Die/temperature_c", json!(100.0)),
            // The constant is no sensor.
            ("/thermal/hottest_zone", json!("AO-therm")),
            ("/thermal/hottest_c", json!(31.0)),
            ("/thermal/margin_c", json!(null)),
            ("/power/total_mw", json!(1760)),
            ("/power/rails/POM_5V_IN/voltage_mv", json!(5000)),
            ("/power/rails/POM_5V_IN/current_ma", json!(352)),
            ("/power/rails/POM_5V_IN/limit_ma", json!(32_760)),
            ("/power/rails/POM_5V_CPU/power_mw", json!(480)),
            ("/fans/fan/duty_percent", json!(0.0)),
            ("/fans/fan/speed_rpm", json!(null)),
            ("/over_current/oc1/events_total", json!(null)),
            ("/throttle/active", json!(false)),
            ("/codecs", json!({})),
            ("/memory/total_bytes", json!(4_059_000_u64 * 1024)),
            ("/memory/zram_total_bytes", json!(2000 * 1024)),
            ("/memory/zram_used_bytes", json!(500 * 1024)),
            ("/memory/swap_used_bytes", json!(500 * 1024)),
            ("/nvml", json!([])),
        ],
    );
}

#[test]
fn a_tx2_and_both_xaviers_are_read_with_their_units() {
    check(
        &boards::tx2(),
        &[
            ("/board/kind", json!("tx2")),
            ("/gpu/load_percent", json!(25.3)),
            ("/thermal/zones/GPU-therm/temperature_c", json!(null)),
            ("/thermal/hottest_c", json!(34.0)),
            ("/power/total_mw", json!(2911)),
            ("/power/rails/VDD_SYS_SOC/power_mw", json!(767)),
            ("/power/rails/NC", json!(ABSENT)),
            ("/fans/fan/duty_percent", json!(100.0)),
        ],
    );
    check(
        &boards::xavier_nx(),
        &[
            ("/board/kind", json!("xavier-nx")),
            ("/board/jetpack", json!("5")),
            ("/gpu/load_percent", json!(100.0)),
            ("/power/total_mw", json!(4960)),
            ("/power/rails/VDD_CPU_GPU_CV/power_mw", json!(1488)),
            ("/fans/fan/duty_percent", json!(20.0)),
        ],
    );
    let agx = boards::xavier_agx();
    let sum = [("/board/kind", json!("xavier-agx")), ("/power/total_mw", json!(4550))];
    check(&agx, &sum);
    // A sum with a part missing is no sum.
    let cut =
        agx.file("sys/bus/i2c/drivers/ina3221x/1-0041/iio:device0/in_power2_input", "!EAGAIN");
    let cut =
        cut.file("sys/bus/i2c/drivers/ina3221x/1-0041/iio:device0/in_voltage2_input", "!EAGAIN");
    check(&cut, &[("/power/total_mw", json!(null)), ("/power/rails/GPU/power_mw", json!(400))]);
}

#[test]
fn an_orin_nano_is_read_with_its_units() {
    check(
        &boards::orin_nano(),
        &[
            ("/board/kind", json!("orin-nano")),
            ("/board/l4t", json!("36.5.0")),
            ("/board/jetpack", json!("6.2.2")),
            ("/board/power_mode_id", json!(2)),
            ("/board/power_mode", json!("MAXN_SUPER")),
            ("/gpu/load_percent", json!(42.7)),
            ("/gpu/load_source", json!("sysfs")),
            ("/gpu/frequency_hz", json!(1_020_000_000)),
            ("/gpu/frequency_min_hz", json!(306_000_000)),
            ("/gpu/governor", json!("nvhost_podgov")),
            ("/host/cpu_min_hz", json!(729_600_000)),
            ("/thermal/zones/cpu-thermal/temperature_c", json!(47.375)),
            ("/thermal/zones/cpu-thermal/passive_c", json!(99.0)),
            ("/thermal/zones/cpu-thermal/critical_c", json!(104.5)),
            ("/thermal/zones/cpu-thermal/hot_c", json!(null)),
            // Powered off: not 0, and not left out.
            ("/thermal/zones/cv0-thermal/temperature_c", json!(null)),
            ("/thermal/hottest_c", json!(51.125)),
            ("/thermal/hottest_zone", json!("soc1-thermal")),
            ("/thermal/margin_c", json!(47.875)),
            ("/power/total_mw", json!(7774)),
            ("/power/rails/VDD_IN/voltage_mv", json!(5016)),
            ("/power/rails/VDD_IN/current_ma", json!(1550)),
            ("/power/rails/VDD_IN/limit_ma", json!(4984)),
            ("/power/rails/VDD_CPU_GPU_CV/limit_ma", json!(null)),
            ("/power/rails/VDD_CPU_GPU_CV/power_mw", json!(2407)),
            ("/power/rails/VDD_SOC/power_mw", json!(1605)),
            ("/power/rails/sum of shunt voltages", json!(ABSENT)),
            ("/fans/fan/duty_percent", json!(100.0)),
            ("/fans/fan/speed_rpm", json!(2140)),
            ("/fans/fan/enabled", json!(true)),
            ("/over_current/oc3/events_total", json!(27_390)),
            ("/over_current/oc3/events_delta", json!(null)),
            ("/over_current/oc3/throttles", json!(true)),
            ("/throttle/active", json!(false)),
            ("/codecs/nvdec/frequency_hz", json!(793_600_000)),
            ("/codecs/nvdec/active", json!(false)),
            ("/codecs/nvjpg/frequency_hz", json!(499_200_000)),
            ("/codecs/nvjpg-2/frequency_hz", json!(499_200_000)),
            ("/codecs/ofa/active", json!(null)),
            ("/memory/total_bytes", json!(7_976_910_848_u64)),
        ],
    );
}

#[test]
fn a_board_that_is_too_hot_for_a_hand_is_neither_slow_nor_near_the_point_where_it_gets_slow() {
    let zone = "sys/class/thermal/thermal_zone0";
    let files = boards::orin_nano().file(&format!("{zone}/temp"), "71500");
    // The ninth cooling device: see the board's table.
    let hot = files.file("sys/class/thermal/cooling_device8/cur_state", "1");
    check(
        &hot,
        &[
            ("/thermal/zones/cpu-thermal/passive_c", json!(99.0)),
            ("/thermal/margin_c", json!(27.5)),
            ("/throttle/active", json!(false)),
            ("/throttle/reasons", json!([])),
        ],
    );
    // A point at which something is cooled, too, counts.
    let cooled = hot.cooled(0, &[("hot-surface-alert", "3"), ("cpufreq-cpu0", "3")]);
    check(&cooled, &[("/thermal/zones/cpu-thermal/passive_c", json!(70.0))]);
}

#[test]
fn an_orin_nx_and_an_agx_orin_are_read_with_their_units() {
    check(
        &boards::orin_nx(),
        &[
            ("/board/kind", json!("orin-nx")),
            ("/board/jetpack", json!("6.2")),
            ("/codecs/nvenc/frequency_hz", json!(793_600_000)),
            ("/power/total_mw", json!(7774)),
        ],
    );
    check(
        &boards::agx_orin(),
        &[
            ("/board/kind", json!("agx-orin")),
            ("/gpu/load_percent", json!(8.8)),
            ("/thermal/zones/GPU-therm/temperature_c", json!(null)),
            ("/thermal/hottest_c", json!(48.5)),
            // A maximum is named where it knows of a hotter one than those that answer.
            ("/thermal/hottest_zone", json!("tj-therm")),
            // All rails that are rails: no `NC`, no power supply.
            ("/power/total_mw", json!(3800 + 950 + 3500 + 500)),
            ("/power/rails/NC", json!(ABSENT)),
        ],
    );
}

#[test]
fn a_thor_is_read_with_its_units() {
    check(
        &boards::thor(),
        &[
            ("/board/kind", json!("thor")),
            ("/board/soc", json!("tegra264")),
            ("/board/jetpack", json!("7.0")),
            ("/gpu/load_percent", json!(null)),
            ("/gpu/load_source", json!(null)),
            ("/gpu/frequency_hz", json!(1_575_000_000)),
            ("/codecs/gpu-nvd-0/frequency_hz", json!(1_575_000_000)),
            ("/codecs/bwmgr", json!(ABSENT)),
            ("/thermal/zones/gpu-thermal/temperature_c", json!(null)),
            ("/thermal/zones/tmp451-temp2/temperature_c", json!(42.5)),
            ("/thermal/zones/nvme-temp1/critical_c", json!(84.85)),
            ("/thermal/hottest_zone", json!("soc012-thermal")),
            ("/thermal/margin_zone", json!("nvme-temp1")),
            ("/thermal/margin_c", json!(43.0)),
            // µW of the INA238, not the sum of the others.
            ("/power/total_mw", json!(23_000)),
            ("/power/rails/VDD_GPU/power_mw", json!(7705)),
            ("/power/rails/VIN_SYS_5V0/power_mw", json!(8853)),
            ("/fans/fan/speed_rpm", json!(1786)),
            ("/fans/fan/enabled", json!(false)),
            ("/over_current/oc3/events_total", json!(179)),
            ("/throttle/active", json!(true)),
            ("/throttle/reasons", json!(["gpu-throttle-alert"])),
        ],
    );
}

#[test]
fn a_board_that_nobody_has_heard_of_reports_what_is_found() {
    check(
        &boards::unheard_of(),
        &[
            ("/board/kind", json!("generic-arm64")),
            ("/board/model", json!("Acme Edge 9")),
            ("/board/soc", json!("soc9000")),
            ("/board/l4t", json!(null)),
            ("/gpu/load_percent", json!(12.0)),
            ("/gpu/frequency_hz", json!(800_000_000)),
            ("/thermal/hottest_c", json!(61.0)),
            ("/thermal/margin_c", json!(34.0)),
            ("/power/total_mw", json!(6000)),
            ("/memory/oom_kills_total", json!(3)),
        ],
    );
    // The next Jetson, on a Jetson Linux of a later day.
    let next = boards::orin_nano().identity(
        "NVIDIA Jetson Next",
        "nvidia,p9999-0000 nvidia,tegra999",
        "47 1.0",
    );
    check(
        &next,
        &[
            ("/board/kind", json!("generic-arm64")),
            ("/board/l4t", json!("47.1.0")),
            ("/board/jetpack", json!("unknown")),
            ("/gpu/frequency_hz", json!(1_020_000_000)),
            ("/power/total_mw", json!(7774)),
            ("/fans/fan/speed_rpm", json!(2140)),
        ],
    );
}

#[test]
fn a_pc_is_read_with_its_units_and_an_empty_tree_is_all_null() {
    check(
        &boards::pc(),
        &[
            ("/board/kind", json!("x86-pc")),
            ("/board/model", json!("Mini PC 3")),
            ("/board/soc", json!(null)),
            ("/gpu/load_percent", json!(null)),
            ("/thermal/zones/acpitz/temperature_c", json!(27.8)),
            ("/thermal/zones/acpitz-2/temperature_c", json!(29.8)),
            ("/thermal/hottest_zone", json!("coretemp-temp1")),
            ("/thermal/margin_c", json!(48.0)),
            ("/power/total_mw", json!(null)),
            ("/fans/nct6775-1/speed_rpm", json!(812)),
            ("/fans/nct6775-1/duty_percent", json!(50.196)),
            ("/fans/nct6775-2/speed_rpm", json!(0)),
            ("/throttle/active", json!(null)),
            ("/memory/zram_total_bytes", json!(0)),
        ],
    );
    let nothing = sample(&Files::default());
    for pointer in [
        "/board/model",
        "/gpu/load_percent",
        "/thermal/hottest_c",
        "/power/total_mw",
        "/memory/total_bytes",
        "/host/uptime_s",
    ] {
        assert_eq!(nothing.pointer(pointer), Some(&Value::Null), "{pointer}");
    }
}

/// Everything that is written in the payload, whatever could be read: the keys of `value`, lists as their first.
fn keys(value: &Value, path: &str, found: &mut Vec<String>) {
    if let Value::Object(map) = value {
        for (key, value) in map {
            let path = format!("{path}/{key}");
            keys(value, &path, found);
            found.push(path);
        }
    }
}

#[test]
fn every_key_is_there_whatever_could_be_read() {
    let fixed = |files: &Files| {
        let mut found = Vec::new();
        keys(&sample(files), "", &mut found);
        // What a board has several of, by names of its own.
        found.retain(|key| {
            !["/thermal/zones/", "/power/rails/", "/fans/", "/codecs/"]
                .iter()
                .any(|begin| key.starts_with(begin))
        });
        found
    };
    let full = fixed(&boards::orin_nano());
    assert!(full.len() > 60, "{full:?}");
    for files in [Files::default(), boards::nano(), boards::thor(), boards::pc()] {
        assert_eq!(fixed(&files), full);
    }
}

#[test]
fn counters_are_told_as_total_and_as_what_came_and_rates_are_by_the_monotonic_clock() {
    let files = boards::orin_nano();
    let dir = files.directory();
    let mut sysfs = Sysfs::new(Tree::open(dir.path()).unwrap(), false);
    let at = |sysfs: &mut Sysfs, seconds: u64| {
        sysfs.sample(Duration::from_secs(seconds)).over_current.oc3
    };
    let set = |count: &str| {
        Files::default().hwmon(3, "soctherm_oc", &[("oc3_event_cnt", count)]).write(dir.path());
    };
    assert_eq!(at(&mut sysfs, 10).events_delta, None);
    set("27490");
    let oc3 = at(&mut sysfs, 14);
    assert_eq!(
        (oc3.events_total, oc3.events_delta, oc3.events_per_s),
        (Some(27_490), Some(100), Some(25.0))
    );
    // The driver was loaded anew.
    set("3");
    let oc3 = at(&mut sysfs, 15);
    assert_eq!((oc3.events_total, oc3.events_delta, oc3.events_per_s), (Some(3), None, None));
}

#[test]
fn numbers_that_change_between_two_readings_change_no_value() {
    let dir = boards::orin_nano().directory();
    let mut sysfs = Sysfs::new(Tree::open(dir.path()).unwrap(), false);
    let before = sysfs.sample(SECOND);
    // The monitors come back in another order, and the first two zones with each other's number.
    let class = dir.path().join("sys/class");
    let rename = |from: &str, to: &str| {
        rustix::fs::rename(class.join(from), class.join(to)).unwrap();
    };
    for (from, to) in [
        ("hwmon1", "x"),
        ("hwmon3", "hwmon1"),
        ("hwmon0", "hwmon7"),
        ("hwmon2", "hwmon0"),
        ("x", "hwmon2"),
    ] {
        rename(&format!("hwmon/{from}"), &format!("hwmon/{to}"));
    }
    for (from, to) in
        [("thermal_zone0", "x"), ("thermal_zone1", "thermal_zone0"), ("x", "thermal_zone1")]
    {
        rename(&format!("thermal/{from}"), &format!("thermal/{to}"));
    }
    for (from, to) in
        [("cooling_device0", "cooling_device44"), ("cooling_device9", "cooling_device0")]
    {
        rename(&format!("thermal/{from}"), &format!("thermal/{to}"));
    }
    let after = sysfs.sample(2 * SECOND);
    assert_eq!(after.thermal, before.thermal);
    assert_eq!(
        (&after.power, &after.fans, &after.throttle),
        (&before.power, &before.fans, &before.throttle)
    );
    assert_eq!(after.over_current.oc3.events_delta, Some(0));
}

#[test]
fn a_gpu_node_that_comes_late_is_found_and_one_that_goes_is_null() {
    let all = boards::orin_nano();
    let dir = all
        .clone()
        .without("sys/devices/platform")
        .without("sys/class/devfreq/17000000.gpu")
        .directory();
    let mut sysfs = Sysfs::new(Tree::open(dir.path()).unwrap(), false);
    let at = |sysfs: &mut Sysfs, seconds: u64| sysfs.sample(Duration::from_secs(seconds)).gpu;
    assert_eq!(at(&mut sysfs, 1).load_percent, None);
    all.without("sys/devices/platform/gpu.0").write(dir.path());
    let came = at(&mut sysfs, 70);
    assert_eq!((came.load_percent, came.frequency_hz), (Some(42.7), Some(1_020_000_000)));
    std::fs::remove_dir_all(dir.path().join("sys/devices/platform/bus@0")).unwrap();
    let gone = at(&mut sysfs, 71);
    assert_eq!((gone.load_percent, gone.load_source), (None, None));
}

#[test]
fn a_capture_reads_back_as_the_board_and_names_nobody() {
    for files in [
        boards::nano(),
        boards::tx2(),
        boards::orin_nano(),
        boards::thor(),
        boards::unheard_of(),
        boards::pc(),
    ] {
        let (tree, dir) = (files.tree(), tempfile::tempdir().unwrap());
        for with_serials in [false, true] {
            let mut bytes = Vec::new();
            let count = capture::pack(&tree, with_serials, &mut bytes).unwrap();
            assert!(count > 10, "{count}");
            let serial = b"1422919012345";
            let named = bytes.windows(serial.len()).any(|window| window == serial);
            assert_eq!(
                named,
                with_serials && files.0.contains_key("proc/device-tree/serial-number")
            );
            let path = dir.path().join("capture.tar");
            vedette::disk::replace(&path, &bytes).unwrap();
            let read = |tree: Tree| Sampler::new(tree, None, with_serials).sample(SECOND);
            assert_eq!(read(Tree::open(&path).unwrap()), read(files.tree()));
        }
    }
}

#[test]
fn a_tree_and_its_capture_read_the_same() {
    // Without what does not answer: in a directory that would be a file that says so.
    let mut files = boards::orin_nx();
    for (path, _) in files.refusing() {
        files.0.remove(&path);
    }
    let dir = files.directory();
    let read = |tree: Tree| Sampler::new(tree, None, false).sample(SECOND);
    assert_eq!(read(Tree::open(dir.path()).unwrap()), read(files.tree()));
}
