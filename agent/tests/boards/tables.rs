//! What each board's files say, of those that are read.

use super::Files;

pub fn nano() -> Files {
    Files::default()
        .identity(
            "NVIDIA Jetson Nano Developer Kit",
            "nvidia,p3449-0000-b00 nvidia,p3449-0000-a02 nvidia,jetson-nano nvidia,tegra210",
            "32 7.4",
        )
        .zones(
            &[
                ("AO-therm", "31000"),
                ("CPU-therm", "24500"),
                ("GPU-therm", "26500"),
                ("PLL-therm", "24500"),
                ("PMIC-Die", "100000"),
                ("thermal-fan-est", "25500"),
            ],
            &[],
        )
        .cooling(&[("gpu-balanced", "0"), ("pwm-fan", "3")])
        .file("sys/devices/gpu.0/load", "0")
        .devfreq("57000000.gpu", "gpu", ["76800000", "76800000", "921600000"])
        .iio("6-0040", 0, "POM_5V_IN", ["5000", "352", "1760"])
        .iio("6-0040", 1, "POM_5V_GPU", ["5000", "0", "0"])
        .iio("6-0040", 2, "POM_5V_CPU", ["5000", "96", "480"])
        .files(
            "sys/devices/pwm-fan",
            &[("target_pwm", "0"), ("cur_pwm", "0"), ("temp_control", "1")],
        )
        .memory(4_059_000, 2_000_000, 0)
}

pub fn tx2() -> Files {
    Files::default()
        .identity(
            "quill",
            "nvidia,p2597-0000+p3310-1000 nvidia,quill nvidia,p3310-1000 nvidia,tegra186",
            "32 7.4",
        )
        .zones(
            &[
                ("BCPU-therm", "34000"),
                ("MCPU-therm", "34000"),
                ("GPU-therm", "!EAGAIN"),
                ("PLL-therm", "34000"),
                ("Tboard_tegra", "31000"),
                ("Tdiode_tegra", "32750"),
                ("PMIC-Die", "100000"),
                ("thermal-fan-est", "33900"),
            ],
            &[],
        )
        .file("sys/devices/17000000.gp10b/load", "253")
        .devfreq("17000000.gp10b", "gp10b", ["114750000", "114750000", "1300500000"])
        .iio("0-0040", 0, "VDD_SYS_GPU", ["19184", "0", "0"])
        .iio("0-0040", 1, "VDD_SYS_SOC", ["19184", "40", "767"])
        .iio("0-0041", 0, "VDD_IN", ["19152", "152", "2911"])
        .iio("0-0041", 2, "NC", ["0", "9", "9999"])
        .files("sys/devices/pwm-fan", &[("target_pwm", "255")])
        .memory(8_000_000, 6_000_000, 0)
}

pub fn xavier_nx() -> Files {
    Files::default()
        .identity(
            "NVIDIA Jetson Xavier NX Developer Kit",
            "nvidia,p3509-0000+p3668-0000 nvidia,p3668-0000 nvidia,tegra194",
            "35 4.1",
        )
        .zones(&[("CPU-therm", "41500"), ("GPU-therm", "40000"), ("AUX-therm", "39500")], &[])
        .file("sys/devices/platform/17000000.gv11b/load", "1000")
        .devfreq("17000000.gv11b", "gv11b", ["1109250000", "114750000", "1109250000"])
        .hwmon(
            4,
            "ina3221",
            &[
                ("in1_label", "VDD_IN"),
                ("in1_input", "4960"),
                ("curr1_input", "1000"),
                ("in2_label", "VDD_CPU_GPU_CV"),
                ("in2_input", "4960"),
                ("curr2_input", "300"),
                ("in7_label", "sum of shunt voltages"),
                ("in7_input", "77"),
            ],
        )
        .hwmon(2, "pwmfan", &[("pwm1", "51")])
        .memory(7_000_000, 3_000_000, 0)
}

