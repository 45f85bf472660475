//! Starts real brokers and real daemons for the tests and for the demonstration, and ends them.
//!
//! A test has a [`Folder`], starts a [`Broker`] (mosquitto) and a [`Daemon`] (the `vedette` binary) in it, and
//! hears with a [`Listener`] what the daemon publishes; a [`Bench`] is all of these at once. Everything that
//! was started is killed on drop.
//!
//! **Invariant:** nothing here sleeps. Whoever waits, waits for a level and has a deadline; what was not
//! reached comes back as an error with the log that shows why.
#![forbid(unsafe_code)]

pub mod bench;
mod broker;
pub mod camera;
pub mod certificates;
mod daemon;
pub mod demo;
mod durable;
pub mod fleet;
pub mod folder;
pub mod heard;
pub mod http;
mod listener;
pub mod nginx;
pub mod onnx;
pub mod picture;
pub mod places;
mod process;
pub mod video;
pub mod web;

use std::time::Duration;

pub use bench::Bench;
pub use broker::{Broker, Login};
pub use camera::Camera;
pub use daemon::{Daemon, Launch, Stdout};
pub use durable::Durable;
pub use fleet::{Fleet, Kind};
pub use folder::Folder;
pub use listener::{Listener, Message};
pub use nginx::{Guard, Nginx};
pub use process::Ended;

/// How long a test waits for what should come at once: much longer than a loaded machine of two cores needs to
/// start a daemon and load a model, and shorter than nextest's own limit.
pub const PATIENCE: Duration = Duration::from_secs(30);
