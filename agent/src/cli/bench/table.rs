//! What was measured, for people and for programs.

use serde::Serialize;

use crate::pipeline::engine::EngineReport;

/// What one batch measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) batch: usize,
    pub(super) runs: u64,
    pub(super) mean_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) items_per_s: f64,
    /// While it ran: the board's, or where no rail tells it, the GPU's.
    pub(super) power_w: Option<f64>,
    /// Of one item.
    pub(super) energy_j: Option<f64>,
}

/// One model, with one provider.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) provider: String,
    pub(super) library: String,
    /// Nodes of the graph that each provider ran.
    pub(super) nodes: std::collections::BTreeMap<String, u64>,
    /// Why a preferred provider does not run.
    pub(super) why_not: std::collections::BTreeMap<String, String>,
    /// From the file to the first run's end; an engine that is built for this device is in it.
    pub(super) load_ms: f64,
    /// This process's, after the last run.
    pub(super) resident_bytes: Option<u64>,
    pub(super) rows: Vec<Row>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A batch that the model does not take.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LeftOut {
    pub(super) batch: usize,
    pub(super) why: String,
}

impl Measured {
    /// Nothing measured yet.
    pub(super) fn new(model: &str, version: &str, report: &EngineReport, load_ms: f64) -> Self {
        Self {
            model: model.to_owned(),
            version: version.to_owned(),
            provider: report.provider.clone(),
            library: report.library.clone(),
            nodes: report.nodes.clone(),
            why_not: report.why_not.clone(),
            load_ms,
            resident_bytes: None,
            rows: Vec::new(),
            left_out: Vec::new(),
        }
    }

    fn title(&self) -> String {
        format!("{} {} on {} ({})", self.model, self.version, self.provider, self.library)
    }

    /// As a person reads it.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{}\nloaded and run once in {:.0} ms", self.title(), self.load_ms);
        if let Some(bytes) = self.resident_bytes {
            text.push_str(&format!(", {} MiB resident", bytes >> 20));
        }
        for (provider, why) in &self.why_not {
            text.push_str(&format!("\n{provider} does not run: {why}"));
        }
        let heads =
            ["batch", "runs", "mean ms", "p50 ms", "p95 ms", "p99 ms", "items/s", "W", "J/item"];
        text.push('\n');
        for (head, width) in heads.iter().zip(WIDTHS) {
            text.push_str(&format!("{head:>width$}"));
        }
        for row in &self.rows {
            let cells = [
                row.batch.to_string(),
                row.runs.to_string(),
                format!("{:.3}", row.mean_ms),
                format!("{:.3}", row.p50_ms),
                format!("{:.3}", row.p95_ms),
                format!("{:.3}", row.p99_ms),
                format!("{:.1}", row.items_per_s),
                row.power_w.map_or("-".to_owned(), |watts| format!("{watts:.1}")),
                row.energy_j.map_or("-".to_owned(), |joules| format!("{joules:.4}")),
            ];
            text.push('\n');
            for (cell, width) in cells.iter().zip(WIDTHS) {
                text.push_str(&format!("{cell:>width$}"));
            }
        }
        for LeftOut { batch, why } in &self.left_out {
            text.push_str(&format!("\n{batch:>6} left out: {why}"));
        }
        text
    }
}

const WIDTHS: [usize; 9] = [6, 9, 11, 11, 11, 11, 11, 8, 9];

/// Both, batch by batch; a ratio below 1 says that the first is faster.
pub(super) fn side_by_side(one: &Measured, other: &Measured) -> String {
    let mut text = format!(
        "{:>6} {:>16} {:>16} {:>8}\n{:>6} {:>16} {:>16} {:>8}",
        "batch",
        short(&one.model),
        short(&other.model),
        "ratio",
        "",
        "p50 ms",
        "p50 ms",
        ""
    );
    for row in &one.rows {
        if let Some(beside) = other.rows.iter().find(|beside| beside.batch == row.batch) {
            text.push_str(&format!(
                "\n{:>6} {:>16.3} {:>16.3} {:>8.3}",
                row.batch,
                row.p50_ms,
                beside.p50_ms,
                row.p50_ms / beside.p50_ms
            ));
        }
    }
    text
}

/// What fits a column of a name.
fn short(name: &str) -> String {
    name.chars().take(16).collect()
}
