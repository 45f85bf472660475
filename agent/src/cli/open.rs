//! One model for one command, outside of any pipeline.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::config::Section;
use crate::config::section::Mistakes;
use crate::config::tree::{At, parse};
use crate::hw::ort::Runtime;
use crate::kinds;
use crate::model::ModelFolder;
use crate::pipeline::engine::{Engine, EngineError};
use crate::report;

/// Which model, and how to run it.
#[derive(Debug, Args)]
pub(super) struct OpenArgs {
    /// Model folder: model.onnx, model.toml, golden/
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    how: HowArgs,
}

impl OpenArgs {
    /// Opens it; otherwise the message that says why not.
    pub(super) fn open(&self) -> Result<Opened, String> {
        self.how.open(&self.model)
    }
}

/// How to run a model.
#[derive(Debug, Args)]
pub(super) struct HowArgs {
    /// Provider to run it with, most preferred first
    #[arg(long = "provider", value_name = "NAME", value_delimiter = ',', default_values_t = ["cpu".to_owned()])]
    providers: Vec<String>,
    /// Threads of one run on the processor; 0: one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: u16,
    /// Let TensorRT compute in half precision; for CUDA, half precision is in the graph itself
    #[arg(long)]
    fp16: bool,
    /// Replay runs as one CUDA graph, where TensorRT or CUDA runs every node
    #[arg(long)]
    cuda_graph: bool,
    /// The ONNX Runtime library; otherwise ORT_DYLIB_PATH, otherwise the usual places
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
}

/// A model that was opened.
pub(super) struct Opened {
    pub(super) folder: ModelFolder,
    pub(super) engine: Arc<dyn Engine>,
}

impl HowArgs {
    /// Opens the model in the folder `model`; otherwise the message that says why not.
    pub(super) fn open(&self, model: &Path) -> Result<Opened, String> {
        let folder = read_folder(model)?;
        let text = format!(
            "providers = {:?}\nthreads = {}\n\
             tensorrt = {{ fp16 = {}, cuda_graph = {} }}\ncuda = {{ cuda_graph = {} }}\n",
            self.providers, self.threads, self.fp16, self.cuda_graph, self.cuda_graph
        );
        let place = Path::new("command line");
        let table = parse(&text, place).map_err(|syntax| syntax.message)?;
        let mistakes = Mistakes::new();
        let section = Section::top(&table, At::File(place.into(), 1), Path::new("."), &mistakes);
        let engine = kinds::ENGINES.first().and_then(|kind| (kind.build)(&section));
        section.finish();
        if let Some(mistake) = mistakes.into_vec().first() {
            return Err(format!("`{}`: {}", mistake.key, mistake.message));
        }
        let engine = engine.ok_or("no engine")?;
        let open = || -> Result<Arc<dyn Engine>, EngineError> {
            Runtime::open(self.onnxruntime.as_deref())?;
            engine.open(&folder.files(None))
        };
        let engine = open().map_err(|error| report::chain(&error))?;
        Ok(Opened { folder, engine })
    }
}

/// Reads a model folder; otherwise the message with every mistake in it.
fn read_folder(path: &Path) -> Result<ModelFolder, String> {
    let mistakes = Mistakes::new();
    match ModelFolder::read(path, &mistakes) {
        Some(folder) if mistakes.is_empty() => Ok(folder),
        _ => {
            let lines: Vec<String> =
                mistakes.into_vec().iter().map(|mistake| format!("\n  {mistake}")).collect();
            Err(format!("cannot use the model `{}`:{}", path.display(), lines.concat()))
        }
    }
}
