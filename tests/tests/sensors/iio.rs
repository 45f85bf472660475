//! The kernel's industrial I/O, below a root directory that was made as the kernel makes its own.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Result, ensure};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tests::Bench;

use crate::rig::{AGAIN, Rig, Sensor};

/// The directory of an accelerometer.
const DEVICE: &str = "root/sys/bus/iio/devices/iio:device0";

fn device(bench: &Bench, files: &[(&str, &str)]) -> Result<()> {
    for (name, text) in
        [("name", "adxl345\n"), ("in_accel_scale", "0.000976\n")].iter().chain(files)
    {
        bench.folder.write(&format!("{DEVICE}/{name}"), text)?;
    }
    Ok(())
}

#[test]
fn channels_are_polled_by_their_files_and_a_device_that_comes_later_is_found() -> Result<()> {
    let bench = Bench::new()?;
    let source = "kind = \"iio\", device = \"adxl345\", rate_hz = 100, root = \"root\"";
    let rig = Rig::start(bench, source, "")?;
    rig.says("there is no such device")?;
    let raw = [("in_accel_x_raw", "12\n"), ("in_accel_y_raw", "-34\n")];
    device(&rig.bench, &raw)?;
    rig.says("it has no channel `z`: there are `accel_x`, `accel_y`")?;
    device(&rig.bench, &[("in_accel_z_raw", "1024\n")])?;
    rig.flows("pump")?;
    let told = rig.told("a rate", |samples| samples["rate_hz"].as_f64() > Some(50.0))?;
    ensure!(told["samples"]["unusable_total"] == 0, "{told}");
    rig.end()
}

/// Three values of 13 of 16 bits and a time stamp every `period_ns`, as a driver's buffer has them.
fn samples(count: i64, first: i64, period_ns: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for sample in first..first + count {
        for axis in 0..3 {
            let value = i16::try_from((sample * (axis + 3)) % 2000 - 1000).unwrap_or_default();
            bytes.extend((value << 3).to_le_bytes());
        }
        bytes.extend([0; 2]);
        bytes.extend((sample * period_ns).to_le_bytes());
    }
    bytes
}

/// A device whose driver collects samples, one every `period_ns`, and the one that plays it. Its files are those of
/// the kernel's driver for this device, which sets one rate for all axes.
fn collecting(period_ns: i64) -> Result<(Rig, Sensor)> {
    let bench = Bench::new()?;
    device(
        &bench,
        &[
            ("buffer/enable", "0\n"),
            ("buffer/length", "2\n"),
            ("in_accel_sampling_frequency", "100\n"),
        ],
    )?;
    for (index, name) in ["accel_x", "accel_y", "accel_z"].iter().enumerate() {
        device(
            &bench,
            &[
                (&format!("scan_elements/in_{name}_en"), "0\n"),
                (&format!("scan_elements/in_{name}_index"), &format!("{index}\n")),
                (&format!("scan_elements/in_{name}_type"), "le:s13/16>>3\n"),
            ],
        )?;
    }
    device(
        &bench,
        &[
            ("scan_elements/in_timestamp_en", "0\n"),
            ("scan_elements/in_timestamp_index", "3\n"),
            ("scan_elements/in_timestamp_type", "le:s64/64>>0\n"),
            ("scan_elements/in_temp_en", "1\n"),
        ],
    )?;
    bench.folder.write("root/dev/.keep", "")?;
    let node = bench.folder.join("root/dev/iio:device0");
    mknodat(CWD, &node, FileType::Fifo, Mode::from_bits_retain(0o600), 0)?;
    let source = "kind = \"iio\", device = \"iio:device0\", mode = \"buffered\", root = \"root\"";
    let rig = Rig::start(bench, source, "")?;
    let mut out = None;
    let (mut first, path) = (0, node);
    let sensor = Sensor::sending(move |_| {
        // There is a writer once there is a reader.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        if out.is_none() {
            out = OpenOptions::new().write(true).custom_flags(flags).open(&path).ok();
        }
        if let Some(out) = &mut out {
            drop(std::io::Write::write_all(out, &samples(50, first, period_ns)));
            first += 50;
        }
        true
    });
    Ok((rig, sensor))
}

#[test]
fn samples_that_the_driver_collects_are_read_with_its_time_stamps() -> Result<()> {
    let (rig, sensor) = collecting(1_000_000)?;
    rig.flows("pump")?;
    let told = rig.told("a rate", |samples| samples["rate_hz"].as_f64() > Some(0.0))?;
    ensure!(told["samples"]["rate_hz"] == 1000.0 && told["samples"]["gaps_total"] == 0, "{told}");
    for (file, wanted) in [
        ("buffer/enable", "1"),
        ("buffer/length", "2000"),
        ("in_accel_sampling_frequency", "1000"),
        ("scan_elements/in_accel_z_en", "1"),
        ("scan_elements/in_timestamp_en", "1"),
        ("scan_elements/in_temp_en", "0"),
    ] {
        let found = rig.bench.folder.read(&format!("{DEVICE}/{file}"))?;
        ensure!(found == wanted, "{file}: {found}");
    }
    rig.flows_within("pump", AGAIN)?;
    drop(sensor);
    rig.end()
}

#[test]
fn a_device_that_samples_at_another_rate_than_it_was_told_is_said() -> Result<()> {
    let (rig, sensor) = collecting(500_000)?;
    rig.says("samples come at another rate")?;
    rig.flows("pump")?;
    drop(sensor);
    rig.end()
}
