//! The `rtsp` source: a network camera's H.264, H.265 or Motion-JPEG stream.
//!
//! Decoded by the board's own decoder where GStreamer has one, by the processor elsewhere. Address, user and
//! password are properties that are set in the capture process: they are in no command line and in no description.

use super::child::{AtEnd, Candidate, ChildError, Open, Request};
use super::live::Live;
use super::login::{Login, read_url};
use super::reach::{host_and_port, reach};
use super::{Next, Returns, Source, SourceError, SourceSpec, returned};
use crate::config::Section;
use crate::kinds::Kind;
use crate::pipeline::frame::Frame;
use crate::stop::Stop;

/// How much the network may shake: packets wait so long for those before them.
const LATENCY_MS: u32 = 100;
/// Longest such wait: beyond it, frames are too old to act on.
const LATENCY_MS_MAX: u32 = 5000;
/// How long the camera may take to answer a request, or to send a first packet, in microseconds.
const ANSWER_US: &str = "5000000";
/// Where cameras listen.
const PORT: u16 = 554;
/// What the board's decoder needs.
const HARDWARE: [&str; 2] = ["nvv4l2decoder", "nvvidconv"];

/// `kind = "rtsp"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "rtsp",
    summary: "a network camera's H.264, H.265 or JPEG stream, decoded in a process of its own",
    example: r#"kind = "rtsp"
url = "rtsp://camera.local:554/stream1"
rate_hz = 25                # what is expected; 0.05 to 1000
transport = "tcp"           # tcp, udp, auto (udp first, tcp where none comes through)
latency_ms = 100            # how long packets wait for those before them; 0 to 5000
codec = "auto"              # auto, h264, h265
decoder = "auto"            # auto (the board's own where it has one), software
# user = "viewer"
# password_file = "camera-password" # its first line; "credential:NAME" is systemd's LoadCredential=NAME:…
# silence_s = 2.5           # without a frame for so long it has failed, and is opened again
# start_s = 15              # how long the first frame may take
"#,
    build: read,
};

/// Protocols of `rtspsrc`, by their names here.
const TRANSPORTS: &[(&str, &str)] =
    &[("tcp", "tcp"), ("udp", "udp+udp-mcast"), ("auto", "udp+udp-mcast+tcp")];

/// What is between packets and pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Auto,
    H264,
    H265,
}

/// A configured camera.
#[derive(Debug)]
struct Rtsp {
    url: String,
    login: Login,
    transport: &'static str,
    latency_ms: u32,
    candidates: Vec<Candidate>,
    live: Live,
}

/// Reads the table of such a source.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let (url, login) = (read_url(section, address_mistake), Login::read(section));
    let transport = section.choice("transport", TRANSPORTS).unwrap_or("tcp");
    let latency_ms = section.integer("latency_ms", 0..=LATENCY_MS_MAX).unwrap_or(LATENCY_MS);
    let codecs = [("auto", Codec::Auto), ("h264", Codec::H264), ("h265", Codec::H265)];
    let codec = section.choice("codec", &codecs).unwrap_or(Codec::Auto);
    let software = section.choice("decoder", &[("auto", false), ("software", true)]);
    let live = Live::read(section);
    let candidates = candidates(codec, software.unwrap_or(false));
    Some(Box::new(Rtsp { url, login, transport, latency_ms, candidates, live }))
}

/// What is wrong with an address.
fn address_mistake(url: &str) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(format!("`{url}` is no address: rtsp://HOST[:PORT]/PATH"));
    };
    let host = rest.split('/').next().unwrap_or_default();
    match scheme {
        "rtsp" | "rtsps" | "rtspt" | "rtspu" if host.contains('@') => {
            Some("has a user in it: use `user` and `password_file`".to_owned())
        }
        "rtsp" | "rtsps" | "rtspt" | "rtspu" if host.is_empty() => {
            Some(format!("`{url}` names no host: rtsp://HOST[:PORT]/PATH"))
        }
        "rtsp" | "rtsps" | "rtspt" | "rtspu" => None,
        other => Some(format!("`{other}` is no scheme of a stream: rtsp or rtsps")),
    }
}

