//! The dashboards that are shipped ask for topics that are there, and read keys that are there.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::places;
use wire::Verb;
use wire::topic::Topics;

/// Whether `filter` with `+` matches `topic`.
fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), topic.split('/').collect());
    filter.len() == topic.len()
        && filter.iter().zip(topic).all(|(wanted, level)| *wanted == "+" || *wanted == level)
}

#[test]
fn the_node_red_flow_hangs_together_and_listens_where_something_is_said() -> Result<()> {
    let path = places::repository().join("agent/dashboards/node-red.json");
    let flow: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let topics = Topics::new("orin-7")?;
    let said = [
        topics.status(),
        topics.telemetry_board(),
        topics.alarm("hot"),
        topics.observation("door"),
        topics.command_result("status", "1"),
        topics.command(Verb::Snapshot, wire::topic::UNNUMBERED),
    ];
    let ids: Vec<&str> = flow.iter().filter_map(|node| node["id"].as_str()).collect();
    for node in &flow {
        let id = node["id"].as_str().context("a node without an id")?;
        for wire in node["wires"].as_array().into_iter().flatten() {
            for to in wire.as_array().context("no wires")? {
                ensure!(ids.contains(&to.as_str().unwrap_or_default()), "{id} leads to {to}");
            }
        }
        ensure!(
            node["broker"].is_null()
                || node["type"] == "mqtt-broker"
                || node["broker"] == "vedette-broker",
            "{id}"
        );
        if let Some(topic) = node["topic"].as_str().filter(|topic| !topic.is_empty()) {
            ensure!(
                said.iter().any(|said| matches(topic, said)),
                "{id}: nothing is said on {topic}"
            );
        }
    }
    Ok(())
}
