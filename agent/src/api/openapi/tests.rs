//! Makes the document from the types of requests and answers.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use wire::Observation;

use super::DOCUMENT;
use crate::api::answer::Wrong;
use crate::api::oip::{answer, ask, health, metadata, repository, statistics};
use crate::api::{history, predict, ready, releases, slow, status};

/// Set to write the file again instead of comparing it.
const WRITE: &str = "VEDETTE_WRITE_SCHEMAS";

/// The schemas of what is said and of what is heard, and the paths.
struct Document {
    said: SchemaGenerator,
    heard: SchemaGenerator,
    paths: Map<String, Value>,
}

/// One route: what it takes, and its answers that are no errors.
struct Route<'a> {
    method: &'a str,
    path: &'a str,
    summary: &'a str,
    query: Option<Value>,
    body: Option<Value>,
    answers: Vec<(u16, Value)>,
    /// Errors besides those that follow from the others.
    refused: &'a [u16],
}

fn get<'a>(path: &'a str, summary: &'a str, answer: Value) -> Route<'a> {
    let answers = vec![(200, answer)];
    Route { method: "get", path, summary, query: None, body: None, answers, refused: &[] }
}

fn post<'a>(path: &'a str, summary: &'a str, answer: Value) -> Route<'a> {
    Route { method: "post", ..get(path, summary, answer) }
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "The request is wrong: the message says what was expected.",
        401 => "The token of `api.token_file` is missing or wrong.",
        403 => "Nothing can be changed here: there is no token.",
        404 => "There is no such thing.",
        408 => "It took longer than `api.timeout_s`.",
        409 => "It cannot be done as things are.",
        413 => "The body is larger than `api.body_mb`.",
        429 => "There is too much to do already: `Retry-After` says when to come again.",
        _ => "Not now: `Retry-After` says when to come again.",
    }
}

impl Document {
    fn new() -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = "/components/schemas".into();
            settings
        };
        Self {
            said: settings().for_serialize().into_generator(),
            heard: settings().for_deserialize().into_generator(),
            paths: Map::new(),
        }
    }

    fn says<T: JsonSchema>(&mut self) -> Value {
        json!({ "application/json": { "schema": self.said.subschema_for::<T>() } })
    }

    fn hears<T: JsonSchema>(&mut self) -> Value {
        json!({ "application/json": { "schema": self.heard.subschema_for::<T>() } })
    }

    /// Adds a route, with the errors that follow from what it takes.
    fn add(&mut self, route: Route<'_>) {
        let Route { method, path, summary, query, body, answers, refused } = route;
        let error = self.says::<Wrong<'_>>();
        let mut responses = Map::new();
        for (code, content) in answers {
            let what = if code < 400 { "As asked." } else { "Not so; the answer says why." };
            responses.insert(code.to_string(), json!({ "description": what, "content": content }));
        }
        let names: Vec<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.split('}').next()).collect();
        let mut codes = [refused, &[408]].concat();
        codes.extend(if names.is_empty() { &[][..] } else { &[400, 404] });
        codes.extend(if query.is_some() { &[400][..] } else { &[] });
        codes.extend(if body.is_some() { &[400, 413, 429][..] } else { &[] });
        for code in codes {
            let answer = json!({ "description": reason(code), "content": error });
            responses.entry(code.to_string()).or_insert(answer);
        }
        let text = json!({ "type": "string", "minLength": 1 });
        let parameter =
            |name| json!({ "name": name, "in": "path", "required": true, "schema": text });
        let parameters: Vec<Value> = names.into_iter().map(parameter).chain(query).collect();
        let mut operation = json!({ "summary": summary, "responses": responses });
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(content) = body {
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        if refused.contains(&401) {
            operation["security"] = json!([{ "token": [] }]);
        }
        self.paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
    }

    fn finish(mut self) -> Value {
        let mut schemas = self.said.take_definitions(true);
        for (name, schema) in self.heard.take_definitions(true) {
            let other = schemas.insert(name.clone(), schema.clone());
            assert!(other.is_none_or(|other| other == schema), "two schemas `{name}`");
        }
        let token = json!({ "type": "http", "scheme": "bearer" });
        json!({
            "openapi": "3.1.0",
            "info": { "title": "Vedette", "version": env!("CARGO_PKG_VERSION") },
            "paths": self.paths,
            "components": { "schemas": schemas, "securitySchemes": { "token": token } },
        })
    }
}