/// The ways to decode, the best first.
fn candidates(codec: Codec, software: bool) -> Vec<Candidate> {
    let source = "rtspsrc name=camera ! application/x-rtp,media=video";
    let (parse, decoder) = match codec {
        Codec::Auto => ("", "decodebin"),
        Codec::H264 => ("rtph264depay ! h264parse ! ", "avdec_h264"),
        Codec::H265 => ("rtph265depay ! h265parse ! ", "avdec_h265"),
    };
    // The board's decoder is what `decodebin` takes there by itself.
    let hardware = if codec == Codec::Auto { decoder } else { HARDWARE[0] };
    let mut candidates = Vec::new();
    if !software {
        candidates.push(Candidate {
            needs: HARDWARE.map(str::to_owned).to_vec(),
            text: format!("{source} ! {parse}{hardware} ! nvvidconv ! video/x-raw,format=NV12"),
        });
    }
    candidates.push(Candidate {
        needs: Vec::new(),
        text: format!("{source} ! {parse}{decoder} ! videoconvert"),
    });
    candidates
}

impl Rtsp {
    fn request(&self) -> Result<Request, SourceError> {
        let mut set = Vec::new();
        let mut put = |property: &str, value: &str| {
            set.push(("camera".to_owned(), property.to_owned(), value.to_owned()));
        };
        put("location", &self.url);
        put("protocols", self.transport);
        put("latency", &self.latency_ms.to_string());
        put("drop-on-latency", "true");
        put("tcp-timeout", ANSWER_US);
        put("timeout", ANSWER_US);
        let login = self.login.now();
        let login =
            login.map_err(|error| SourceError::Open { what: self.what(), source: error.into() })?;
        if let Some((user, password)) = login {
            put("user-id", &user);
            put("user-pw", &password);
        }
        Ok(Request { candidates: self.candidates.clone(), set })
    }

    fn what(&self) -> String {
        format!("the camera `{}`", self.url)
    }
}

/// An open stream.
#[derive(Debug)]
struct Stream {
    inner: Open,
    url: String,
}

impl Source for Stream {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        self.inner.next(frame, stop).map_err(|error| match error {
            SourceError::Read { what, source } => {
                // GStreamer does not tell a wrong name from a closed port from a cut cable.
                let unreachable = matches!(source.downcast_ref(), Some(ChildError::Unreachable(_)));
                let place = host_and_port(&self.url, PORT).filter(|_| unreachable);
                let why = place.and_then(|(host, port)| reach(host, port, stop).err());
                SourceError::Read { what, source: why.map_or(source, Into::into) }
            }
            other => other,
        })
    }
}

impl SourceSpec for Rtsp {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        let inner = Open::start(&self.what(), &self.request()?, self.live, AtEnd::Fail)?;
        Ok(Box::new(Stream { inner, url: self.url.clone() }))
    }

    fn rate_hz(&self) -> Option<f64> {
        Some(self.live.rate_hz)
    }

    fn returns(&self, stop: &Stop) -> Option<Returns> {
        let (host, port) = host_and_port(&self.url, PORT)?;
        let (host, stop) = (host.to_owned(), stop.clone());
        Some(returned(move || reach(&host, port, &stop).is_ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn an_address_that_cannot_be_one_is_refused_with_what_to_write() {
        for (table, wanted) in [
            ("url = 'rtsp://h/s'", ""),
            ("url = 'rtsps://h:322/s'", ""),
            ("url = 'camera'", "`camera` is no address: rtsp://HOST[:PORT]/PATH"),
            ("url = 'http://h/s'", "`http` is no scheme of a stream: rtsp or rtsps"),
            ("url = 'rtsp:///s'", "`rtsp:///s` names no host: rtsp://HOST[:PORT]/PATH"),
            ("url = 'rtsp://u:p@h/s'", "has a user in it: use `user` and `password_file`"),
            ("url = 'rtsp://h/s'\npassword_file = 'p'", "needs a `user`"),
        ] {
            let mistakes = check(table, |section| drop(read(section)));
            assert_eq!(mistakes.len(), usize::from(!wanted.is_empty()), "{table}: {mistakes:?}");
            assert!(mistakes.iter().all(|mistake| mistake.ends_with(wanted)), "{mistakes:?}");
        }
    }

    #[test]
    fn the_board_s_decoder_is_asked_for_first_unless_software_is_wanted() {
        for codec in [Codec::Auto, Codec::H264, Codec::H265] {
            assert_eq!(candidates(codec, false).len(), 2);
            assert_eq!(candidates(codec, false)[0].needs, HARDWARE);
            let software = candidates(codec, true);
            assert_eq!((software.len(), software[0].needs.len()), (1, 0));
        }
    }
}
