//! Large buffers on large pages.
//!
//! From one tensor row to the next, preprocessing jumps over several rows of the picture, each time onto other
//! pages of 4 KiB, and the processor's cache of page addresses is too small for a frame. A page of 2 MiB is one
//! entry of it instead of 512. Only whole large pages inside a buffer are asked for, so that none costs memory that
//! nobody uses. A kernel that has none, or not at these addresses, gives small ones: nothing but speed depends
//! on it.
//!
//! And the program's own code: what only a start needs need not stay resident on a board with little memory.

#![expect(unsafe_code, reason = "advice to the kernel goes by address")]

use std::ptr::NonNull;

/// A large page on every 64-bit Linux with small ones of 4 KiB.
pub(super) const HUGE_PAGE: usize = 2 << 20;
/// A small page, where the C library begins an allocation of its own mapping.
const PAGE: usize = 4096;

/// An empty list with room for at least `count` elements, on large pages where it is large.
#[must_use]
pub fn with_room<T>(count: usize) -> Vec<T> {
    let bytes = count.saturating_mul(size_of::<T>());
    if bytes < HUGE_PAGE {
        return Vec::with_capacity(count);
    }
    // A mapping of whole large pages is put at a multiple of them (Linux 6.7 and later). The C library adds a
    // header; what is beyond `bytes` is address space, not memory.
    let mapping = (bytes + PAGE).next_multiple_of(HUGE_PAGE) - PAGE;
    let mut list = Vec::<T>::with_capacity(mapping / size_of::<T>());
    if let Some(data) = NonNull::new(list.as_mut_ptr()) {
        advise(data.cast(), bytes);
    }
    list
}

/// Makes `bytes` so long; where it must grow, what was in it is gone.
pub fn resize(bytes: &mut Vec<u8>, length: usize) {
    if bytes.capacity() < length {
        *bytes = with_room(length);
    }
    bytes.resize(length, 0);
}

/// A copy of `bytes`, on large pages where it is large.
#[must_use]
pub fn copy(bytes: &[u8]) -> Vec<u8> {
    let mut copy = with_room(bytes.len());
    copy.extend_from_slice(bytes);
    copy
}

/// Asks for large pages in an allocation of `bytes` bytes at `data` that was not touched yet.
pub(super) fn advise(data: NonNull<u8>, bytes: usize) {
    // An allocation with a mapping of its own begins just behind the C library's header in its first page.
    let header = data.addr().get() % PAGE;
    let first = data.addr().get() - header;
    let skipped = first.next_multiple_of(HUGE_PAGE) - first;
    let whole = (header + bytes).saturating_sub(skipped) / HUGE_PAGE * HUGE_PAGE;
    if whole == 0 {
        return;
    }
    let begin = data.as_ptr().wrapping_sub(header).wrapping_add(skipped);
    let advice = rustix::mm::Advice::LinuxHugepage;
    // SAFETY: this advice changes no content, so that the page's first bytes, which are the C library's, may be
    // in it; all of it is mapped, since an allocation's pages are.
    if unsafe { rustix::mm::madvise(begin.cast(), whole, advice) }.is_err() {
        tracing::trace!("this kernel has no huge pages");
    }
}

/// What is let go of besides the program itself: the C library's parts, which were never written to either.
/// Libraries that were opened at run time may have changed their own code, and are left alone.
const C_LIBRARY: [&str; 4] = ["/libc.so.6", "/libm.so.6", "/libgcc_s.so.1", "/ld-linux-"];

/// Lets go of code and constants, the program's and the C library's; what is used again is read again, from the page
/// cache as a rule.
pub fn release_program() {
    let (Ok(program), Ok(maps)) =
        (std::env::current_exe(), std::fs::read_to_string("/proc/self/maps"))
    else {
        return;
    };
    let program = program.to_string_lossy();
    for range in maps.lines().filter_map(|line| unwritten(line, &program)) {
        let begin = std::ptr::with_exposed_provenance_mut(range.start);
        let advice = rustix::mm::Advice::LinuxDontNeed;
        // SAFETY: the range is one mapping of a file, private, and was at no time writable: what is in it is what is
        // in the file, and is mapped again where it is next touched.
        if unsafe { rustix::mm::madvise(begin, range.len(), advice) }.is_err() {
            tracing::trace!("what only the start needed stays resident");
        }
    }
}

/// Where `line` of a list of mappings has code or constants of `program` or the C library. Of what is only readable,
/// what is at the file's beginning: further on are tables that the loader filled with addresses before it locked them.
fn unwritten(line: &str, program: &str) -> Option<std::ops::Range<usize>> {
    let mut words = line.split_whitespace();
    let (range, access, offset) = (words.next()?, words.next()?, words.next()?);
    let begins = usize::from_str_radix(offset, 16) == Ok(0);
    if !(access == "r-xp" || access == "r--p" && begins) {
        return None;
    }
    let file = words.nth(2)?;
    if file != program && !C_LIBRARY.iter().any(|name| file.contains(name)) {
        return None;
    }
    let (begin, end) = range.split_once('-')?;
    Some(usize::from_str_radix(begin, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_written_is_let_go_of() {
        for (line, found) in [
            ("0-1000 r--p 00000000 fe:00 77    /usr/bin/vedette", Some(0..0x1000)),
            ("1000-3000 r-xp 00001000 fe:00 77    /usr/bin/vedette", Some(0x1000..0x3000)),
            ("3000-4000 r--p 00003000 fe:00 77    /usr/bin/vedette", None),
            ("4000-5000 rw-p 00004000 fe:00 77    /usr/bin/vedette", None),
            ("5000-6000 r-xp 00001000 fe:00 78    /usr/lib/libc.so.6", Some(0x5000..0x6000)),
            ("5000-6000 r--p 00020000 fe:00 78    /usr/lib/libc.so.6", None),
            ("5000-6000 r-xp 00001000 fe:00 79    /usr/lib/libonnxruntime.so", None),
            ("7000-8000 r-xp 00000000 00:00 0", None),
        ] {
            assert_eq!(unwritten(line, "/usr/bin/vedette"), found, "{line}");
        }
        release_program();
        assert_eq!(copy(&[7; 3]), [7; 3], "and what is called after it still runs");
    }

    #[test]
    fn a_buffer_of_any_size_has_room_and_keeps_what_is_put_in() {
        for length in [0, 1, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 3 * HUGE_PAGE - PAGE] {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            assert!(copy(&bytes) == bytes, "{length}");
            let mut again = vec![1, 2, 3];
            resize(&mut again, length);
            assert_eq!(again.len(), length);
            assert!(with_room::<u64>(length).capacity() >= length);
        }
    }

    #[test]
    fn a_buffer_that_is_long_enough_stays_where_it_is() {
        let mut bytes = with_room::<u8>(100);
        let at = bytes.as_ptr();
        for length in [100, 0, 50] {
            resize(&mut bytes, length);
            assert_eq!((bytes.as_ptr(), bytes.len()), (at, length));
        }
    }
}
