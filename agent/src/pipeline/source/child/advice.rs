//! From what GStreamer says to what to do about it.
//!
//! Its messages are for developers ("Internal data stream error"); what a person needs is often in the debug text
//! of the element that failed. `tests/tests/cameras/` provokes the real ones.

use super::serve::UNUSABLE;
use crate::hw::gstreamer::{LIBRARY, Trouble};

/// Elements (or how their names begin) and the Debian package that has them.
const PACKAGES: &[(&str, &str)] = &[
    ("nvargus", "GStreamer plugins of JetPack: nvidia-l4t-gstreamer, nvidia-l4t-camera"),
    ("nv", "GStreamer plugins of JetPack: nvidia-l4t-gstreamer"),
    ("avdec_", "gstreamer1.0-libav"),
    ("x264", "gstreamer1.0-plugins-ugly"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("h265parse", "gstreamer1.0-plugins-bad"),
    ("jpegparse", "gstreamer1.0-plugins-bad"),
    ("rtsp", "gstreamer1.0-plugins-good"),
    ("rtp", "gstreamer1.0-plugins-good"),
    ("v4l2", "gstreamer1.0-plugins-good"),
    ("jpeg", "gstreamer1.0-plugins-good"),
    ("udp", "gstreamer1.0-plugins-good"),
    ("souphttp", "gstreamer1.0-plugins-good"),
    ("video", "gstreamer1.0-plugins-base"),
    ("decodebin", "gstreamer1.0-plugins-base"),
    ("appsink", "gstreamer1.0-plugins-base"),
];

/// What GStreamer's texts have in them, which domains they come with, and what that means here. The first that
/// fits is said.
const MEANINGS: &[(&str, &str)] = &[
    ("Unauthorized", "the camera refuses user or password: look at `user` and `password_file`"),
    ("Not Authorized", "the camera refuses user or password: look at `user` and `password_file`"),
    ("Not found (404)", "the camera has no such stream: look at the path in `url`"),
    ("Not Found (404)", "the camera has no such stream: look at the path in `url`"),
    (
        "No route to host",
        "the host cannot be reached: look at the network and the address in `url`",
    ),
    ("Network is unreachable", "the host cannot be reached: look at the network"),
    ("Error resolving", "the host's name is not known: look at `url` and the name server"),
    ("Connection refused", "nothing listens there: is the camera on, and the port in `url` right?"),
    (
        "Could not connect",
        "nothing answers there: is the camera on, and the address in `url` right?",
    ),
    (
        "Failed to connect",
        "nothing answers there: is the camera on, and the address in `url` right?",
    ),
    ("Could not receive message", "what answers there is no RTSP camera, or it hung up"),
    ("timed out", "the camera does not answer in time"),
    ("Timeout", "the camera does not answer in time"),
    ("No valid RTSP URL", "`url` is no address of a stream: rtsp://HOST[:PORT]/PATH"),
    (
        "not-negotiated",
        "the pipeline's end is no picture that is read here: end it in `videoconvert`",
    ),
    (
        "could not link",
        "the pipeline's end is no picture that is read here: end it in `videoconvert`",
    ),
    (
        "can't handle caps",
        "the pipeline's end is no picture that is read here: end it in `videoconvert`",
    ),
    (
        "No cameras available",
        "there is no CSI camera: look at the cable and the device tree (`dmesg`)",
    ),
    (
        "Failed to create CaptureSession",
        "the camera service refuses: `systemctl restart nvargus-daemon`",
    ),
    ("Could not receive any UDP packets", "no UDP packet comes through: try `transport = \"tcp\"`"),
];

/// What a person is told.
pub(super) fn advice(trouble: &Trouble) -> String {
    let Trouble { domain, message, debug, .. } = trouble;
    let text = format!("{message} {debug}");
    if domain == LIBRARY {
        return format!(
            "GStreamer is not installed ({debug}): install gstreamer1.0-plugins-base and \
             gstreamer1.0-plugins-good"
        );
    }
    if domain == UNUSABLE {
        return format!("{message}; it is to give NV12, I420, YUY2, RGB, BGR, GRAY8 or JPEG");
    }
    if let Some(element) = quoted_after(message, "no element ") {
        return format!("there is no GStreamer element `{element}`: install {}", package(element));
    }
    if let Some(missing) = missing_decoder(&text) {
        return missing;
    }
    let known = MEANINGS.iter().find(|(part, _)| text.contains(part));
    match known {
        Some((_, meaning)) => format!("{meaning} (GStreamer: {})", said(trouble)),
        None => format!("GStreamer: {}", said(trouble)),
    }
}

/// Whether it only says that there was no connection: a name, a port, a network?
pub(super) fn is_unreachable(trouble: &Trouble) -> bool {
    ["Failed to connect", "Could not connect", "Could not receive message"]
        .iter()
        .any(|part| trouble.debug.contains(part))
}

/// What GStreamer said, and the last line of why.
fn said(Trouble { message, debug, .. }: &Trouble) -> String {
    let why = debug.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let message = message.trim().trim_end_matches('.');
    match why {
        "" => message.to_owned(),
        why if why.contains(message) => why.to_owned(),
        why => format!("{message}: {why}"),
    }
}

/// What to install for a stream that nothing decodes.
fn missing_decoder(text: &str) -> Option<String> {
    if !text.contains("missing a plug-in")
        && !text.contains("No suitable plugins")
        && !text.contains("Missing decoder")
    {
        return None;
    }
    let codec = ["H.264", "h264", "H264", "H.265", "h265", "H265", "HEVC"]
        .iter()
        .find(|codec| text.contains(**codec))
        .copied()
        .unwrap_or("the stream's codec");
    Some(format!(
        "there is no decoder for {codec}: install gstreamer1.0-libav and gstreamer1.0-plugins-bad (on a Jetson: \
         nvidia-l4t-gstreamer)"
    ))
}

fn package(element: &str) -> &'static str {
    let known = PACKAGES.iter().find(|(begin, _)| element.starts_with(begin));
    known
        .map_or("the plugin that has it (`apt-file search` finds it), or look at its name", |k| k.1)
}

