//! Observations on standard output, one line each: for people who try things, and for pipes.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use wire::Observation;

use super::{QUEUE_DEFAULT, Queue, SinkContext, SinkSpec};
use crate::config::Section;
use crate::kinds::Kind;
use crate::supervisor::Failure;

/// `kind = "console"`.
pub const KIND: Kind<dyn SinkSpec> = Kind {
    name: "console",
    summary: "one line a frame on standard output, for people or as JSON",
    example: "kind = \"console\"\nformat = \"text\"          # text | json\n",
    build: |section: &Section<'_>| {
        let json = section.choice("format", &[("text", false), ("json", true)]).unwrap_or(false);
        Some(Box::new(Console { json }))
    },
};

#[derive(Debug)]
struct Console {
    json: bool,
}

impl SinkSpec for Console {
    fn start(&self, context: &SinkContext<'_>) -> Arc<Queue> {
        let (queue, json) = (Arc::new(Queue::new(QUEUE_DEFAULT)), self.json);
        context.supervisor.sink("console", &queue, move |queue| print(queue, json));
        queue
    }
}

async fn print(queue: Arc<Queue>, json: bool) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut line = Vec::new();
    while let Some(record) = queue.pop().await {
        line.clear();
        if json {
            line.extend_from_slice(&record.body);
        } else {
            line.extend_from_slice(describe(&record.body).as_bytes());
        }
        line.push(b'\n');
        let written = match out.write_all(&line).await {
            Ok(()) => out.flush().await,
            Err(error) => Err(error),
        };
        written.map_err(|error| Failure::retry("cannot write to standard output", error))?;
        queue.recycle(record);
    }
    Ok(())
}

/// One line for people: `door 1234  circle 0.98, star 0.71  12.3 ms`.
fn describe(body: &[u8]) -> String {
    let Ok(seen) = serde_json::from_slice::<Observation<'_>>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    let labels = seen.detections.iter().map(|d| (&d.label, d.score));
    let labels: Vec<String> = labels
        .chain(seen.classes.iter().map(|c| (&c.label, c.score)))
        .map(|(label, score)| format!("{label} {score:.2}"))
        .collect();
    let mut parts = vec![format!("{} {}", seen.pipeline, seen.frame.seq), labels.join(", ")];
    parts.extend(seen.anomaly.map(|anomaly| {
        let word = if anomaly.anomalous { "anomalous" } else { "normal" };
        format!("{word} {:.4} (threshold {:.4})", anomaly.score, anomaly.threshold)
    }));
    parts.extend(seen.raw.iter().map(|tensor| format!("{} {:?}", tensor.name, tensor.shape)));
    parts.push(format!("{:.1} ms", seen.timings.latency_ms));
    parts.retain(|part| !part.is_empty());
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_observation_is_printed_as_it_is() {
        assert_eq!(describe(b"{\"a\":1}"), "{\"a\":1}");
    }
}
