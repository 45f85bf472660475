//! What the device says over MQTT besides observations, held against the schemas in `wire/schema`, and what may be
//! asked of it: all through a real broker.

mod commands;
mod dashboards;
mod homeassistant;
mod schemas;
mod thinedge;
