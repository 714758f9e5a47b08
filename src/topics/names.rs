//! What topics are called, by rule: whoever sees a name knows what is in it, and whoever knows what is in it knows the
//! name.
//!
//! 1. One topic an event type. Its readers then decode one type, and its retention and partitions are chosen for it.
//! 2. Its key is the entity's id ([`Event::key`]), so that what happens to one entity stays in order.
//! 3. Each service has one topic for records that it failed on and may take up again, and one for dead letters.
//! 4. Dots part the words of a name, hyphens join them, and underscores are not used: in the names of Kafka's metrics
//!    dots become underscores, so the broker refuses `a_b` next to `a.b`
//!    (`org.apache.kafka.common.internals.Topic.hasCollision`).
//! 5. These names are defaults. What a cluster really has comes from the environment:
//!
//! ```
//! use kafka_event_streaming::config::TopicNames;
//! use kafka_event_streaming::order::OrderEvent;
//! use kafka_event_streaming::topics::{dead_letter_topic, event_topic};
//!
//! let names = TopicNames::from_environment(&[
//!     ("orders", &event_topic::<OrderEvent>("shop")),
//!     ("dead-letters", &dead_letter_topic("billing")),
//! ])?;
//! assert_eq!(names.name("orders")?, "shop.order");
//! assert_eq!(names.name("dead-letters")?, "billing.dead-letter");
//! # Ok::<(), kafka_event_streaming::Error>(())
//! ```

use uuid::Uuid;

use crate::event::Event;

/// The topic of one type of event, in a part of the business.
pub fn event_topic<T: Event>(domain: &str) -> String {
    format!("{domain}.{}", T::TYPE)
}

/// Where a service puts records that it failed on.
pub fn error_topic(service: &str) -> String {
    format!("{service}.error")
}

/// Where a service puts records that it gives up on, for a person to look at.
pub fn dead_letter_topic(service: &str) -> String {
    format!("{service}.dead-letter")
}

/// A name that nobody else uses, such as `example-01-3f9a1c7e`. Every example and test takes a topic and a group of its
/// own, so that what an earlier run left behind changes nothing.
pub fn unique_name(prefix: &str) -> String {
    let (random, ..) = Uuid::new_v4().as_fields();
    format!("{prefix}-{random:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::OrderEvent;

    /// S2-11: an event type, a service's failures and its dead letters have one topic each.
    #[test]
    fn names_follow_from_what_is_in_the_topic() {
        let names = [
            event_topic::<OrderEvent>("shop"),
            error_topic("billing"),
            dead_letter_topic("billing"),
        ];
        assert_eq!(
            names,
            ["shop.order", "billing.error", "billing.dead-letter"]
        );
        // No two of them become one in the names of metrics, and none ever does with such names.
        assert!(names.iter().all(|name| !name.contains('_')));
    }
}