pub fn xavier_agx() -> Files {
    let rails = [
        ("GPU", "400"),
        ("CPU", "700"),
        ("SOC", "1100"),
        ("CV", "50"),
        ("VDDRQ", "300"),
        ("SYS5V", "2000"),
    ];
    let board = Files::default()
        .identity(
            "Jetson-AGX",
            "nvidia,p2822-0000+p2888-0001 nvidia,p2888-0001 nvidia,tegra194",
            "32 7.1",
        )
        .zones(&[("CPU-therm", "33500"), ("AO-therm", "33000"), ("PMIC-Die", "100000")], &[])
        .file("sys/devices/17000000.gv11b/load", "5")
        .devfreq("17000000.gv11b", "gv11b", ["318750000", "318750000", "1377000000"])
        .memory(32_000_000, 20_000_000, 0);
    rails.iter().enumerate().fold(board, |board, (index, (name, mw))| {
        let chip = if index < 3 { "1-0040" } else { "1-0041" };
        board.iio(chip, u32::try_from(index % 3).unwrap(), name, ["5000", "1", mw])
    })
}

/// Where the Orin Nano is how hot, and what cools it from which temperature on.
fn orin_heat() -> Files {
    Files::default()
        .zones(
            &[
                ("cpu-thermal", "47375"),
                ("gpu-thermal", "43000"),
                ("cv0-thermal", "!EAGAIN"),
                ("cv1-thermal", "!EAGAIN"),
                ("cv2-thermal", "!EAGAIN"),
                ("soc0-thermal", "50000"),
                ("soc1-thermal", "51125"),
                ("soc2-thermal", "50500"),
                ("tj-thermal", "51125"),
            ],
            &[("active", "51000"), ("passive", "99000"), ("critical", "104500")],
        )
        .files(
            "sys/class/thermal/thermal_zone0",
            &[("trip_point_3_type", "passive"), ("trip_point_3_temp", "70000")],
        )
        .cooled(0, &[("pwm-fan", "0"), ("cpu-throttle-alert", "1"), ("hot-surface-alert", "3")])
}

/// Orin Nano on JetPack 6, all of it.
pub fn orin_nano() -> Files {
    let alerts = ["cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2"];
    let alerts: Vec<String> = alerts.iter().map(|name| format!("{name}-throttle-alert")).collect();
    let mut cooling: Vec<(&str, &str)> = alerts.iter().map(|name| (name.as_str(), "0")).collect();
    cooling.extend([
        ("hot-surface-alert", "0"),
        ("devfreq-17000000.gpu", "5"),
        ("pwm-fan", "4"),
        ("cpufreq-cpu0", "2"),
    ]);
    let clocks = ["729600", "1728000", "1728000"];
    let names = ["scaling_min_freq", "scaling_max_freq", "scaling_cur_freq"];
    let cpu: Vec<(&str, &str)> = names.into_iter().zip(clocks).collect();
    orin_heat()
        .identity(
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234",
            "36 5.0",
        )
        .cooling(&cooling)
        .hwmon(0, "pwmfan", &[("pwm1", "255"), ("pwm1_enable", "1")])
        .hwmon(1, "ina3221", ORIN_RAILS)
        .hwmon(2, "pwm_tach", &[("rpm", "2140")])
        .hwmon(
            3,
            "soctherm_oc",
            &[
                ("oc1_event_cnt", "0"),
                ("oc2_event_cnt", "0"),
                ("oc3_event_cnt", "27390"),
                ("oc1_throt_en", "1"),
                ("oc2_throt_en", "1"),
                ("oc3_throt_en", "1"),
            ],
        )
        .file("sys/devices/platform/bus@0/17000000.gpu/load", "427")
        .file("sys/devices/platform/gpu.0", "-> bus@0/17000000.gpu")
        .devfreq("17000000.gpu", "gpu", ["1020000000", "306000000", "1020000000"])
        .file("sys/class/devfreq/17000000.gpu/governor", "nvhost_podgov")
        .devfreq("15340000.vic", "vic", ["115200000", "115200000", "729600000"])
        .devfreq("15380000.nvjpg", "nvjpg", ["499200000", "115200000", "499200000"])
        .devfreq("15540000.nvjpg", "nvjpg", ["499200000", "115200000", "499200000"])
        .devfreq("15480000.nvdec", "nvdec", ["793600000", "115200000", "793600000"])
        .file("sys/class/devfreq/15480000.nvdec/device/power/runtime_status", "suspended")
        .devfreq("15a50000.ofa", "ofa", ["499200000", "115200000", "499200000"])
        .files("sys/devices/system/cpu/cpu0/cpufreq", &cpu)
        .file("sys/kernel/nvpmodel_clk_cap/emc", "3199000000")
        .file("var/lib/nvpmodel/status", "pmode:0002")
        .file(
            "etc/nvpmodel.conf",
            "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
        )
        .memory(7_789_952, 5_000_000, 0)
}

