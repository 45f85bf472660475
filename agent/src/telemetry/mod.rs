//! How the board feels: readings of any board below any root, and what is wrong with them.
//!
//! A reading that failed is `None`, never 0. Start at [`sampler`]; [`board`] is the page of the boards and
//! [`alarms::rules`] the one of the alarms.

pub mod alarms;
pub mod attribute;
pub mod board;
pub mod capture;
pub mod host;
pub mod sampler;
pub mod seen;
mod settings;
pub mod sysfs;
pub mod tree;
pub mod worker;

pub use sampler::Sampler;
pub use settings::TelemetrySettings;
pub use tree::Tree;
