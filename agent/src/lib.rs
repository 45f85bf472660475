//! The daemon `vedette`, as a library, so that its tests and benchmarks drive the same code that runs.
//!
//! Two straight paths: the data path (`pipeline`) and the update path. Start reading at `app`, the
//! composition root; [`kinds`] is the page of everything that can be plugged in. The map of the house, its
//! invariants and who checks them are in `ARCHITECTURE.md`.

pub mod api;
pub mod app;
pub mod cli;
pub mod commands;
pub mod config;
pub mod disk;
pub mod doctor;
pub mod events;
pub mod homeassistant;
pub mod hw;
pub mod kinds;
pub mod latch;
pub mod model;
pub mod mqtt;
pub mod outbox;
pub mod pipeline;
pub mod recent;
pub mod report;
pub mod said;
pub mod stop;
pub mod supervisor;
pub mod telemetry;
pub mod thinedge;
pub mod update;
pub mod watchdog;