/// What stands in quotes after `before`.
fn quoted_after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1.strip_prefix('"')?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gstreamer_says_becomes_something_to_do() {
        let trouble = |domain: &str, message: &str, debug: &str| Trouble {
            domain: domain.to_owned(),
            code: 0,
            message: message.to_owned(),
            debug: debug.to_owned(),
        };
        for (domain, message, debug, advice_has) in [
            (LIBRARY, "there is no x", "cannot open", "install gstreamer1.0-plugins-base"),
            (UNUSABLE, "it gives video/x-raw P010_10LE", "", "P010_10LE; it is to give NV12"),
            ("p", "no element \"avdec_h264\"", "", "install gstreamer1.0-libav"),
            ("p", "no element \"nvarguscamerasrc\"", "", "nvidia-l4t-camera"),
            ("p", "no element \"nosuch\"", "", "look at its name"),
            ("r", "Unauthorized", "a.c(1): f ():\nUnauthorized (401)", "password_file"),
            ("r", "Could not open resource.", "a\nFailed to connect. (Generic error)", "`url`"),
            ("c", "Your GStreamer installation is missing a plug-in.", "no H.264", "libav"),
            ("s", "Internal data stream error.", "reason not-negotiated (-4)", "videoconvert"),
            ("s", "Odd.", "a.c(1): f ():\nthe cause", "GStreamer: Odd: the cause"),
        ] {
            let advice = advice(&trouble(domain, message, debug));
            assert!(advice.contains(advice_has), "{advice} has no {advice_has}");
            assert!(!advice.contains('\n'), "{advice}");
        }
    }
}
