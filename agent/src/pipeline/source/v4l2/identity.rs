//! Which of the cameras: by its file, or by what its USB plug says of it, whatever number it has today.

use std::fs;
use std::path::{Path, PathBuf};

/// Most video devices that are looked at.
const DEVICES_MAX: usize = 256;
/// Longest text of a USB descriptor.
const TEXT_BYTES_MAX: u64 = 512;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// This file, or link.
    Path(PathBuf),
    /// A USB device.
    Usb {
        /// Vendor and product, four hexadecimal digits each: `046d:0825`.
        product: String,
        /// Its serial number, where several of a kind are there.
        serial: Option<String>,
    },
}

/// A camera on USB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Usb {
    /// Vendor and product.
    pub(crate) product: String,
    /// Its serial number.
    pub(crate) serial: Option<String>,
}

impl Identity {
    /// Reads `046d:0825` or `046d:0825:SERIAL`.
    pub(super) fn usb(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (vendor, product) = (parts.next()?, parts.next()?);
        let good = |part: &str| part.len() == 4 && part.chars().all(|c| c.is_ascii_hexdigit());
        let serial = parts.next().map(str::to_owned);
        (good(vendor) && good(product) && serial.as_deref() != Some("")).then(|| Self::Usb {
            product: format!("{vendor}:{product}").to_ascii_lowercase(),
            serial,
        })
    }

    /// The device's file today; `class` is where the kernel lists video devices, `devices` where their files are.
    pub(super) fn find(&self, class: &Path, devices: &Path) -> Result<PathBuf, String> {
        let (product, serial) = match self {
            Self::Path(path) => return Ok(path.clone()),
            Self::Usb { product, serial } => (product, serial),
        };
        let fits =
            |usb: &Usb| usb.product == *product && (serial.is_none() || usb.serial == *serial);
        let found = list(class).into_iter().find(|(folder, _)| {
            // A camera has several; the first gives frames, the others are for its metadata.
            attribute(&class.join(folder), "index").as_deref() == Some("0")
                && usb(&class.join(folder)).is_some_and(|usb| fits(&usb))
        });
        let found = found.map(|(folder, _)| devices.join(folder));
        found.ok_or_else(|| {
            let serial =
                serial.as_ref().map(|s| format!(" with serial number {s}")).unwrap_or_default();
            format!(
                "no USB camera {product}{serial}: is it plugged in? `vedette cameras` lists what is"
            )
        })
    }
}

/// Folders of the kernel's video devices and their numbers, in their order.
pub(crate) fn list(class: &Path) -> Vec<(String, u32)> {
    let mut found: Vec<(String, u32)> = fs::read_dir(class)
        .into_iter()
        .flatten()
        .take(DEVICES_MAX)
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let number = name.strip_prefix("video")?.parse().ok()?;
            Some((name, number))
        })
        .collect();
    found.sort_by_key(|(_, number)| *number);
    found
}

/// The USB device that a video device is part of.
pub(crate) fn usb(folder: &Path) -> Option<Usb> {
    // `device` is the interface; the device is above it.
    let interface = fs::canonicalize(folder.join("device")).ok()?;
    let device = interface.ancestors().take(3).find(|path| path.join("idVendor").is_file())?;
    let product = format!("{}:{}", attribute(device, "idVendor")?, attribute(device, "idProduct")?);
    Some(Usb { product, serial: attribute(device, "serial") })
}

fn attribute(folder: &Path, name: &str) -> Option<String> {
    let bytes = crate::disk::read_bounded(&folder.join(name), TEXT_BYTES_MAX).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cameras of a kind, each with a second device for metadata, as sysfs shows them.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let write = |path: &str, text: &str| {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            crate::disk::replace(&at(path), text.as_bytes()).unwrap();
        };
        for (usb, serial, first) in [("1-1", "AAA\n", 2), ("1-2", "BBB\n", 0)] {
            write(&format!("usb/{usb}/idVendor"), "046d\n");
            write(&format!("usb/{usb}/idProduct"), "0825\n");
            write(&format!("usb/{usb}/serial"), serial);
            for index in 0..2 {
                let video = format!("class/video{}", first + index);
                write(&format!("{video}/index"), &format!("{index}\n"));
                fs::create_dir_all(at(&format!("usb/{usb}/{usb}:1.0"))).unwrap();
                let target = at(&format!("usb/{usb}/{usb}:1.0"));
                std::os::unix::fs::symlink(target, at(&format!("{video}/device"))).unwrap();
            }
        }
        root
    }

    #[test]
    fn a_camera_is_found_by_its_plug_whatever_number_it_has() {
        let root = tree();
        let find = |text: &str| {
            let found =
                Identity::usb(text).unwrap().find(&root.path().join("class"), Path::new("/dev"));
            found.map(|path| path.display().to_string())
        };
        assert_eq!(find("046D:0825").unwrap(), "/dev/video0");
        assert_eq!(find("046d:0825:AAA").unwrap(), "/dev/video2");
        assert!(find("046d:0825:CCC").unwrap_err().contains("with serial number CCC"));
        assert!(find("046d:0826").unwrap_err().contains("is it plugged in?"));
        for bad in ["046d", "046d:08", "046d:0825:", "xxxx:0825", ""] {
            assert_eq!(Identity::usb(bad), None, "{bad}");
        }
    }
}
