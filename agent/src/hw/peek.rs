//! Bytes out of the memory of a process that this one started, in one copy and without a pipe between them.
//!
//! A pipe copies twice, takes and gives back a page of the kernel for every 4 KiB, and wakes both ends for each part
//! that it holds: for the raw pictures of a camera that is most of what they cost. Where a system forbids to read
//! another process (Yama's `ptrace_scope` 2 and 3, some containers), this is an error, and a pipe is what is left.

#![expect(unsafe_code, reason = "the kernel reads and writes by address")]

use std::io;

/// Fills `into` with what `process` has from `at` on. What it writes there meanwhile may be in it or not: the bytes are
/// the kernel's copy, never memory that two share.
///
/// # Errors
/// The system does not allow it, the process is gone, or not all of it is memory that can be read.
pub fn read(process: u32, at: u64, mut into: &mut [u8]) -> io::Result<()> {
    let unheard = || io::Error::from(io::ErrorKind::InvalidInput);
    let process = libc::pid_t::try_from(process).map_err(|_| unheard())?;
    let mut at = usize::try_from(at).map_err(|_| unheard())?;
    while !into.is_empty() {
        let ours = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        // Where it is, is the other process's affair: the kernel looks there, and refuses what is not mapped.
        let theirs =
            libc::iovec { iov_base: std::ptr::without_provenance_mut(at), iov_len: into.len() };
        // SAFETY: `ours` is memory that is borrowed to be written; of this process nothing else is touched.
        let count =
            unsafe { libc::process_vm_readv(process, &raw const ours, 1, &raw const theirs, 1, 0) };
        match usize::try_from(count) {
            Err(_) => return Err(io::Error::last_os_error()),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                into = into.get_mut(count..).unwrap_or_default();
                at = at.saturating_add(count);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_is_read_and_what_it_has_not_is_an_error() {
        let there: Vec<u8> = (0..=250).cycle().take(3_110_401).collect();
        let at = u64::try_from(there.as_ptr().expose_provenance()).unwrap();
        let mut here = vec![0; there.len()];
        read(std::process::id(), at, &mut here).unwrap();
        assert!(here == there);
        read(std::process::id(), 0, &mut []).unwrap();

        let error = read(std::process::id(), 16, &mut here).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let error = read(ended.id(), at, &mut here).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }
}
