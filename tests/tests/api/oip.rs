//! The Open Inference Protocol by hand: what is wrong with a request is said, and hurts nobody.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use tests::{Daemon, Folder, PATIENCE, bench, http, onnx};

use crate::api;
use crate::metrics::samples;

/// Writes the models of these tests, and returns their part of a configuration.
pub(crate) fn models(folder: &Folder) -> Result<String> {
    folder.write("echo/model.onnx", onnx::echo())?;
    folder.write("echo/model.toml", onnx::echo_toml())?;
    folder.write("double/model.onnx", onnx::double())?;
    folder.write("double/model.toml", onnx::DOUBLE_TOML)?;
    folder.write("slow/model.onnx", onnx::slow_double(40))?;
    folder.write("slow/model.toml", onnx::DOUBLE_TOML)?;
    Ok(["echo", "double", "slow"].map(|name| bench::model(name, name)).concat())
}

/// A daemon with these models, no pipeline, and an API.
pub(crate) fn daemon(folder: &Folder, more: &str) -> Result<(Daemon, u16)> {
    let models = models(folder)?;
    let daemon = Daemon::start(folder, &[bench::head(), api(more), models].concat())?;
    let port = daemon.api_port()?;
    Ok((daemon, port))
}

/// A request for `double` and `slow` of one item.
fn ask() -> serde_json::Value {
    json!({ "inputs": [{ "name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3] }] })
}

#[test]
fn a_bad_request_is_an_error_object_that_says_what_was_expected() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "body_mb = 1")?;
    let x = |more: &str| format!(r#"{{"inputs": [{{"name": "x", {more}}}]}}"#);
    let of = |shape: &str, datatype: &str, data: &str| {
        x(&format!(r#""shape": {shape}, "datatype": "{datatype}", "data": {data}"#))
    };
    let three = of("[1, 3]", "FP32", "[1, 2, 3]");
    let with = |more: &str| three.replacen('{', &format!("{{{more}, "), 1);
    for (body, part) in [
        (String::new(), "the request cannot be read"),
        ("{".to_owned(), "the request cannot be read"),
        ("[]".to_owned(), "the request cannot be read"),
        ("{}".to_owned(), "missing field `inputs`"),
        (r#"{"inputs": []}"#.to_owned(), "input `x` FP32 [-1, 3] is missing"),
        (x(r#""datatype": "FP32", "data": []"#), "missing field `shape`"),
        (of("[1, 2]", "FP32", "[1, 2]"), "shape [1, 2], expected [-1, 3]"),
        (of("[3]", "FP32", "[1, 2, 3]"), "shape [3], expected [-1, 3]"),
        (of("[-1, 3]", "FP32", "[1, 2, 3]"), "shape [-1, 3], expected [-1, 3]"),
        (of("[0, 3]", "FP32", "[]"), "shape [0, 3] has no elements"),
        (of("[9223372036854775807, 3]", "FP32", "[1]"), "it is too large"),
        (of("[2, 3]", "FP32", "[1, 2, 3]"), "3 elements, expected 6"),
        (of("[1, 3]", "INT32", "[1, 2, 3]"), "datatype INT32, expected FP32"),
        (of("[1, 3]", "float", "[1, 2, 3]"), "no datatype is called `float`"),
        (of("[1, 3]", "FP32", r#"["a", "b", "c"]"#), "expected numbers"),
        (of("[1, 3]", "FP32", "[1, 2, NaN]"), "the request cannot be read"),
        (of("[1, 3]", "FP32", "[1, 2, 1e300]"), "is out of its range"),
        (of("[1, 3]", "FP32", "[1, 2, 1e999]"), "the request cannot be read"),
        (of("[1, 3]", "FP32", r#"{"a": 1}"#), "the request cannot be read"),
        (x(r#""shape": [1, 3], "datatype": "FP32""#), "neither `data` nor `binary_data_size`"),
        (three.replace("\"x\"", "\"y\""), "there is no input `y`; expected `x` FP32 [-1, 3]"),
        (with(r#""outputs": [{"name": "z"}]"#), "there is no output `z`; expected `twice`"),
        (with(r#""outputs": [{"name": "minus"}, {"name": "minus"}]"#), "asked for twice"),
        (
            with(r#""outputs": [{"name": "minus", "parameters": {"classification": 0}}]"#),
            "`classification` is 0",
        ),
        (with(r#""parameters": {"binary_data_output": 1}"#), "expected true or false"),
        (
            x(r#""shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}"#),
            "only 0 bytes are left",
        ),
        (
            x(
                r#""shape": [1, 3], "datatype": "FP32", "parameters": {"shared_memory_region": "a"}"#,
            ),
            "shared memory is not taken",
        ),
        (format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), "the request cannot be read"),
    ] {
        let answer = http::post(port, "/v2/models/double/infer", &[], body.as_bytes())?;
        let said = answer.error().unwrap_or_default();
        ensure!(answer.status == 400 && said.contains(part), "{} {said}\n{body}", answer.status);
    }
    let large = vec![b' '; 2 << 20];
    let answer = http::post(port, "/v2/models/double/infer", &[], &large)?;
    ensure!(answer.status == 413 && answer.error()?.contains("api.body_mb"), "{answer:?}");
    for (path, part) in [
        ("/v2/models/nobody/infer", "there is no model `nobody`; there are: double, echo, slow"),
        ("/v2/models/double/versions/2/infer", "has no version `2`; it has: 1.0.0"),
    ] {
        let answer = http::post(port, path, &[], three.as_bytes())?;
        ensure!(answer.status == 404 && answer.error()?.contains(part), "{}", answer.text());
    }
    let answer = http::post(port, "/v2/models/double/infer", &[], three.as_bytes())?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn whoever_asks_alone_on_one_connection_is_told_the_same_as_everybody_else() -> Result<()> {
    let folder = Folder::new()?;
    let (mut daemon, port) = daemon(&folder, "")?;
    let (mut own, mut other) = (http::connect(port)?, http::connect(port)?);
    let mut items = 0;
    for round in 0..60_u32 {
        // Mostly one item; now and then more than the run before had, and somebody else in between.
        let rows = if round % 7 == 6 { 5 } else { 1 };
        let data: Vec<u32> = (0..3 * rows).map(|n| round + n).collect();
        let input = json!({ "name": "x", "shape": [rows, 3], "datatype": "FP32", "data": data });
        let body = json!({ "inputs": [input], "outputs": [{ "name": "twice" }] }).to_string();
        let stream = if round % 10 == 9 { &mut other } else { &mut own };
        let answer = http::post_on(stream, "/v2/models/double/infer", body.as_bytes())?;
        ensure!(answer.status == 200, "{}", answer.text());
        let twice: Vec<f64> = data.iter().map(|n| f64::from(2 * n)).collect();
        assert_eq!(answer.json()?["outputs"][0]["data"], json!(twice), "round {round}");
        items += rows;
        let bad = http::post_on(stream, "/v2/models/double/infer", b"{}")?;
        ensure!(bad.status == 400, "{}", bad.text());
    }
    let seen = http::get(port, "/v2/models/double/stats")?.json()?;
    let seen = &seen["model_stats"][0];
    assert_eq!(seen["inference_count"], json!(items), "{seen}");
    assert_eq!(seen["inference_stats"]["success"]["count"], json!(60), "{seen}");
    assert_eq!(daemon.stop()?.code, Some(0));
    Ok(())
}

#[test]
fn binary_tensors_that_are_cut_off_or_too_long_are_refused() -> Result<()> {
    let folder = Folder::new()?;
    let (_daemon, port) = daemon(&folder, "")?;
    let json = |size: usize| {
        let input = json!({
            "name": "x", "shape": [1, 3], "datatype": "FP32",
            "parameters": { "binary_data_size": size }
        });
        json!({ "inputs": [input] }).to_string()
    };
    let send = |json: &str, said: &str, bytes: &[u8]| {
        let body = [json.as_bytes(), bytes].concat();
        let headers = [("Inference-Header-Content-Length", said)];
        http::post(port, "/v2/models/double/infer", &headers, &body)
    };
    let length = json(12).len().to_string();
    let good = send(&json(12), &length, &[0; 12])?;
    assert_eq!(good.status, 200, "{}", good.text());
    for (answer, part) in [
        (send(&json(12), &length, &[0; 11])?, "only 11 bytes are left"),
        (send(&json(12), &length, &[0; 13])?, "1 bytes behind the last tensor"),
        (send(&json(11), &json(11).len().to_string(), &[0; 11])?, "11 bytes, expected 12"),
        (send(&json(12), "99999", &[0; 12])?, "says 99999 bytes"),
        (send(&json(12), "-1", &[0; 12])?, "expected a number"),
        (send(&json(12), "3", &[0; 12])?, "the request cannot be read"),
    ] {
        ensure!(answer.status == 400 && answer.error()?.contains(part), "{}", answer.text());
    }
    Ok(())
}

#[test]
fn a_request_over_the_bound_is_told_to_come_again_and_one_whose_client_left_is_never_run()
-> Result<()> {
    let folder = Folder::new()?;
    let (_daemon, port) = daemon(&folder, "queue = 2\nbatch_max = 1")?;
    let body = ask().to_string();
    let path = "/v2/models/slow/infer";
    // Opens the model.
    assert_eq!(http::post(port, path, &[], body.as_bytes())?.status, 200);
    let send = || -> Result<std::net::TcpStream> {
        let mut stream = http::connect(port)?;
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
        Ok(stream)
    };
    let waiting = || -> Result<f64> {
        let found = samples(&http::get(port, "/metrics")?.text());
        found.get("vedette_infer_waiting").copied().context("not there")
    };
    let (mut held, began) = (Vec::new(), std::time::Instant::now());
    let refused = loop {
        // One runs, two wait; those that were answered meanwhile are made up for.
        while waiting()? < 2.0 {
            held.push(send()?);
            ensure!(began.elapsed() < PATIENCE, "{} asked, and two never waited", held.len());
        }
        let answer = http::post(port, path, &[], body.as_bytes())?;
        if answer.status == 429 {
            break answer;
        }
        ensure!(began.elapsed() < PATIENCE, "nobody was refused");
    };
    assert_eq!(refused.headers.get("retry-after").map(String::as_str), Some("1"));
    ensure!(refused.error()?.contains("requests wait already"), "{}", refused.text());
    // They all leave; what waits is let go of.
    drop(held);
    let began = std::time::Instant::now();
    loop {
        let answer = http::post(port, path, &[], body.as_bytes())?;
        let found = samples(&http::get(port, "/metrics")?.text());
        let name =
            "vedette_infer_requests_total{model=\"slow\",version=\"1.0.0\",outcome=\"cancelled\"}";
        let cancelled = found.get(name).copied().unwrap_or_default();
        if answer.status == 200 && cancelled >= 1.0 {
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "{cancelled} cancelled: {}", answer.text());
    }
}

#[test]
fn requests_that_wait_together_go_together_where_the_batch_is_free() -> Result<()> {
    let folder = Folder::new()?;
    let (_daemon, port) = daemon(&folder, "batch_max = 8\nbatch_delay_ms = 200")?;
    let path = "/v2/models/double/infer";
    assert_eq!(http::post(port, path, &[], ask().to_string().as_bytes())?.status, 200);
    let threads: Vec<_> = (0..8)
        .map(|n| {
            std::thread::spawn(move || -> Result<()> {
                let input = json!({
                    "name": "x", "shape": [1, 3], "datatype": "FP32", "data": [n, n + 1, n + 2]
                });
                let body = json!({ "inputs": [input], "outputs": [{ "name": "twice" }] });
                let answer = http::post(port, path, &[], body.to_string().as_bytes())?.json()?;
                let twice = json!([2 * n, 2 * n + 2, 2 * n + 4]);
                let found: Vec<f64> = serde_json::from_value(answer["outputs"][0]["data"].clone())?;
                let wanted: Vec<f64> = serde_json::from_value(twice)?;
                ensure!(found == wanted, "{answer}");
                Ok(())
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    let stats = http::get(port, "/v2/models/double/stats")?.json()?;
    let stats = &stats["model_stats"][0];
    assert_eq!(stats["inference_count"], 9, "{stats}");
    ensure!(stats["execution_count"].as_u64() < Some(9), "each had a run of its own: {stats}");
    Ok(())
}

#[test]
fn only_who_has_the_token_opens_and_closes_a_model() -> Result<()> {
    let folder = Folder::new()?;
    let token = folder.write("token", "s3cret\n")?;
    tests::folder::set_mode(&token, 0o600)?;
    let (_daemon, port) = daemon(&folder, "token_file = \"token\"")?;
    let path = "/v2/repository/models/double/load";
    let bearer = [("Authorization", "Bearer s3cret")];
    assert_eq!(http::post(port, path, &[], b"")?.status, 401);
    assert_eq!(http::post(port, path, &[("Authorization", "Bearer no")], b"")?.status, 401);
    assert_eq!(http::post(port, path, &bearer, b"")?.status, 200);
    assert_eq!(http::post(port, "/v2/repository/models/no/load", &bearer, b"")?.status, 404);
    assert_eq!(http::post(port, &path.replace("/load", "/unload"), &bearer, b"")?.status, 200);
    let answer = http::post(port, "/v2/models/double/infer", &[], ask().to_string().as_bytes())?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[test]
fn a_file_that_was_replaced_is_not_served_under_the_old_version() -> Result<()> {
    let folder = Folder::new()?;
    let token = folder.write("token", "s3cret\n")?;
    tests::folder::set_mode(&token, 0o600)?;
    let (daemon, port) = daemon(&folder, "token_file = \"token\"")?;
    let infer = "/v2/models/double/infer";
    assert_eq!(http::post(port, infer, &[], ask().to_string().as_bytes())?.status, 200);

    // No pipeline uses it: a reload cannot swap it, and says so.
    folder.write("double/model.onnx", onnx::slow_double(1))?;
    daemon.signal(Signal::HUP)?;
    daemon.wait_log("a model that no pipeline uses", PATIENCE)?;
    daemon.wait_log("reloaded", PATIENCE)?;
    let bearer = [("Authorization", "Bearer s3cret")];
    let repository = "/v2/repository/models/double";
    assert_eq!(http::post(port, &format!("{repository}/unload"), &bearer, b"")?.status, 200);
    for (path, headers, body, status) in [
        (format!("{repository}/load"), &bearer[..], String::new(), 400),
        (infer.to_owned(), &[], ask().to_string(), 503),
    ] {
        let answer = http::post(port, &path, headers, body.as_bytes())?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        ensure!(answer.text().contains("another one than at the start"), "{}", answer.text());
    }
    assert_eq!(http::get(port, "/v2/models/double/ready")?.status, 400);
    Ok(())
}
