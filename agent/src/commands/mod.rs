//! What somebody with a seat at the broker may ask of this device, and what it answers.
//!
//! ```text
//! message ─▶ decide (retained? allowed? known? done before?) ─▶ act ─▶ result, remembered
//! ```
//!
//! [`decide()`] is pure; `act` does, and decides nothing. **Invariants:** nothing that changes something is done unless
//! the configuration allows it; the same request is done once, however often it arrives; a retained command is never
//! done. `tests/tests/mqtt/commands.rs` asks a real daemon through a real broker.

mod act;
mod decide;
mod memory;
mod report;
mod settings;
mod states;
mod worker;

pub use decide::{Command, Decision, decide};
pub use memory::Memory;
pub use report::{Facts, ReadFacts};
pub use settings::CommandSettings;
pub use states::{Pipeline, Pipelines};
pub use worker::{Hands, start};
