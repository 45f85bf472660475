//! GStreamer, opened at run time: the one place that calls it.
//!
//! Only ever called in a process of its own (`pipeline/source/child`): a plugin that crashes, hangs or leaks takes
//! that process with it and not the daemon, which neither links nor opens these libraries.
#![expect(unsafe_code, reason = "a shared library's symbols can only be called unsafely")]

mod api;

use std::ffi::{CStr, CString, c_int};
use std::ptr::null_mut;
use std::time::Duration;

use libloading::Library as Shared;
use serde::{Deserialize, Serialize};

use self::api::{Api, Buffer, Error, Map, Object};

/// The library with the frames' way out, which opens the others.
const NAME: &str = "libgstapp-1.0.so.0";
/// Name of the sink that frames are pulled from.
const SINK: &CStr = c"vedette_frames";
/// `GST_STATE_NULL` and `GST_STATE_PLAYING`.
const STATES: (c_int, c_int) = (1, 4);
/// `GST_STATE_CHANGE_FAILURE`.
const FAILURE: c_int = 0;
/// `GST_MESSAGE_ERROR`.
const MESSAGE_ERROR: c_int = 2;
/// `GST_FORMAT_TIME`.
const FORMAT_TIME: c_int = 3;
/// `GST_MAP_READ`.
const MAP_READ: c_int = 1;
/// `GST_CLOCK_TIME_NONE`.
const NO_TIME: u64 = u64::MAX;

/// What GStreamer says is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Which kind of error, such as `gst-resource-error-quark`.
    pub domain: String,
    /// Which of that kind.
    pub code: i32,
    /// For people.
    pub message: String,
    /// For developers: where it happened, and often the cause.
    pub debug: String,
}

impl Trouble {
    fn ours(message: impl Into<String>) -> Self {
        Self { domain: String::new(), code: 0, message: message.into(), debug: String::new() }
    }
}

/// The opened libraries.
#[derive(Debug)]
pub struct Library {
    api: Api,
}

impl Library {
    /// Opens and starts GStreamer.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn open() -> Result<Self, Trouble> {
        // SAFETY: what these libraries do when they are loaded is theirs; this process is for nothing else.
        let shared = unsafe { Shared::new(NAME) };
        let shared = shared.map_err(|error| Trouble {
            domain: LIBRARY.to_owned(),
            debug: error.to_string(),
            ..Trouble::ours(format!("there is no {NAME}"))
        })?;
        // Its threads may run until the very end.
        let shared: &'static Shared = Box::leak(Box::new(shared));
        let api = Api::find(shared).map_err(|error| Trouble::ours(error.to_string()))?;
        let library = Self { api };
        let mut error = null_mut();
        // SAFETY: no arguments are given; `error` is ours.
        if unsafe { (library.api.gst_init_check)(null_mut(), null_mut(), &raw mut error) } == 0 {
            return Err(library.trouble(error, null_mut()));
        }
        Ok(library)
    }

    /// Whether there is an element of this name.
    #[must_use]
    pub fn has(&self, element: &str) -> bool {
        let Ok(name) = CString::new(element) else { return false };
        // SAFETY: `name` is text; the factory that is found is given back.
        unsafe {
            let factory = (self.api.gst_element_factory_find)(name.as_ptr());
            if !factory.is_null() {
                (self.api.gst_object_unref)(factory);
            }
            !factory.is_null()
        }
    }

    /// Makes the pipeline that `text` describes, which ends in the sink [`Library::sink`]; then sets properties, as
    /// element, property and value.
    ///
    /// # Errors
    /// It is none, or an element or a property is missing.
    pub fn pipeline(
        &self,
        text: &str,
        set: &[(String, String, String)],
    ) -> Result<Pipeline<'_>, Trouble> {
        let text = c_text(text)?;
        let mut error = null_mut();
        // SAFETY: `text` is text, `error` ours.
        let pipeline = unsafe { (self.api.gst_parse_launch)(text.as_ptr(), &raw mut error) };
        // With an error there may be part of a pipeline too; the process ends soon.
        if pipeline.is_null() || !error.is_null() {
            return Err(self.trouble(error, null_mut()));
        }
        let by_name = |name: &CStr| {
            // SAFETY: a pipeline of at least two elements is a bin.
            let found = unsafe { (self.api.gst_bin_get_by_name)(pipeline, name.as_ptr()) };
            let what = name.to_string_lossy();
            if found.is_null() {
                Err(Trouble::ours(format!("no element {what}")))
            } else {
                Ok(found)
            }
        };
        for (element, property, value) in set {
            let element = by_name(&c_text(element)?)?;
            let (property, value) = (c_text(property)?, c_text(value)?);
            // SAFETY: `element` is an object, the others are text.
            unsafe {
                (self.api.gst_util_set_object_arg)(element, property.as_ptr(), value.as_ptr());
                (self.api.gst_object_unref)(element);
            }
        }
        let sink = by_name(SINK)?;
        // SAFETY: `pipeline` is one.
        let bus = unsafe { (self.api.gst_element_get_bus)(pipeline) };
        Ok(Pipeline { api: &self.api, library: self, pipeline, sink, bus })
    }

    /// The end of a description: a sink that keeps the newest frame only.
    #[must_use]
    pub fn sink(caps: &str) -> String {
        let name = SINK.to_string_lossy();
        format!(
            "appsink name={name} max-buffers=1 drop=true sync=false enable-last-sample=false caps=\"{caps}\""
        )
    }

    /// Takes an error and what belongs to it.
    fn trouble(&self, error: *mut Error, debug: *mut std::ffi::c_char) -> Trouble {
        if error.is_null() {
            return Trouble::ours("it said nothing");
        }
        // SAFETY: a `GError` that was given to us, read before it is freed.
        unsafe {
            let trouble = Trouble {
                domain: own_text((self.api.g_quark_to_string)((*error).domain)),
                code: (*error).code,
                message: own_text((*error).message),
                debug: own_text(debug),
            };
            (self.api.g_error_free)(error);
            (self.api.g_free)(debug);
            trouble
        }
    }
}