const ORIN_RAILS: &[(&str, &str)] = &[
    ("in1_label", "VDD_IN"),
    ("in1_input", "5016"),
    ("curr1_input", "1550"),
    ("curr1_crit", "4984"),
    ("curr1_max", "4984"),
    ("curr1_crit_alarm", "0"),
    ("in2_label", "VDD_CPU_GPU_CV"),
    ("in2_input", "5016"),
    ("curr2_input", "480"),
    ("curr2_crit", "!EACCES"),
    ("in3_label", "VDD_SOC"),
    ("in3_input", "5016"),
    ("curr3_input", "320"),
    ("in4_input", "40"),
    ("in5_input", "12"),
    ("in6_input", "8"),
    ("in7_label", "sum of shunt voltages"),
    ("in7_input", "60"),
    ("samples", "512"),
];

/// Orin NX: the same but for its module and its encoder.
pub fn orin_nx() -> Files {
    orin_nano()
        .identity(
            "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
            "nvidia,p3768-0000+p3767-0000 nvidia,p3767-0000 nvidia,tegra234",
            "36 4.3",
        )
        .devfreq("154c0000.nvenc", "nvenc", ["793600000", "115200000", "793600000"])
}

/// AGX Orin on JetPack 5: other names for the same things.
pub fn agx_orin() -> Files {
    Files::default()
        .identity(
            "NVIDIA Jetson AGX Orin Developer Kit",
            "nvidia,p3737-0000+p3701-0000 nvidia,p3701-0000 nvidia,tegra234",
            "35 4.1",
        )
        .zones(
            &[
                ("CPU-therm", "48000"),
                ("GPU-therm", "!EINVAL"),
                ("CV0-therm", "!EAGAIN"),
                ("SOC0-therm", "45000"),
                ("tj-therm", "48500"),
                ("Tboard_tegra", "38000"),
                ("Tdiode_tegra", "39750"),
            ],
            &[],
        )
        .file("sys/devices/platform/17000000.ga10b/load", "88")
        .devfreq("17000000.ga10b", "ga10b", ["1300500000", "306000000", "1300500000"])
        .hwmon(
            3,
            "ina3221",
            &[
                ("in1_label", "VDD_GPU_SOC"),
                ("in1_input", "19000"),
                ("curr1_input", "200"),
                ("in2_label", "VDD_CPU_CV"),
                ("in2_input", "19000"),
                ("curr2_input", "50"),
                ("in3_label", "VIN_SYS_5V0"),
                ("in3_input", "5000"),
                ("curr3_input", "700"),
            ],
        )
        .hwmon(
            4,
            "ina3221",
            &[
                ("in1_label", "NC"),
                ("in1_input", "0"),
                ("curr1_input", "8"),
                ("in2_label", "VDDQ_VDD2_1V8AO"),
                ("in2_input", "5000"),
                ("curr2_input", "100"),
                ("in3_label", "NC"),
                ("in3_input", "5000"),
                ("curr3_input", "80"),
            ],
        )
        .hwmon(5, "ucsi_source_psy_ucsi_ccg1", &[("in1_input", "20000"), ("curr1_input", "3000")])
        .memory(30_000_000, 20_000_000, 0)
}

