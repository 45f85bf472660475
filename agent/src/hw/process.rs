//! What only the C library can do with a process, and what the kernel tells of one.
#![expect(unsafe_code, reason = "calls into the C library")]

use std::ffi::c_int;
use std::path::Path;

use crate::disk;

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

/// Has this thread wait for a free processor, by the scheduler's batch policy, or take one from a thread that runs there
/// again, as is usual. Neither needs a right. False, and nothing changed, where it is of another policy than the other
/// of these two: the owner of the device must have chosen that.
///
/// # Errors
/// The system refuses.
pub fn give_way(gives_way: bool) -> std::io::Result<bool> {
    let (from, to) = match gives_way {
        true => (libc::SCHED_OTHER, libc::SCHED_BATCH),
        false => (libc::SCHED_BATCH, libc::SCHED_OTHER),
    };
    // SAFETY: it takes and returns numbers; 0 is the calling thread.
    if unsafe { libc::sched_getscheduler(0) } != from {
        return Ok(false);
    }
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` is valid for the call, which only reads it; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, to, &raw const param) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(true),
    }
}

/// Ends this process at once, without what libraries left to be run at its end: an accelerator's library that
/// was opened at run time may crash there, after all the work is done.
pub fn exit_now(status: u8) -> ! {
    _exit(c_int::from(status))
}

/// Largest file about a process that is read: a line of it has a word for each processor.
const PROC_BYTES_MAX: u64 = 64 << 10;

/// The number that the kernel tells of `process` behind `key`, such as `Threads:`; `None` where it tells none.
#[must_use]
pub fn status(process: u32, key: &str) -> Option<u64> {
    let path = format!("/proc/{process}/status");
    number(&disk::read_bounded(Path::new(&path), PROC_BYTES_MAX).ok()?, key)
}

fn number(status: &[u8], key: &str) -> Option<u64> {
    // A process may call itself what is no text.
    let status = String::from_utf8_lossy(status);
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The memory behind `key`, such as `VmRSS:`, in bytes.
#[must_use]
pub fn memory_bytes(process: u32, key: &str) -> Option<u64> {
    status(process, key)?.checked_mul(1024)
}

/// How many files this process has open.
#[must_use]
pub fn open_files() -> Option<u64> {
    u64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_behind_its_key_and_nowhere_else() {
        let status = b"Name:\t\xff Threads:\t9\nVmRSS:\t  123 kB\nThreads:\t7\n";
        assert_eq!(number(status, "Threads:"), Some(7));
        assert_eq!(number(status, "VmRSS:"), Some(123));
        assert_eq!(number(status, "VmHWM:"), None);
        assert_eq!(number(b"", "Threads:"), None);
    }

    #[test]
    fn who_gives_way_is_alone_in_that_and_may_stop() {
        // Of `man 5 proc_pid_stat`: the policy is the 41st field, the 39th behind the name.
        let policy = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, fields) = stat.rsplit_once(')').unwrap();
            fields.split_whitespace().nth(38).unwrap().parse::<c_int>().unwrap()
        };
        let before = policy();
        let theirs = std::thread::spawn(move || {
            [true, false].map(|gives_way| (give_way(gives_way).unwrap(), policy()))
        });
        let expected = [(true, libc::SCHED_BATCH), (true, libc::SCHED_OTHER)];
        assert_eq!(theirs.join().unwrap(), expected);
        assert_eq!(policy(), before);
    }
}
