//! A model folder, opened as the daemon does it.

use std::path::Path;
use std::sync::Arc;

use vedette::config::section::{Mistakes, Section};
use vedette::config::tree::{At, parse};
use vedette::kinds;
use vedette::model::ModelFolder;
use vedette::pipeline::engine::Engine;
use vedette::pipeline::postprocess::ModelFacts;
use vedette::pipeline::preprocess::{PictureSpec, Preprocess};
use vedette::pipeline::worker::{Fitting, Generation, ModelId};

/// Builds what `text` configures.
pub(crate) fn build<S: ?Sized>(kinds: &'static [kinds::Kind<S>], text: &str) -> Box<S> {
    let (mistakes, file) = (Mistakes::new(), Path::new("bench"));
    let table = parse(text, file).unwrap();
    let section = Section::top(&table, At::File(file.into(), 1), Path::new("."), &mistakes);
    let built = kinds::build(kinds, section);
    let mistakes = mistakes.into_vec();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    built.unwrap()
}

/// The table of an engine on the processor.
pub(crate) fn on_cpu(threads: u32) -> String {
    format!("kind = 'onnxruntime'\nproviders = ['cpu']\nthreads = {threads}\n")
}

/// A model that was read.
pub(crate) struct Model {
    folder: ModelFolder,
}

impl Model {
    /// Reads the folder at `path`.
    pub(crate) fn read(path: &Path) -> Self {
        let mistakes = Mistakes::new();
        let folder = ModelFolder::read(path, &mistakes);
        let mistakes = mistakes.into_vec();
        assert!(mistakes.is_empty(), "{mistakes:?}");
        Self { folder: folder.unwrap() }
    }

    /// The picture that it takes.
    pub(crate) fn picture(&self) -> &PictureSpec {
        self.folder.picture.as_ref().unwrap()
    }

    /// Opens it with `engine`, a table with its `kind`.
    pub(crate) fn engine(&self, engine: &str) -> Arc<dyn Engine> {
        build(kinds::ENGINES, engine).open(&self.folder.files(None)).unwrap()
    }

    /// `engine` with what one pipeline needs of it, as version `version`.
    pub(crate) fn generation(&self, engine: Arc<dyn Engine>, version: &str) -> Generation {
        let (folder, picture) = (&self.folder, self.picture());
        let facts = ModelFacts {
            signature: engine.signature(),
            labels: &folder.labels,
            input_width: picture.width,
            input_height: picture.height,
            input_index: folder.input,
        };
        let own = Mistakes::new();
        let at = At::File(folder.path.as_path().into(), 1);
        let section = Section::top(&folder.postprocess, at, &folder.path, &own);
        let postprocess = kinds::build(kinds::POSTPROCESSES, section).unwrap();
        let postprocess = postprocess.build(&facts).unwrap();
        let fitting = Fitting::new(Preprocess::new(picture).unwrap(), postprocess);
        let id = ModelId {
            name: folder.name.as_str().into(),
            version: version.into(),
            sha256: folder.sha256.as_str().into(),
        };
        Generation::new(id, engine, folder.input, vec![fitting]).unwrap()
    }
}