fn document() -> Value {
    let mut all = Document::new();
    let text = || json!({ "text/plain": { "schema": { "type": "string" } } });
    all.add(get("/healthz", "Whether the daemon answers.", text()));
    let ready = all.says::<ready::Ready>();
    let answers = vec![(200, ready.clone()), (503, ready.clone())];
    let what = "Whether it does what it is there for.";
    all.add(Route { answers, ..get("/readyz", what, ready) });
    all.add(get("/metrics", "For Prometheus.", text()));
    let this = json!({ "application/json": { "schema": { "type": "object" } } });
    all.add(get("/v1/openapi.json", "This document.", this));
    device(&mut all);
    pictures(&mut all);
    protocol(&mut all);
    all.finish()
}

/// How the device does, and the roll-back.
fn device(all: &mut Document) {
    let status = all.says::<status::Status>();
    all.add(get("/v1/status", "How the device does.", status));
    let slow = all.says::<Vec<slow::Slow>>();
    all.add(get("/v1/slow", "Why a pipeline was slow in the last two minutes.", slow));
    let history = all.says::<history::History>();
    all.add(get("/v1/history", "A quarter of an hour of the board's figures.", history));
    let log = all.says::<history::Log>();
    all.add(get("/v1/log", "The last warnings and errors.", log));
    let diagnostics = all.says::<history::Diagnostics>();
    all.add(get("/v1/diagnostics", "All of it, for whoever is asked for help.", diagnostics));
    let done = all.says::<releases::Done>();
    let refused = &[401, 403, 409];
    let back = post("/v1/models/{slot}/rollback", "Back to the release before.", done);
    all.add(Route { refused, ..back });
}

/// Pictures of pipelines, and through pipelines.
fn pictures(all: &mut Document) {
    let query =
        |name: &str, schema: &Value| json!({ "name": name, "in": "query", "schema": schema });
    let binary = json!({ "schema": { "type": "string", "format": "binary" } });
    let jpeg = json!({ "image/jpeg": binary });
    let refused = &[429, 503];
    let shot = get("/v1/pipelines/{pipeline}/frame.jpg", "The next frame, with boxes.", jpeg);
    all.add(Route { refused, ..shot });
    let fps = query("fps", &json!({ "type": "integer", "minimum": 1, "maximum": 15 }));
    let stream = json!({ "multipart/x-mixed-replace": binary });
    let live = get("/v1/pipelines/{pipeline}/live.mjpg", "Frame after frame, with boxes.", stream);
    all.add(Route { query: Some(fps), refused: &[429], ..live });
    for path in ["/v1/predict", "/predict"] {
        let mut body = all.hears::<predict::Asked>();
        body["image/jpeg"] = binary.clone();
        body["image/png"] = binary.clone();
        let query = Some(query("pipeline", &json!({ "type": "string" })));
        let seen = all.says::<Observation<'_>>();
        let what = "A picture through a pipeline: what the pipeline would publish of it.";
        let refused = &[404, 503];
        all.add(Route { query, body: Some(body), refused, ..post(path, what, seen) });
    }
}

