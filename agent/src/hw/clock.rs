//! What only the kernel knows of its clock.
#![expect(unsafe_code, reason = "calls into the C library")]

/// Whether the clock follows another one (NTP, PTP, GPS). `None` where the kernel does not let us ask.
#[must_use]
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: all zero is a valid `timex`: it asks, and sets nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is valid for the call, which writes nothing beyond it.
    match unsafe { libc::adjtimex(&raw mut timex) } {
        -1 => None,
        state => Some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0),
    }
}