/// [`Trouble::domain`] where GStreamer itself is missing.
pub const LIBRARY: &str = "vedette-library";

/// What [`Pipeline::next`] came back with.
#[derive(Debug)]
pub enum Pulled<'a> {
    /// A frame.
    Sample(Sample<'a>),
    /// Nothing yet.
    Nothing,
    /// There will be no more.
    End,
}

/// A pipeline. Never given back: the process ends with it.
#[derive(Debug)]
pub struct Pipeline<'a> {
    api: &'a Api,
    library: &'a Library,
    pipeline: Object,
    sink: Object,
    bus: Object,
}

impl Pipeline<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub fn play(&self) -> Result<(), Trouble> {
        // SAFETY: `pipeline` is one.
        let changed = unsafe { (self.api.gst_element_set_state)(self.pipeline, STATES.1) };
        if changed != FAILURE {
            return Ok(());
        }
        Err(self
            .error()
            .unwrap_or_else(|| Trouble::ours("it does not start, and does not say why")))
    }

    /// Tells it to stop; may take as long as its elements do.
    pub fn stop(&self) {
        // SAFETY: `pipeline` is one.
        unsafe { (self.api.gst_element_set_state)(self.pipeline, STATES.0) };
    }

    /// The newest frame, if one comes within `patience`.
    ///
    /// # Errors
    /// An element failed.
    pub fn next(&self, patience: Duration) -> Result<Pulled<'_>, Trouble> {
        let patience = u64::try_from(patience.as_nanos()).unwrap_or(NO_TIME - 1);
        // SAFETY: `sink` is an `appsink`.
        let sample = unsafe { (self.api.gst_app_sink_try_pull_sample)(self.sink, patience) };
        let sample = (!sample.is_null()).then(|| Sample { pipeline: self, sample, map: Map::NONE });
        // Asked before the bus: an element says its error first, and its end then.
        // SAFETY: as above.
        let ended = unsafe { (self.api.gst_app_sink_is_eos)(self.sink) } != 0;
        // With each frame too: nobody else empties the bus.
        match (self.error(), sample) {
            (Some(trouble), _) => Err(trouble),
            (None, Some(sample)) => Ok(Pulled::Sample(sample)),
            (None, None) if ended => Ok(Pulled::End),
            (None, None) => Ok(Pulled::Nothing),
        }
    }

    fn error(&self) -> Option<Trouble> {
        // SAFETY: `bus` is one; a message of this kind has an error, which is ours then.
        unsafe {
            let message = (self.api.gst_bus_timed_pop_filtered)(self.bus, 0, MESSAGE_ERROR);
            if message.is_null() {
                return None;
            }
            let (mut error, mut debug) = (null_mut(), null_mut());
            (self.api.gst_message_parse_error)(message, &raw mut error, &raw mut debug);
            (self.api.gst_mini_object_unref)(message);
            Some(self.library.trouble(error, debug))
        }
    }
}

