//! The `mqtt-samples` source: samples that somebody else publishes on a topic of the configured broker.
//!
//! A message holds one line or several. Unlike pictures, none is passed over, and retained ones are not looked at:
//! they were published before anybody asked.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::Receiver;

use super::super::samples::{
    Counts, Failed, Fed, Feed, Format, Place, Reader, Rows, Sensor, Settings, Wanted, format,
};
use super::super::{Returns, SourceSpec, returned};
use crate::config::Section;
use crate::kinds::Kind;
use crate::mqtt::{Heard, Link};
use crate::stop::Stop;

/// Longest topic, as MQTT has it.
const TOPIC_BYTES_MAX: usize = 65_535;

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

type Ear = Arc<Mutex<Option<Receiver<Heard>>>>;

struct Topic {
    topic: String,
    format: Format,
    heard: Ear,
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, format, heard: _ } = self;
        f.debug_struct("Topic").field("topic", topic).field("format", format).finish()
    }
}

/// Reads the table of such a source.
fn read(section: &Section<'_>) -> Option<Box<dyn SourceSpec>> {
    let topic = section.required_text("topic");
    if topic.contains(['#', '+', '\0']) || topic.len() > TOPIC_BYTES_MAX {
        section.mistake("topic", format!("`{topic}` is no topic: one sensor, without `#` and `+`"));
    }
    let format = format(section);
    let settings = Settings::text(section, format);
    Some(Sensor::boxed(Topic { topic, format, heard: Arc::default() }, settings))
}

impl Place for Topic {
    fn what(&self) -> String {
        format!("the topic `{}`", self.topic)
    }

    fn needs_mqtt(&self) -> bool {
        true
    }

    fn connect(&self, link: &Link) {
        *lock(&self.heard) = Some(link.listen(&self.topic));
    }

    fn open(&self, wanted: &Arc<Wanted>, counts: &Arc<Counts>) -> Result<Box<dyn Feed>, Failed> {
        match lock(&self.heard).as_mut() {
            None => return Err("there is no broker: add [mqtt] with its `url`".into()),
            // What came while nobody looked does not join what comes.
            Some(heard) => while heard.try_recv().is_ok() {},
        }
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let reader = Reader::new(&self.what(), self.format, false, wanted, counts);
        Ok(Box::new(Open { heard: self.heard.clone(), runtime, reader }))
    }

    fn returns(&self, _: &Stop) -> Option<Returns> {
        let heard = self.heard.clone();
        Some(returned(move || lock(&heard).as_ref().is_some_and(|heard| !heard.is_empty())))
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
        let mut heard = lock(&self.heard);
        let Some(receiver) = heard.as_mut() else { return Ok(Fed::Nothing) };
        let coming = async { tokio::time::timeout(limit, receiver.recv()).await };
        let message = match self.runtime.block_on(coming) {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
