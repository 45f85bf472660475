//! Large buffers on large pages.
//!
//! From one tensor row to the next, preprocessing jumps over several rows of the picture, each time onto other
//! pages of 4 KiB, and the processor's cache of page addresses is too small for a frame. A page of 2 MiB is one
//! entry of it instead of 512. Only whole large pages inside a buffer are asked for, so that none costs memory that
//! nobody uses. A kernel that has none, or not at these addresses, gives small ones: nothing but speed depends
//! on it.

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

#[cfg(test)]
mod tests {
    use super::*;

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