/// The Open Inference Protocol.
fn protocol(all: &mut Document) {
    let server = all.says::<metadata::Server>();
    all.add(get("/v2", "What the server is.", server));
    let live = all.says::<health::Live>();
    all.add(get("/v2/health/live", "Whether it answers.", live));
    let ready = all.says::<health::Ready>();
    let answers = vec![(200, ready.clone()), (400, ready.clone())];
    let what = "Whether every model can be asked.";
    all.add(Route { answers, ..get("/v2/health/ready", what, ready) });
    let statistics = all.says::<statistics::Statistics>();
    let what = "How many requests each version of each model had.";
    all.add(get("/v2/models/stats", what, statistics.clone()));
    let (asked, entries) = (all.hears::<repository::Asked>(), all.says::<Vec<repository::Entry>>());
    let index = post("/v2/repository/index", "Which models there are.", entries);
    all.add(Route { body: Some(asked), ..index });
    all.paths["/v2/repository/index"]["post"]["requestBody"]["required"] = false.into();
    for version in ["", "/versions/{version}"] {
        let path = |suffix: &str| format!("/v2/models/{{model}}{version}{suffix}");
        let refused = &[503];
        let model = all.says::<metadata::Model<'_>>();
        let bare = path("");
        all.add(Route { refused, ..get(&bare, "What a model takes and gives.", model) });
        let ready = all.says::<health::ModelReady<'_>>();
        let either = json!({ "application/json": { "schema": { "anyOf": [
            ready["application/json"]["schema"], all.says::<Wrong<'_>>()["application/json"]["schema"]
        ] } } });
        let answers = vec![(200, ready.clone()), (400, either)];
        let what = "Whether a model can be asked.";
        all.add(Route { answers, refused, ..get(&path("/ready"), what, ready) });
        let config = all.says::<metadata::Config<'_>>();
        let what = "A model's configuration, in Triton's words.";
        all.add(Route { refused, ..get(&path("/config"), what, config) });
        let what = "How many requests a version of a model had.";
        all.add(Route { refused, ..get(&path("/stats"), what, statistics.clone()) });
        let mut body = all.hears::<ask::Written>();
        // JSON, and behind it tensors as they lie in memory: `Inference-Header-Content-Length` says where.
        let binary = json!({ "schema": { "type": "string", "format": "binary" } });
        body["application/octet-stream"] = binary.clone();
        let mut answer = all.says::<answer::Answer<'_>>();
        answer["application/octet-stream"] = binary;
        let infer = path("/infer");
        all.add(Route { body: Some(body), refused, ..post(&infer, "An inference.", answer) });
    }
    for verb in ["load", "unload"] {
        let path = format!("/v2/repository/models/{{model}}/{verb}");
        let what = if verb == "load" { "Opens a model's session." } else { "Closes it." };
        all.add(Route { refused: &[401, 403, 503], ..post(&path, what, json!({})) });
    }
}

/// A line for each path and each schema: small in the binary, and a change of one is a change of a line.
fn written(document: &Value) -> String {
    let lines = |part: &Value| {
        let lines = part.as_object().unwrap().iter();
        let lines: Vec<String> = lines.map(|(name, value)| format!("{name:?}:{value}")).collect();
        lines.join(",\n")
    };
    let components = &document["components"];
    format!(
        "{{\"openapi\":{},\"info\":{},\n\"paths\":{{\n{}\n}},\n\"components\":{{\"securitySchemes\":{},\"schemas\":{{\n{}\n}}}}}}\n",
        document["openapi"],
        document["info"],
        lines(&document["paths"]),
        components["securitySchemes"],
        lines(&components["schemas"]),
    )
}

#[test]
fn the_document_is_that_of_its_types() {
    let document = document();
    let text = written(&document);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    if std::env::var_os(WRITE).is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/openapi/openapi.json");
        crate::disk::replace(&path, text.as_bytes()).unwrap();
        return;
    }
    assert!(DOCUMENT == text, "openapi.json is not what the types say: {WRITE}=1 writes it again");
}

/// What the page is made of, and a second name of a route.
const NOT_LISTED: &[&str] = &["/", "/page.css", "/page.js", "/icon.svg", "/v2/"];

#[test]
fn every_route_that_is_written_out_in_the_code_is_in_the_document() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let code = std::fs::read(&path).unwrap();
            let code = String::from_utf8_lossy(&code);
            for rest in code.split(concat!(".rou", "te(\"")).skip(1) {
                let route = rest.split('"').next().unwrap();
                let listed = paths.contains_key(route) || NOT_LISTED.contains(&route);
                assert!(listed, "{route} of {} is not in the document", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 20, "only {found} routes were found");
}
