//! What only the C library can do with a process.
#![expect(unsafe_code, reason = "calls into the C library")]

use std::ffi::c_int;

unsafe extern "C" {
    safe fn _exit(status: c_int) -> !;
    safe fn dup2(from: c_int, to: c_int) -> c_int;
}

/// Makes standard output another name of standard error, whoever holds it: what libraries print there then goes
/// with what they complain.
///
/// # Errors
/// There is no standard error.
pub fn print_as_errors() -> std::io::Result<()> {
    match dup2(2, 1) {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// How much less a thread asks for than the threads of the data path, where a processor has too little for both.
const BACKGROUND_NICE: i32 = 10;

/// Lets this thread, and those that it starts, have what the others leave: frames come before requests.
///
/// # Errors
/// The system refuses.
pub fn be_second() -> rustix::io::Result<()> {
    rustix::process::setpriority_process(None, BACKGROUND_NICE)
}

/// Ends this process at once, without what libraries left to be run at its end: an accelerator's library that
/// was opened at run time may crash there, after all the work is done.
pub fn exit_now(status: u8) -> ! {
    _exit(c_int::from(status))
}