pub fn thor() -> Files {
    Files::default()
        .identity(
            "NVIDIA Jetson AGX Thor Developer Kit",
            "nvidia,p4071-0000+p3834-0008 nvidia,p3834-0008 nvidia,tegra264",
            "38 2.0",
        )
        .zones(
            &[
                ("tj-thermal", "55100"),
                ("soc012-thermal", "55100"),
                ("cpu-thermal", "53700"),
                ("soc345-thermal", "53700"),
                ("gpu-thermal", "!EAGAIN"),
            ],
            &[("critical", "114500")],
        )
        .cooling(&[
            ("cpu-throttle-alert", "0"),
            ("gpu-throttle-alert", "1"),
            ("devfreq-gpu-gpc-0", "0"),
            ("pwm-fan", "1"),
        ])
        .devfreq("gpu-gpc-0", "", ["1575000000", "318000000", "1575000000"])
        .devfreq("gpu-nvd-0", "", ["1575000000", "318000000", "1575000000"])
        .devfreq("bwmgr", "", ["4266000000", "665600000", "4266000000"])
        .hwmon(0, "nvme", &[("temp1_input", "41850"), ("temp1_crit", "84850")])
        .hwmon(1, "pwmfan", &[("pwm1", "58"), ("pwm1_enable", "0")])
        .hwmon(3, "tmp451", &[("temp1_input", "40000"), ("temp2_input", "42500")])
        .hwmon(4, "pwm_tach", &[("rpm", "1786")])
        .hwmon(
            5,
            "ina3221",
            &[
                ("in1_label", "VDD_GPU"),
                ("in1_input", "12040"),
                ("curr1_input", "640"),
                ("in2_label", "VDD_CPU_SOC_MSS"),
                ("in2_input", "12040"),
                ("curr2_input", "960"),
                ("in3_label", "VIN_SYS_5V0"),
                ("in3_input", "5088"),
                ("curr3_input", "1740"),
                ("in7_label", "sum of shunt voltages"),
                ("in7_input", "9999"),
            ],
        )
        .hwmon(6, "ina238", &[("in1_label", "VIN"), ("power1_input", "23000000")])
        .hwmon(
            7,
            "soctherm_oc",
            &[("oc1_event_cnt", "0"), ("oc2_event_cnt", "0"), ("oc3_event_cnt", "179")],
        )
        .memory(128_000_000, 100_000_000, 0)
}

/// A board that nobody has heard of, with a GPU that has a clock and a load beside it.
pub fn unheard_of() -> Files {
    Files::default()
        .identity("Acme Edge 9", "acme,edge-9 acme,soc9000", "")
        .zones(&[("cluster0", "61000"), ("", "1")], &[("critical", "95000")])
        .devfreq("fb000000.gpu", "gpu", ["800000000", "300000000", "1000000000"])
        .file("sys/class/devfreq/fb000000.gpu/device/load", "120")
        .hwmon(
            0,
            "ina3221",
            &[("in1_label", "VDD_IN"), ("in1_input", "12000"), ("curr1_input", "500")],
        )
        .memory(2_000_000, 1_000_000, 3)
}

pub fn pc() -> Files {
    Files::default()
        .file("sys/class/dmi/id/product_name", "Mini PC 3\n")
        .zones(&[("acpitz", "27800"), ("acpitz", "29800"), ("x86_pkg_temp", "51000")], &[])
        .hwmon(2, "coretemp", &[("temp1_input", "52000"), ("temp1_crit", "100000")])
        .hwmon(3, "nct6775", &[("fan1_input", "812"), ("fan2_input", "0"), ("pwm1", "128")])
        .memory(16_000_000, 9_000_000, 0)
        .file(
            "proc/swaps",
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/swapfile file 2000 500 -2\n",
        )
}
