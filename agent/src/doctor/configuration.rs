//! Is the configuration one that the daemon takes?

use super::{Finding, Patient};

const CHECK: &str = "configuration";

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let path = patient.path.display();
    let mistakes = match &patient.config {
        Ok(config) => {
            let (pipelines, models) = (config.pipelines.len(), config.models.len());
            let said = format!(
                "`{path}`: {}, {}",
                counted(pipelines, "pipeline"),
                counted(models, "model")
            );
            return vec![Finding::well(CHECK, said)];
        }
        Err(mistakes) => mistakes,
    };
    let denied = std::fs::File::open(&patient.path)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if denied {
        let said = format!("`{path}` cannot be read by this user");
        return vec![Finding::wrong(CHECK, said, ["sudo vedette doctor"])];
    }
    let mut todo: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    todo.push(format!("sudoedit {path}"));
    todo.push("sudo systemctl restart vedette".to_owned());
    let said = format!("`{path}` is refused: {}", counted(mistakes.len(), "mistake"));
    vec![Finding::wrong(CHECK, said, todo)]
}

/// `1 model`, `2 models`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{s}")
}
