//! The kernel's structures and request numbers of Video4Linux, as `linux/videodev2.h` has them on 64-bit machines.
//!
//! The test below has both C compilers hold sizes, offsets and numbers against the header; the sizes are asserted in
//! every build besides.

use std::marker::PhantomData;

/// A four-letter name of a pixel format.
pub(super) const fn fourcc(name: [u8; 4]) -> u32 {
    u32::from_le_bytes(name)
}

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`.
pub(super) const CAPTURE: u32 = 1;
/// `V4L2_MEMORY_MMAP`.
pub(super) const MMAP: u32 = 1;
/// `V4L2_FIELD_ANY`.
pub(super) const FIELD_ANY: u32 = 0;

/// `V4L2_CAP_VIDEO_CAPTURE`, `_VIDEO_CAPTURE_MPLANE`, `_STREAMING`, `_DEVICE_CAPS`.
pub(super) const CAN_CAPTURE: u32 = 0x1;
pub(super) const CAN_CAPTURE_PLANES: u32 = 0x1000;
pub(super) const CAN_STREAM: u32 = 0x0400_0000;
pub(super) const HAS_DEVICE_CAPS: u32 = 0x8000_0000;

/// `V4L2_BUF_FLAG_ERROR`, `_TIMESTAMP_MASK`, `_TIMESTAMP_MONOTONIC`.
pub(super) const BUFFER_ERROR: u32 = 0x40;
pub(super) const TIMESTAMP_MASK: u32 = 0xE000;
pub(super) const TIMESTAMP_MONOTONIC: u32 = 0x2000;

/// `V4L2_CTRL_FLAG_NEXT_CTRL`, `_DISABLED`, `_READ_ONLY`, `_INACTIVE`.
pub(super) const NEXT_CONTROL: u32 = 0x8000_0000;
pub(super) const CONTROL_DISABLED: u32 = 0x1;
pub(super) const CONTROL_READ_ONLY: u32 = 0x4;
pub(super) const CONTROL_INACTIVE: u32 = 0x10;

/// `V4L2_CTRL_TYPE_INTEGER` to `_MENU`, and `_INTEGER_MENU`.
pub(super) const TYPE_INTEGER: u32 = 1;
pub(super) const TYPE_BOOLEAN: u32 = 2;
pub(super) const TYPE_MENU: u32 = 3;
pub(super) const TYPE_INTEGER_MENU: u32 = 9;

/// `V4L2_FRMSIZE_TYPE_DISCRETE`, and `V4L2_FRMIVAL_TYPE_DISCRETE`.
pub(super) const DISCRETE: u32 = 1;

/// What a request begins with: fields that it does not ask about are zero.
pub(super) trait Zero {
    /// All zero.
    const ZERO: Self;
}

macro_rules! structures {
    ($($(#[$meta:meta])* $name:ident = $c:literal, $size:literal { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            #[doc = concat!("`", $c, "`.")]
            #[derive(Debug, Clone, Copy)]
            $(#[$meta])*
            pub(super) struct $name { $(pub(super) $field: $type),* }

            const _: () = assert!(size_of::<$name>() == $size);

            impl Zero for $name {
                const ZERO: Self = {
                    // SAFETY: numbers only, for which zero is a value.
                    unsafe { std::mem::zeroed() }
                };
            }
        )*

        /// Each structure, its size and its fields' offsets, for the test that asks a C compiler.
        #[cfg(test)]
        fn layouts() -> Vec<(&'static str, usize, Vec<(&'static str, usize)>)> {
            vec![$((
                $c,
                size_of::<$name>(),
                vec![$((stringify!($field), std::mem::offset_of!($name, $field))),*],
            )),*]
        }
    };
}

structures! {
    #[repr(C)]
    Capability = "v4l2_capability", 104 {
        driver: [u8; 16],
        card: [u8; 32],
        bus_info: [u8; 32],
        version: u32,
        capabilities: u32,
        device_caps: u32,
        reserved: [u32; 3],
    }
    #[repr(C)]
    FormatDescription = "v4l2_fmtdesc", 64 {
        index: u32,
        r#type: u32,
        flags: u32,
        description: [u8; 32],
        pixelformat: u32,
        mbus_code: u32,
        reserved: [u32; 3],
    }
    #[repr(C)]
    Picture = "v4l2_pix_format", 48 {
        width: u32,
        height: u32,
        pixelformat: u32,
        field: u32,
        bytesperline: u32,
        sizeimage: u32,
        colorspace: u32,
        r#priv: u32,
        flags: u32,
        ycbcr_enc: u32,
        quantization: u32,
        xfer_func: u32,
    }
    // The union holds pointers in C: it begins at a multiple of eight.
    #[repr(C, align(8))]
    Format = "v4l2_format", 208 {
        r#type: u32,
        padding: u32,
        fmt: Picture,
        rest: [u64; 19],
    }
    #[repr(C)]
    RequestBuffers = "v4l2_requestbuffers", 20 {
        count: u32,
        r#type: u32,
        memory: u32,
        capabilities: u32,
        flags: u32,
    }
    #[repr(C)]
    Buffer = "v4l2_buffer", 88 {
        index: u32,
        r#type: u32,
        bytesused: u32,
        flags: u32,
        field: u32,
        timestamp: [i64; 2],
        timecode: [u32; 4],
        sequence: u32,
        memory: u32,
        m: u64,
        length: u32,
        reserved2: u32,
        request_fd: u32,
    }
    #[repr(C)]
    StreamParameters = "v4l2_streamparm", 204 {
        r#type: u32,
        capability: u32,
        mode: u32,
        numerator: u32,
        denominator: u32,
        rest: [u32; 46],
    }
    #[repr(C)]
    SizeEnum = "v4l2_frmsizeenum", 44 {
        index: u32,
        pixel_format: u32,
        r#type: u32,
        size: [u32; 6],
        reserved: [u32; 2],
    }
    #[repr(C)]
    IntervalEnum = "v4l2_frmivalenum", 52 {
        index: u32,
        pixel_format: u32,
        width: u32,
        height: u32,
        r#type: u32,
        interval: [u32; 6],
        reserved: [u32; 2],
    }
    #[repr(C)]
    QueryControl = "v4l2_queryctrl", 68 {
        id: u32,
        r#type: u32,
        name: [u8; 32],
        minimum: i32,
        maximum: i32,
        step: i32,
        default_value: i32,
        flags: u32,
        reserved: [u32; 2],
    }
    #[repr(C)]
    QueryMenu = "v4l2_querymenu", 44 {
        id: u32,
        index: u32,
        name: [u8; 32],
        reserved: u32,
    }
    #[repr(C)]
    Control = "v4l2_control", 8 {
        id: u32,
        value: i32,
    }
}

/// A request, and the structure that it is about.
#[derive(Debug)]
pub(super) struct Request<T> {
    pub(super) name: &'static str,
    pub(super) number: u64,
    argument: PhantomData<fn(&mut T)>,
}

const WRITE: u64 = 1;
const READ: u64 = 2;

#[expect(clippy::as_conversions, reason = "sizes below 2^14, in a constant")]
const fn request<T>(name: &'static str, way: u64, number: u64) -> Request<T> {
    let number = way << 30 | (size_of::<T>() as u64) << 16 | (b'V' as u64) << 8 | number;
    Request { name, number, argument: PhantomData }
}

macro_rules! requests {
    ($($name:ident($argument:ty) = $way:expr, $number:literal;)*) => {
        $(pub(super) const $name: Request<$argument> =
            request(concat!("VIDIOC_", stringify!($name)), $way, $number);)*

        #[cfg(test)]
        const REQUESTS: &[(&str, u64)] = &[$(($name.name, $name.number)),*];
    };
}

requests! {
    QUERYCAP(Capability) = READ, 0;
    ENUM_FMT(FormatDescription) = READ | WRITE, 2;
    S_FMT(Format) = READ | WRITE, 5;
    REQBUFS(RequestBuffers) = READ | WRITE, 8;
    QUERYBUF(Buffer) = READ | WRITE, 9;
    QBUF(Buffer) = READ | WRITE, 15;
    DQBUF(Buffer) = READ | WRITE, 17;
    STREAMON(u32) = WRITE, 18;
    STREAMOFF(u32) = WRITE, 19;
    S_PARM(StreamParameters) = READ | WRITE, 22;
    S_CTRL(Control) = READ | WRITE, 28;
    QUERYCTRL(QueryControl) = READ | WRITE, 36;
    QUERYMENU(QueryMenu) = READ | WRITE, 37;
    ENUM_FRAMESIZES(SizeEnum) = READ | WRITE, 74;
    ENUM_FRAMEINTERVALS(IntervalEnum) = READ | WRITE, 75;
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Fields of ours that are named otherwise in C, or are only padding.
    fn c_name(structure: &str, field: &str) -> Option<String> {
        Some(match (structure, field.trim_start_matches("r#")) {
            (_, "padding" | "rest") => return None,
            ("v4l2_format", "fmt") => "fmt.pix".to_owned(),
            ("v4l2_streamparm", "capability") => "parm.capture.capability".to_owned(),
            ("v4l2_streamparm", "mode") => "parm.capture.capturemode".to_owned(),
            ("v4l2_streamparm", name @ ("numerator" | "denominator")) => {
                format!("parm.capture.timeperframe.{name}")
            }
            ("v4l2_frmsizeenum", "size") => "discrete".to_owned(),
            ("v4l2_frmivalenum", "interval") => "discrete".to_owned(),
            (_, name) => name.to_owned(),
        })
    }

    #[test]
    fn both_c_compilers_find_these_structures_and_numbers_in_the_header() {
        let mut text = "#include <stddef.h>\n#include <linux/videodev2.h>\n".to_owned();
        for (structure, size, fields) in layouts() {
            text += &format!("_Static_assert(sizeof(struct {structure}) == {size}, \"\");\n");
            for (field, offset) in fields {
                let Some(field) = c_name(structure, field) else { continue };
                text += &format!(
                    "_Static_assert(offsetof(struct {structure}, {field}) == {offset}, \"{field}\");\n"
                );
            }
        }
        for (name, number) in REQUESTS {
            text += &format!("_Static_assert({name} == {number}u, \"{name}\");\n");
        }
        for (name, number) in [
            ("V4L2_CAP_VIDEO_CAPTURE", CAN_CAPTURE),
            ("V4L2_CAP_VIDEO_CAPTURE_MPLANE", CAN_CAPTURE_PLANES),
            ("V4L2_CAP_STREAMING", CAN_STREAM),
            ("V4L2_CAP_DEVICE_CAPS", HAS_DEVICE_CAPS),
            ("V4L2_BUF_FLAG_ERROR", BUFFER_ERROR),
            ("V4L2_BUF_FLAG_TIMESTAMP_MASK", TIMESTAMP_MASK),
            ("V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC", TIMESTAMP_MONOTONIC),
            ("V4L2_CTRL_FLAG_NEXT_CTRL", NEXT_CONTROL),
            ("V4L2_CTRL_FLAG_DISABLED", CONTROL_DISABLED),
            ("V4L2_CTRL_FLAG_READ_ONLY", CONTROL_READ_ONLY),
            ("V4L2_CTRL_FLAG_INACTIVE", CONTROL_INACTIVE),
            ("V4L2_CTRL_TYPE_INTEGER", TYPE_INTEGER),
            ("V4L2_CTRL_TYPE_BOOLEAN", TYPE_BOOLEAN),
            ("V4L2_CTRL_TYPE_MENU", TYPE_MENU),
            ("V4L2_CTRL_TYPE_INTEGER_MENU", TYPE_INTEGER_MENU),
            ("V4L2_FRMSIZE_TYPE_DISCRETE", DISCRETE),
            ("V4L2_FRMIVAL_TYPE_DISCRETE", DISCRETE),
            ("V4L2_PIX_FMT_NV12", fourcc(*b"NV12")),
            ("V4L2_PIX_FMT_BGR24", fourcc(*b"BGR3")),
        ] {
            text += &format!("_Static_assert({name} == {number}u, \"{name}\");\n");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("layout.c");
        crate::disk::replace(&file, text.as_bytes()).unwrap();
        // On an arm64 machine the second is the first.
        for compiler in ["cc", "aarch64-linux-gnu-gcc"] {
            let Ok(output) = Command::new(compiler).arg("-fsyntax-only").arg(&file).output() else {
                assert_ne!(compiler, "cc", "there is no C compiler");
                continue;
            };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
