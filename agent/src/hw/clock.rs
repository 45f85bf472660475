//! What only the kernel knows of its clock, or who sets it.
#![expect(unsafe_code, reason = "calls into the C library")]

use std::path::Path;

/// Where systemd-timesyncd, while it runs, says that it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync";

/// Whether the clock follows another one (NTP, PTP, GPS). Where the kernel does not let us ask, as in a unit with
/// `ProtectClock=`, systemd-timesyncd is believed; `None` where that does not run either.
#[must_use]
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: all zero is a valid `timex`: it asks, and sets nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is valid for the call, which writes nothing beyond it.
    match unsafe { libc::adjtimex(&raw mut timex) } {
        -1 => told(Path::new(TIMESYNC)),
        state => Some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0),
    }
}

fn told(timesync: &Path) -> Option<bool> {
    timesync.is_dir().then(|| timesync.join("synchronized").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sets_the_clock_says_whether_it_did_and_nobody_says_nothing() {
        let run = tempfile::tempdir().unwrap();
        let timesync = run.path().join("timesync");
        assert_eq!(told(&timesync), None);
        std::fs::create_dir(&timesync).unwrap();
        assert_eq!(told(&timesync), Some(false));
        crate::disk::replace(&timesync.join("synchronized"), b"").unwrap();
        assert_eq!(told(&timesync), Some(true));
    }
}
