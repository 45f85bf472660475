//! The symbols of GStreamer that are called, found when its libraries are opened.
//!
//! GStreamer 1.x promises that these do not change; the oldest board has 1.14. What is laid out here, and not only
//! pointed to, is `GError`, `GstMapInfo` and the head of `GstBuffer`, which are part of the same promise.
#![expect(unsafe_code, reason = "a shared library's symbols can only be called unsafely")]

use std::ffi::{c_char, c_int, c_uint, c_void};

use libloading::Library as Shared;

/// An object of GStreamer's, of whatever class.
pub(super) type Object = *mut c_void;
/// Text of C.
pub(super) type Text = *const c_char;

/// `GError`.
#[repr(C)]
pub(super) struct Error {
    pub(super) domain: c_uint,
    pub(super) code: c_int,
    pub(super) message: *mut c_char,
}

/// `GstMapInfo`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Map {
    memory: Object,
    flags: c_int,
    pub(super) data: *const u8,
    pub(super) size: usize,
    max_size: usize,
    user: [Object; 4],
    reserved: [Object; 4],
}

impl Map {
    pub(super) const NONE: Self = Self {
        memory: std::ptr::null_mut(),
        flags: 0,
        data: std::ptr::null(),
        size: 0,
        max_size: 0,
        user: [std::ptr::null_mut(); 4],
        reserved: [std::ptr::null_mut(); 4],
    };
}

/// The head of `GstBuffer`: a `GstMiniObject`, its pool, and when it is to be shown.
#[repr(C)]
pub(super) struct Buffer {
    kind: usize,
    references: c_int,
    lock: c_int,
    flags: c_uint,
    functions: [Object; 3],
    number: c_uint,
    pointer: Object,
    pool: Object,
    pub(super) pts: u64,
}

const _: () = assert!(std::mem::offset_of!(Buffer, pts) == 72 && size_of::<Map>() == 104);

macro_rules! symbols {
    ($($name:ident ($($type:ty),*) $(-> $result:ty)?;)*) => {
        /// Each symbol that is called.
        #[derive(Debug)]
        pub(super) struct Api {
            $(pub(super) $name: unsafe extern "C" fn($($type),*) $(-> $result)?,)*
        }

        impl Api {
            /// Finds them in `shared` and what it depends on.
            ///
            /// # Errors
            /// One is missing: it is another library.
            pub(super) fn find(shared: &Shared) -> Result<Self, libloading::Error> {
                // SAFETY: each type is that of the C header, and the library stays open for good.
                unsafe {
                    Ok(Self {
                        $($name: *shared.get(concat!(stringify!($name), "\0").as_bytes())?,)*
                    })
                }
            }
        }
    };
}

symbols! {
    gst_init_check(*mut c_int, *mut *mut *mut c_char, *mut *mut Error) -> c_int;
    gst_parse_launch(Text, *mut *mut Error) -> Object;
    gst_bin_get_by_name(Object, Text) -> Object;
    gst_util_set_object_arg(Object, Text, Text);
    gst_element_factory_find(Text) -> Object;
    gst_object_unref(Object);
    gst_mini_object_unref(Object);
    gst_element_set_state(Object, c_int) -> c_int;
    gst_element_get_bus(Object) -> Object;
    gst_element_get_clock(Object) -> Object;
    gst_element_get_base_time(Object) -> u64;
    gst_clock_get_time(Object) -> u64;
    gst_bus_timed_pop_filtered(Object, u64, c_int) -> Object;
    gst_message_parse_error(Object, *mut *mut Error, *mut *mut c_char);
    gst_app_sink_try_pull_sample(Object, u64) -> Object;
    gst_app_sink_is_eos(Object) -> c_int;
    gst_sample_get_buffer(Object) -> *const Buffer;
    gst_sample_get_caps(Object) -> Object;
    gst_sample_get_segment(Object) -> Object;
    gst_segment_to_running_time(Object, c_int, u64) -> u64;
    gst_caps_get_structure(Object, c_uint) -> Object;
    gst_structure_get_name(Object) -> Text;
    gst_structure_get_string(Object, Text) -> Text;
    gst_structure_get_int(Object, Text, *mut c_int) -> c_int;
    gst_buffer_map(*const Buffer, *mut Map, c_int) -> c_int;
    gst_buffer_unmap(*const Buffer, *mut Map);
    g_quark_to_string(c_uint) -> Text;
    g_error_free(*mut Error);
    g_free(*mut c_char);
}
