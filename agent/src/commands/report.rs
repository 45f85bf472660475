//! What `status` and `diagnostics` answer, and how an answer is made to fit its message.

use std::sync::Arc;

use wire::{
    CommandResult, DeviceReport, Diagnostics, EngineInfo, PAYLOAD_MAX_BYTES, PipelineReport,
};

use crate::hw::process;
use crate::recent;

/// Longest text in an answer: the log has the whole.
const TEXT_MAX: usize = 1000;

/// What the daemon knows of its engines.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Version of the ONNX Runtime library, where one was opened.
    pub onnxruntime_version: Option<String>,
    /// The engines.
    pub engines: Vec<EngineInfo>,
}

/// Asks for them.
pub type ReadFacts = Arc<dyn Fn() -> Facts + Send + Sync>;

pub(super) fn device(pipelines: Vec<PipelineReport>) -> DeviceReport {
    let agent_version = env!("CARGO_PKG_VERSION").to_owned();
    DeviceReport { agent_version, pipelines, pipelines_left_out: 0 }
}

pub(super) fn diagnostics(facts: Facts) -> Diagnostics {
    let own = std::process::id();
    Diagnostics {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        onnxruntime_version: facts.onnxruntime_version,
        resident_bytes: process::memory_bytes(own, "VmRSS:"),
        threads: process::status(own, "Threads:"),
        open_files: process::open_files(),
        engines: facts.engines,
        engines_left_out: 0,
        warnings: recent::lines().iter().map(|line| short(line)).collect(),
    }
}

/// `text`, cut where it is longer than an answer has room for.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

/// `result` as JSON of at most [`PAYLOAD_MAX_BYTES`]: what does not fit is left out from the end of its lists,
/// and counted; of the warnings the oldest first.
pub(super) fn fitted(mut result: CommandResult<'_>) -> Vec<u8> {
    loop {
        // Payload types have string keys and finite numbers only: this cannot fail.
        let body = serde_json::to_vec(&result).unwrap_or_default();
        if body.len() <= PAYLOAD_MAX_BYTES || !shorter(&mut result) {
            return body;
        }
    }
}

/// Leaves something out; false where there is nothing left that could be.
fn shorter(result: &mut CommandResult<'_>) -> bool {
    if let Some(diagnostics) = &mut result.diagnostics {
        if !diagnostics.warnings.is_empty() {
            diagnostics.warnings.remove(0);
            return true;
        }
        if diagnostics.engines.pop().is_some() {
            diagnostics.engines_left_out += 1;
            return true;
        }
    }
    if let Some(report) = &mut result.report
        && report.pipelines.pop().is_some()
    {
        report.pipelines_left_out += 1;
        return true;
    }
    result.lines.pop().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::Said;

    fn result(said: &Said) -> CommandResult<'_> {
        CommandResult {
            envelope: said.envelope("vedette/command-result/1", 1),
            verb: "status".into(),
            request: "1".into(),
            ok: true,
            error: None,
            report: None,
            diagnostics: None,
            snapshot: None,
            lines: Vec::new(),
        }
    }

    #[test]
    fn an_answer_of_256_pipelines_fits_its_message_and_says_how_many_it_leaves_out() {
        let pipeline = PipelineReport {
            name: "n".repeat(wire::topic::NAME_MAX),
            paused: false,
            threshold: Some(0.5),
            captured: u64::MAX,
            inferred: u64::MAX,
            replaced: u64::MAX,
            failed: u64::MAX,
            reopened: u64::MAX,
        };
        let said = Said::new();
        let report = Some(device(vec![pipeline; 256]));
        let body = fitted(CommandResult { report, ..result(&said) });
        assert!(body.len() <= PAYLOAD_MAX_BYTES);
        let read: CommandResult<'_> = serde_json::from_slice(&body).unwrap();
        let report = read.report.unwrap();
        let left_out = usize::try_from(report.pipelines_left_out).unwrap();
        assert!(report.pipelines.len() > 10);
        assert_eq!(report.pipelines.len() + left_out, 256);
    }

    #[test]
    fn diagnostics_say_what_this_process_takes() {
        let found = diagnostics(Facts::default());
        assert!(found.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{found:?}");
        assert!(found.threads.is_some_and(|threads| threads >= 1), "{found:?}");
        assert!(found.open_files.is_some_and(|files| files >= 3), "{found:?}");
    }

    #[test]
    fn a_long_text_is_cut_between_two_letters() {
        assert_eq!(short("short"), "short");
        assert_eq!(short(&"ä".repeat(TEXT_MAX + 1)).chars().count(), TEXT_MAX + 2);
    }
}