/// How a frame's bytes are to be read, in GStreamer's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caps {
    /// `video/x-raw` or `image/jpeg`.
    pub name: String,
    /// `NV12`, `I420`…; empty for JPEG.
    pub format: String,
    /// Its width in pixels; 0 where it does not say.
    pub width: i32,
    /// Its height in pixels.
    pub height: i32,
    /// `bt709`, `1:4:0:0`…; empty where it does not say.
    pub colorimetry: String,
}

/// A frame.
#[derive(Debug)]
pub struct Sample<'a> {
    pipeline: &'a Pipeline<'a>,
    sample: Object,
    map: Map,
}

impl Sample<'_> {
    /// How to read it.
    #[must_use]
    pub fn caps(&self) -> Caps {
        let api = self.pipeline.api;
        // SAFETY: the sample lives, and its caps with it; they are read only.
        unsafe {
            let caps = (api.gst_sample_get_caps)(self.sample);
            let structure =
                if caps.is_null() { null_mut() } else { (api.gst_caps_get_structure)(caps, 0) };
            if structure.is_null() {
                return Caps::default();
            }
            let text =
                |key: &CStr| own_text((api.gst_structure_get_string)(structure, key.as_ptr()));
            let number = |key: &CStr| {
                let mut number = 0;
                (api.gst_structure_get_int)(structure, key.as_ptr(), &raw mut number);
                number
            };
            Caps {
                name: own_text((api.gst_structure_get_name)(structure)),
                format: text(c"format"),
                width: number(c"width"),
                height: number(c"height"),
                colorimetry: text(c"colorimetry"),
            }
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// They cannot be read by a processor.
    pub fn bytes(&mut self) -> Result<&[u8], Trouble> {
        let buffer = self.buffer();
        // SAFETY: the buffer lives as long as its sample; it is mapped once, and unmapped on drop.
        unsafe {
            if self.map.data.is_null()
                && (buffer.is_null()
                    || (self.pipeline.api.gst_buffer_map)(buffer, &raw mut self.map, MAP_READ) == 0)
            {
                return Err(Trouble::ours("a frame's memory cannot be read"));
            }
            // An empty buffer is mapped to nowhere.
            if self.map.data.is_null() {
                return Ok(&[]);
            }
            Ok(std::slice::from_raw_parts(self.map.data, self.map.size))
        }
    }

    /// How long ago it was captured, by the pipeline's own clock and its sources' time stamps.
    #[must_use]
    pub fn age(&self) -> Duration {
        let (api, pipeline) = (self.pipeline.api, self.pipeline.pipeline);
        let buffer = self.buffer();
        if buffer.is_null() {
            return Duration::ZERO;
        }
        // SAFETY: the buffer, its segment and the pipeline live; the clock is given back.
        unsafe {
            let segment = (api.gst_sample_get_segment)(self.sample);
            let clock = (api.gst_element_get_clock)(pipeline);
            if segment.is_null() || clock.is_null() || (*buffer).pts == NO_TIME {
                return Duration::ZERO;
            }
            let now = (api.gst_clock_get_time)(clock);
            (api.gst_object_unref)(clock);
            let running = (api.gst_segment_to_running_time)(segment, FORMAT_TIME, (*buffer).pts);
            if running == NO_TIME {
                return Duration::ZERO;
            }
            let shown = (api.gst_element_get_base_time)(pipeline).saturating_add(running);
            Duration::from_nanos(now.saturating_sub(shown))
        }
    }

    fn buffer(&self) -> *const Buffer {
        // SAFETY: the sample lives.
        unsafe { (self.pipeline.api.gst_sample_get_buffer)(self.sample) }
    }
}

impl Drop for Sample<'_> {
    fn drop(&mut self) {
        // SAFETY: mapped once, if at all, and ours.
        unsafe {
            if !self.map.data.is_null() {
                (self.pipeline.api.gst_buffer_unmap)(self.buffer(), &raw mut self.map);
            }
            (self.pipeline.api.gst_mini_object_unref)(self.sample);
        }
    }
}

fn c_text(text: &str) -> Result<CString, Trouble> {
    CString::new(text).map_err(|_| Trouble::ours("a text has a zero byte in it"))
}

/// # Safety
/// `text` is null or text of C.
unsafe fn own_text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promised.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
