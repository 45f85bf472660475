//! Serial ports: raw bytes at a rate, nothing else of a terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr,
};

/// Why a port cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SerialError {
    /// It is not there.
    #[error("there is no such port: is it plugged in? `ls /dev/serial/by-id` has those that are")]
    Missing,
    /// It may not be opened.
    #[error("it may not be opened: add the service's user to group `dialout`")]
    Forbidden,
    /// Its mode lets us, and the control group does not.
    #[error(
        "the service's unit keeps it closed: `sudo systemctl edit vedette`, there [Service] and DeviceAllow=/dev/NAME rw, \
         then `sudo systemctl restart vedette`"
    )]
    Closed,
    /// Somebody else has it.
    #[error("another program uses it: a terminal, or ModemManager?")]
    Busy,
    /// It could not be opened.
    #[error("it cannot be opened")]
    Open(#[source] io::Error),
    /// It is no serial port.
    #[error("it is no serial port")]
    NotSerial,
    /// It does not take the rate.
    #[error("it does not take {0} baud")]
    Baud(u32),
    /// It could not be set.
    #[error("it cannot be set to raw bytes")]
    Set(#[source] io::Error),
}

/// Opens the port at `path` for reading, raw, 8 bits, no parity, one stop bit, at `baud`. What came before is dropped.
///
/// # Errors
/// [`SerialError`], with what to do.
pub fn open(path: &Path, baud: u32) -> Result<File, SerialError> {
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let port = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    let port = port.map_err(why)?;
    let mut set = tcgetattr(&port).map_err(|_| SerialError::NotSerial)?;
    set.make_raw();
    // A modem's wires are not looked at, and who listens is ready.
    set.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    set.control_modes -= ControlModes::CRTSCTS | ControlModes::CSTOPB | ControlModes::PARENB;
    set.set_speed(baud).map_err(|_| SerialError::Baud(baud))?;
    tcsetattr(&port, OptionalActions::Now, &set).map_err(|error| SerialError::Set(error.into()))?;
    tcflush(&port, QueueSelector::IFlush).map_err(|error| SerialError::Set(error.into()))?;
    Ok(port)
}

/// Why a port could not be opened.
fn why(error: io::Error) -> SerialError {
    // A mode refuses with EACCES, a control group with EPERM: the one error kind is two.
    if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) {
        return SerialError::Closed;
    }
    match error.kind() {
        ErrorKind::NotFound => SerialError::Missing,
        ErrorKind::PermissionDenied => SerialError::Forbidden,
        ErrorKind::ResourceBusy => SerialError::Busy,
        _ => SerialError::Open(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_unit_closes_is_told_from_one_of_another_group() {
        for (errno, cure) in [
            (Errno::PERM, "DeviceAllow="),
            (Errno::ACCESS, "dialout"),
            (Errno::BUSY, "ModemManager"),
        ] {
            let said = why(errno.into()).to_string();
            assert!(said.contains(cure), "{errno}: {said}");
        }
    }

    #[test]
    fn what_is_no_port_is_told_from_one_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert!(matches!(open(&file, 9600), Err(SerialError::Missing)));
        File::create(&file).unwrap();
        assert!(matches!(open(&file, 9600), Err(SerialError::NotSerial)));
        assert!(matches!(open(folder.path(), 9600), Err(SerialError::Open(_))));
    }
}
