//! The rehearsal: a staged model opened and run on its golden samples, in a process of its own.
//!
//! The child is this program again, so that a crash, a hang or a hunger for memory costs an error message. What
//! an accelerator builds of the model is built here, and found in the cache by the engine that then goes live.
//!
//! **Invariant:** the daemon never runs a model that fails its own golden samples (`tests/tests/update/`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use wire::ReleaseDocument;

use super::live::RehearsalSettings;
use crate::config::Mistakes;
use crate::model::ModelFolder;
use crate::model::graph::Policy;
use crate::model::verify::{Settings, Verdict, verify};

/// This program, also after its file was replaced by a newer one.
const PROGRAM: &str = "/proc/self/exe";

/// Most time for a rehearsal, whatever a release asks for: an engine for a large detector takes some minutes.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// Most reasons that are told: the first ones say it.
const REASONS_MAX: usize = 4;

/// Why a model is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unrehearsed {
    /// It is not to be run.
    Unfit(String),
    /// Nothing is known of it: there was no process to open it in, no place for its files. To be tried again.
    Unknown(String),
}

/// Opens the model in `folder` as the live one would be, and runs its golden samples.
///
/// Blocks for as long as the release's terms allow. The median of the samples' runs is returned, in milliseconds.
///
/// # Errors
/// Why the model is not run, in words.
pub(super) fn rehearse(
    folder: &Path,
    release: &ReleaseDocument,
    settings: &RehearsalSettings,
) -> Result<f64, Unrehearsed> {
    let mistakes = Mistakes::new();
    if let Some(found) = ModelFolder::read(folder, &mistakes)
        && (found.name != release.model || found.version != release.version)
    {
        return Err(Unrehearsed::Unfit(format!(
            "its model.toml says {} {}, the release {} {}",
            found.name, found.version, release.model, release.version
        )));
    }
    let verdict = verify(
        folder,
        &Settings {
            program: PathBuf::from(PROGRAM),
            library: settings.library.clone(),
            options: settings.options.clone(),
            policy: Policy::default(),
            cache: Some(settings.cache.clone()),
            time_limit: Duration::from_secs(release.terms.rehearsal_s).min(TIME_MAX),
            memory_limit_bytes: release.memory_bytes.min(settings.memory_bytes),
            polite: true,
            run: true,
        },
    );
    let unknown = verdict.unknown;
    judge(&verdict, release.terms.p95_ms).map_err(|why| match unknown {
        true => Unrehearsed::Unknown(why),
        false => Unrehearsed::Unfit(why),
    })
}

/// The median run of a good verdict, or what is wrong with it.
fn judge(verdict: &Verdict, p95_ms: Option<u64>) -> Result<f64, String> {
    if !verdict.passed {
        let failed = verdict.checks.iter().filter(|check| !check.passed);
        let reasons: Vec<String> = failed
            .flat_map(|check| {
                check.details.iter().map(move |line| format!("{}: {line}", check.name))
            })
            .take(REASONS_MAX)
            .collect();
        return Err(reasons.join("; "));
    }
    let Some(run_ms) = verdict.run_ms else {
        return Err(
            "golden: it has no golden samples, so that nothing shows that it works".to_owned()
        );
    };
    match p95_ms.map(u32::try_from) {
        Some(Ok(most)) if run_ms > f64::from(most) => Err(format!(
            "latency: half of its runs take more than {run_ms:.1} ms, its terms allow {most} ms"
        )),
        _ => Ok(run_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verify::Check;

    #[test]
    fn a_rehearsal_passes_only_with_good_samples_in_time() {
        let check = |name: &str, passed: bool| Check {
            name: name.to_owned(),
            passed,
            details: vec!["as seen".to_owned()],
        };
        for (checks, run_ms, p95_ms, wanted) in [
            (vec![check("open", true)], Some(5.0), None, Ok(5.0)),
            (vec![check("open", true)], Some(5.0), Some(5), Ok(5.0)),
            (vec![check("open", true)], Some(5.1), Some(5), Err("latency: half")),
            (vec![check("open", true)], None, None, Err("golden: it has no")),
            (vec![check("golden/a", false)], Some(1.0), None, Err("golden/a: as seen")),
        ] {
            let passed = checks.iter().all(|check| check.passed);
            let verdict = Verdict {
                model: "m".into(),
                passed,
                checks,
                engine: None,
                run_ms,
                peak_bytes: None,
                unknown: false,
            };
            match (judge(&verdict, p95_ms), wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found.to_bits(), f64::to_bits(wanted)),
                (Err(found), Err(wanted)) => assert!(found.starts_with(wanted), "{found}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
