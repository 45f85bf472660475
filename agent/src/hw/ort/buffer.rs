//! The memory of a lane's tensors: allocated once, filled and read in place.
#![expect(unsafe_code, reason = "the library reads and writes this memory by its address")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

use half::f16;

use crate::hw::pages::{HUGE_PAGE, advise};
use crate::pipeline::tensor::{Element, Elements, ElementsMut};

use super::raw::HostAllocator;
use super::turns;

/// What the widest vector instructions like.
const ALIGN: usize = 64;

/// Zeroed memory with a fixed address.
#[derive(Debug)]
pub(super) struct Buffer {
    data: NonNull<u8>,
    bytes: usize,
    owner: Owner,
}

#[derive(Debug)]
enum Owner {
    Heap(Layout),
    Pinned(Arc<HostAllocator>),
}

// SAFETY: this owns the memory; references to it follow Rust's rules.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `bytes` bytes: from `host`, where there is one that has them, else ordinary memory.
    pub(super) fn new(bytes: usize, host: Option<&Arc<HostAllocator>>) -> Self {
        let pinned = host.and_then(|host| {
            let _turn = turns::to_change();
            Some((host.allocate(bytes.max(1)).ok()?, host))
        });
        let (data, owner) = match pinned {
            Some((data, host)) => (data, Owner::Pinned(host.clone())),
            None => heap(bytes),
        };
        // SAFETY: just allocated, at least this long.
        unsafe { data.write_bytes(0, bytes) };
        Self { data, bytes, owner }
    }

    /// Its address.
    pub(super) fn data(&self) -> NonNull<u8> {
        self.data
    }

    /// Its length.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// The first `bytes` of its content, as elements.
    pub(super) fn elements(&self, element: Element, bytes: usize) -> Elements<'_> {
        // SAFETY: this owns as many bytes, all initialised, and the result borrows it.
        unsafe { elements(element, self.data.as_ptr(), bytes.min(self.bytes)) }
    }

    /// Its content, to be filled; `None` where it is none of the types that a source can fill.
    pub(super) fn elements_mut(&mut self, element: Element) -> Option<ElementsMut<'_>> {
        let (data, bytes) = (self.data, self.bytes);
        // SAFETY: this owns as many bytes, aligned for any element, all initialised, and the result borrows
        // it mutably; every bit pattern is a valid number.
        unsafe {
            Some(match element {
                Element::F32 => ElementsMut::F32(
                    NonNull::slice_from_raw_parts(data.cast::<f32>(), bytes / 4).as_mut(),
                ),
                Element::F16 => ElementsMut::F16(
                    NonNull::slice_from_raw_parts(data.cast::<f16>(), bytes / 2).as_mut(),
                ),
                Element::U8 => ElementsMut::U8(NonNull::slice_from_raw_parts(data, bytes).as_mut()),
                Element::I8 => ElementsMut::I8(
                    NonNull::slice_from_raw_parts(data.cast::<i8>(), bytes).as_mut(),
                ),
                _ => return None,
            })
        }
    }

    /// Its bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: this owns as many bytes, all initialised, and the result borrows it.
        unsafe { NonNull::slice_from_raw_parts(self.data, self.bytes).as_ref() }
    }

    /// Its bytes, to be filled.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { NonNull::slice_from_raw_parts(self.data, self.bytes).as_mut() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match &self.owner {
            // SAFETY: allocated with this layout, by `heap`.
            Owner::Heap(layout) => unsafe { dealloc(self.data.as_ptr(), *layout) },
            Owner::Pinned(host) => {
                let _turn = turns::to_change();
                // SAFETY: allocated by this allocator, by `new`.
                unsafe { host.free(self.data) }
            }
        }
    }
}

fn heap(bytes: usize) -> (NonNull<u8>, Owner) {
    let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { ALIGN };
    // `shape::TENSOR_BYTES_MAX` keeps it far from overflow.
    let layout = Layout::from_size_align(bytes.max(1), align).unwrap_or(Layout::new::<u64>());
    // SAFETY: the layout's size is not zero.
    let Some(data) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
    advise(data, bytes);
    (data, Owner::Heap(layout))
}

/// `bytes` bytes at `data`, as elements; empty where `data` is null.
///
/// # Safety
/// They must be initialised, and stay as they are while the result lives.
pub(super) unsafe fn elements<'a>(element: Element, data: *const u8, bytes: usize) -> Elements<'a> {
    /// # Safety
    /// As above, for elements of which every bit pattern is valid.
    unsafe fn of<'a, T>(data: *const u8, bytes: usize) -> &'a [T] {
        let data = data.cast::<T>();
        if data.is_null() || !data.is_aligned() {
            return &[];
        }
        // SAFETY: the caller's word; not null and aligned.
        unsafe { std::slice::from_raw_parts(data, bytes / size_of::<T>()) }
    }
    // SAFETY: the caller's word, passed on.
    unsafe {
        match element {
            Element::F32 => Elements::F32(of(data, bytes)),
            Element::F16 => Elements::F16(of(data, bytes)),
            Element::F64 => Elements::F64(of(data, bytes)),
            Element::U8 => Elements::U8(of(data, bytes)),
            Element::I8 => Elements::I8(of(data, bytes)),
            Element::I32 => Elements::I32(of(data, bytes)),
            Element::I64 => Elements::I64(of(data, bytes)),
            Element::Bool => {
                let raw = of::<u8>(data, bytes);
                if raw.iter().all(|&byte| byte <= 1) {
                    Elements::Bool(of(data, bytes))
                } else {
                    Elements::Other(element, raw)
                }
            }
            _ => Elements::Other(element, of(data, bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_zeroed_aligned_and_as_long_as_asked() {
        for bytes in [0, 1, 64, HUGE_PAGE - 4, HUGE_PAGE, HUGE_PAGE + 4] {
            let mut buffer = Buffer::new(bytes, None);
            assert_eq!(buffer.data().align_offset(ALIGN), 0);
            let ElementsMut::U8(found) = buffer.elements_mut(Element::U8).unwrap() else {
                panic!()
            };
            assert!(found.len() == bytes && found.iter().all(|&byte| byte == 0), "{bytes}");
            found.fill(1);
        }
    }

    #[test]
    fn a_truth_value_that_is_neither_stays_bytes() {
        let mut buffer = Buffer::new(3, None);
        buffer.bytes_mut().copy_from_slice(&[0, 1, 1]);
        assert!(matches!(buffer.elements(Element::Bool, 3), Elements::Bool([false, true, true])));
        buffer.bytes_mut()[1] = 2;
        assert!(matches!(
            buffer.elements(Element::Bool, 3),
            Elements::Other(Element::Bool, [0, 2, 1])
        ));
    }
}
