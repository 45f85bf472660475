//! Large blocks through a pipe without a copy on the way in.
//!
//! A pipe copies twice, and takes and gives back a page of the kernel for every 4 KiB: for the raw pictures of a
//! camera that is most of what they cost. The kernel can put the writer's own pages into the pipe instead; then the
//! writer must leave them alone until they were read.

#![expect(unsafe_code, reason = "pages go into a pipe by address")]

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, ioctl_fionread};
use rustix::pipe::{IoSliceRaw, SpliceFlags, vmsplice};

/// Shorter blocks are copied: that is cheaper than to wait until they were read.
const WORTH_IT_BYTES: usize = 128 << 10;
/// How often it is asked whether all was read; the last of a pipe is read within a fraction of a millisecond.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// Writes `bytes` into `pipe`, by page where the kernel can, and returns once they were all read, or hold no page of
/// `bytes` any more.
///
/// # Errors
/// As for a write; `BrokenPipe` where nobody reads.
pub fn give(pipe: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    let writes = rustix::fs::fcntl_getfl(&*pipe)?.intersection(OFlags::RWMODE) == OFlags::WRONLY;
    let mut lent = false;
    while writes && bytes.len() >= WORTH_IT_BYTES {
        // SAFETY: this is the end that is written to: the kernel reads `bytes`. They are borrowed until `read_up`
        // says that no page is left in the pipe, or its reader is gone.
        match unsafe { vmsplice(&*pipe, &[IoSliceRaw::from_slice(bytes)], SpliceFlags::empty()) } {
            Ok(count) => {
                lent = true;
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => return Err(Errno::PIPE.into()),
            // Memory of a driver, no pipe, a kernel that will not: what is left is copied.
            Err(_) => break,
        }
    }
    pipe.write_all(bytes)?;
    if lent { read_up(pipe) } else { Ok(()) }
}

/// Waits until a pipe is empty.
fn read_up(pipe: &File) -> io::Result<()> {
    while ioctl_fionread(pipe).unwrap_or_default() > 0 {
        let mut polled = [PollFd::new(pipe, PollFlags::empty())];
        let limit = Timespec::try_from(LOOK_EVERY).ok();
        match poll(&mut polled, limit.as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            // Asked for nothing, it only says that the other end is closed.
            Ok(_) => return Err(Errno::PIPE.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;

    fn pipe() -> (File, File) {
        let (out, into) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        (out.into(), into.into())
    }

    fn block(length: usize, first: u8) -> Vec<u8> {
        (0..=250).cycle().map(|byte: u8| byte.wrapping_add(first)).take(length).collect()
    }

    #[test]
    fn what_is_given_is_read_although_the_giver_uses_its_memory_again_at_once() {
        let (mut out, mut into) = pipe();
        let lengths = [0, 1, 96, 4096, WORTH_IT_BYTES - 1, WORTH_IT_BYTES, 3_110_401, 700_000];
        let total: usize = lengths.iter().sum();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            out.read_to_end(&mut all).unwrap();
            all
        });
        let mut wanted = Vec::new();
        let mut memory = vec![0; 4 << 20];
        for (first, length) in (0..).zip(lengths) {
            let bytes = block(length, first);
            memory[1..=length].copy_from_slice(&bytes);
            give(&mut into, &memory[1..=length]).unwrap();
            memory.fill(0xFF);
            wanted.extend(bytes);
        }
        drop(into);
        let all = reader.join().unwrap();
        assert_eq!(all.len(), total);
        assert!(all == wanted);
    }

    #[test]
    fn a_reader_that_is_gone_or_goes_is_an_error_and_no_wait() {
        let (out, mut into) = pipe();
        drop(out);
        let error = give(&mut into, &block(1 << 20, 0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);

        let (mut out, mut into) = pipe();
        // What fits into the pipe as a whole: only the wait for its reader can tell.
        rustix::pipe::fcntl_setpipe_size(&into, 1 << 20).unwrap();
        let reader = std::thread::spawn(move || out.read_exact(&mut [0; 100]).unwrap());
        let error = give(&mut into, &block(WORTH_IT_BYTES, 0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        reader.join().unwrap();
    }

    #[test]
    fn into_what_is_no_pipe_it_is_copied() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes = block(1 << 20, 7);
        give(&mut file, &bytes).unwrap();
        file.rewind().unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }
}
