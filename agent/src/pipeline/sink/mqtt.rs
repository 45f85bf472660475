//! Observations to the broker, each pipeline on its own topic.

use std::sync::Arc;

use super::{Queue, SinkContext, SinkSpec};
use crate::config::Section;
use crate::kinds::Kind;

/// `kind = "mqtt"`.
pub const KIND: Kind<dyn SinkSpec> = Kind {
    name: "mqtt",
    summary: "the broker of [mqtt], topic vedette/v1/<device>/observation/<pipeline>",
    example: "kind = \"mqtt\"\n",
    build: |_: &Section<'_>| Some(Box::new(Mqtt)),
};

#[derive(Debug)]
struct Mqtt;

impl SinkSpec for Mqtt {
    fn start(&self, context: &SinkContext<'_>) -> Arc<Queue> {
        // Without a broker the configuration was refused; an unread queue of one record costs nothing.
        context.link.map_or_else(|| Arc::new(Queue::new(1)), |link| link.queue().clone())
    }

    fn needs_mqtt(&self) -> bool {
        true
    }
}
