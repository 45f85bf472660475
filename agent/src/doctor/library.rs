//! Is there an ONNX Runtime that can be used, and has it what the models prefer?

use std::collections::BTreeSet;
use std::path::Path;

use super::{Finding, Patient};
use crate::hw::ort::{Provider, Runtime};
use crate::report;

const CHECK: &str = "ONNX Runtime";
/// What finds one, or says what to install.
const SETUP: &str = "vedette setup-onnxruntime";

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let configured = patient.config.as_ref().ok().and_then(|config| config.onnxruntime.clone());
    let runtime = match Runtime::open(configured.as_deref()) {
        Ok(runtime) => runtime,
        Err(error) => {
            return vec![Finding::wrong(CHECK, report::chain(&error), [SETUP])];
        }
    };
    let offered = runtime.providers();
    let names: Vec<&str> = offered.iter().map(|provider| provider.name()).collect();
    let said = format!("{runtime}, `{}`: {}", runtime.path().display(), names.join(", "));
    let mut findings = vec![Finding::well(CHECK, said)];
    let models = patient.config.as_ref().map(|config| config.models.as_slice()).unwrap_or_default();
    let has_gpu = super::is_jetson() || Path::new("/dev/nvidia0").exists();
    for model in models {
        let Some(options) = model.engine.options() else { continue };
        let wants = Wants { providers: &options.providers, required: options.require, has_gpu };
        findings.extend(judge(&model.name, &wants, &offered));
    }
    findings
}

/// What a model asks for, and on what kind of machine.
struct Wants<'a> {
    providers: &'a [Provider],
    required: bool,
    has_gpu: bool,
}

/// What is wrong with the library for the model `name`; `None` where nothing is.
fn judge(name: &str, wants: &Wants<'_>, offered: &BTreeSet<Provider>) -> Option<Finding> {
    let missing: Vec<&str> = wants
        .providers
        .iter()
        .filter(|provider| !offered.contains(provider))
        .map(|provider| provider.name())
        .collect();
    let any = wants.providers.iter().any(|provider| offered.contains(provider));
    // On a computer without a GPU a build without the providers for one is the right one.
    let matters = wants.has_gpu || wants.required || !any;
    if missing.is_empty() || !matters {
        return None;
    }
    let said = format!("model {name} prefers {}, and this build has not", missing.join(", "));
    let without =
        format!("or leave out {} from `providers` of [models.{name}]", missing.join(", "));
    Some(Finding::wrong(CHECK, said, [SETUP.to_owned(), without]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_the_gpus_providers_is_wrong_where_there_is_a_gpu_or_where_they_are_required()
    {
        let all = [Provider::Tensorrt, Provider::Cuda, Provider::Cpu];
        let cpu = BTreeSet::from([Provider::Cpu]);
        let whole = BTreeSet::from(all);
        for (required, has_gpu, offered, wrong) in [
            (false, false, &cpu, false),
            (false, true, &cpu, true),
            (true, false, &cpu, true),
            (true, true, &whole, false),
        ] {
            let wants = Wants { providers: &all, required, has_gpu };
            let finding = judge("shapes", &wants, offered);
            assert_eq!(finding.is_some(), wrong, "{required} {has_gpu}: {finding:?}");
        }
        let none = Wants { providers: &[Provider::Cuda], required: false, has_gpu: false };
        assert!(judge("shapes", &none, &cpu).is_some(), "nothing would run it");
    }
}
