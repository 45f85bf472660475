//! JSON Schemas (draft 2020-12) of all payloads, made from the types. `schema/` has them as files; a test of the
//! crate `tests` fails where the two differ, and writes them again when told to.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    Alarm, BoardTelemetry, Clip, CommandResult, Event, Info, ModelEvent, ModelState, Observation,
    PauseBody, PipelineBody, PipelineState, PipelineTelemetry, RollbackBody, SetBody, Status,
};

/// Every payload's name, without its version, and its schema. Bodies of commands are called `command-<verb>`.
#[must_use]
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        said::<Status<'_>>("status"),
        said::<Info<'_>>("info"),
        said::<Observation<'_>>("observation"),
        said::<PipelineState<'_>>("pipeline-state"),
        said::<BoardTelemetry<'_>>("board"),
        said::<PipelineTelemetry<'_>>("pipeline"),
        said::<Alarm<'_>>("alarm"),
        said::<Event<'_>>("event"),
        said::<Clip<'_>>("clip"),
        said::<ModelState<'_>>("model-state"),
        said::<ModelEvent<'_>>("model-event"),
        said::<CommandResult<'_>>("command-result"),
        heard::<SetBody>("command-set"),
        heard::<PauseBody>("command-pause"),
        heard::<PipelineBody>("command-resume"),
        heard::<PipelineBody>("command-snapshot"),
        heard::<RollbackBody>("command-rollback"),
    ]
}

/// Schema of what a device says: every key is required, and `schema` is what it must be.
fn said<T: JsonSchema>(name: &'static str) -> (&'static str, Schema) {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let (name, mut schema) = root::<T>(name, settings);
    if let Some(says) = schema.pointer_mut("/properties/schema").and_then(|key| key.as_object_mut())
    {
        says.insert("const".to_owned(), format!("vedette/{name}/1").into());
    }
    (name, schema)
}

/// Schema of what a device reads.
fn heard<T: JsonSchema>(name: &'static str) -> (&'static str, Schema) {
    root::<T>(name, SchemaSettings::draft2020_12().for_deserialize())
}

fn root<T: JsonSchema>(name: &'static str, settings: SchemaSettings) -> (&'static str, Schema) {
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), format!("urn:vedette:{name}:1").into());
    schema.insert("title".to_owned(), format!("vedette/{name}/1").into());
    (name, schema)
}

/// A time as [`crate::Envelope`] writes it.
pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    let pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$";
    schemars::json_schema!({ "type": "string", "format": "date-time", "pattern": pattern })
}

/// The same, or `null`.
pub(crate) fn maybe_time(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = time(generator);
    schema.insert("type".to_owned(), vec!["string", "null"].into());
    schema
}
