//! The `mqtt-samples` source: samples that somebody else publishes on a topic of the configured broker.
//!
//! A message holds one line or several. Unlike pictures, none is passed over while no more than 64 wait: samples of
//! a fast sensor come in packets. Retained ones are not looked at:
//! they were published before anybody asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::super::ear::Ear;
use super::super::samples::{
    Counts, Failed, Fed, Feed, Format, Place, Reader, Rows, Sensor, Settings, Wanted, format,
};
use super::super::{Returns, SourceSpec, returned};
use crate::config::Section;
use crate::kinds::Kind;
use crate::mqtt::Link;
use crate::stop::Stop;

/// `kind = "mqtt-samples"`.
pub const KIND: Kind<dyn SourceSpec> = Kind {
    name: "mqtt-samples",
    summary: "samples in messages of at most 250 KiB on a topic of the broker of [mqtt]",
    example: r#"kind = "mqtt-samples"
topic = "hall/pump/vibration" # one sensor, without `#` and `+`; a message is one line or several
format = "jsonl"            # csv, jsonl; columns, separator, time, channels as `csv` has them
rate_hz = 1000              # samples a second; default: the model's
# silence_s = 2.5           # without a message for so long the topic is said to be silent
# start_s = 15              # how long the first may take
"#,
    build: read,
};

#[derive(Debug)]
struct Topic {
    topic: String,
    format: Format,
    heard: Ear,
}

/// Reads the table of such a source.
fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let topic = Ear::topic(section, "sensor");
    let format = format(section);
    let settings = Settings::text(section, format);
    Some(Sensor::boxed(Topic { topic, format, heard: Ear::default() }, settings))
}

impl Place for Topic {
    fn what(&self) -> String {
        format!("the topic `{}`", self.topic)
    }

    fn needs_mqtt(&self) -> bool {
        true
    }

    fn connect(&self, link: &Link) {
        self.heard.listen(link, &self.topic);
    }

    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed> {
        self.heard.open()?;
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let reader = Reader::new(&self.what(), self.format, false, wanted, counts);
        Ok(Box::new(Open { heard: self.heard.clone(), runtime, reader }))
    }

    fn returns(&self, _: &Stop) -> Option<Returns> {
        let heard = self.heard.clone();
        Some(returned(move || heard.waits()))
    }
}

struct Open {
    heard: Ear,
    runtime: Runtime,
    reader: Reader,
}

impl Feed for Open {
    fn fill(&mut self, rows: &mut Rows, limit: Duration, stop: &Stop) -> Result<Fed, Failed> {
        // One reader at a time: nobody else has it.
        let came = self.heard.hear(|receiver| {
            let coming = async { tokio::time::timeout(limit, receiver.recv()).await };
            self.runtime.block_on(coming)
        });
        let message = match came.unwrap_or(Ok(None)) {
            Ok(Some(message)) if !message.retained => message,
            Ok(Some(_)) | Err(_) => return Ok(Fed::Nothing),
            // The connection ended for good: the daemon is about to.
            Ok(None) => {
                let _stopped = stop.wait(limit);
                return Ok(Fed::Nothing);
            }
        };
        for line in message.payload.split(|&byte| byte == b'\n') {
            let line = line.trim_ascii();
            if !line.is_empty() {
                self.reader.line(line, rows)?;
            }
        }
        Ok(Fed::Some)
    }
}
