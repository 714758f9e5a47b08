//! The topics in what a consumer says when it joins: the one look inside that the broker takes.

use bytes::Buf;

/// Whether the subscription names the topic; none if the bytes are no subscription.
///
/// A subscription (`ConsumerProtocolSubscription` in Kafka's message definitions) begins with its version and its topics
/// in every version; what follows does not matter here.
pub(super) fn names_topic(mut subscription: &[u8], topic: &str) -> Option<bool> {
    let _version = subscription.try_get_i16().ok()?;
    let count = subscription.try_get_i32().ok()?;
    let mut named = false;
    for _ in 0..count {
        let length = usize::try_from(subscription.try_get_i16().ok()?).ok()?;
        let (name, rest) = subscription.split_at_checked(length)?;
        named |= name == topic.as_bytes();
        subscription = rest;
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1, topics "a" and "bc", no user data.
    const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xFF\xFF\xFF\xFF";

    #[test]
    fn topics_are_found() {
        assert_eq!(names_topic(SUBSCRIPTION, "a"), Some(true));
        assert_eq!(names_topic(SUBSCRIPTION, "bc"), Some(true));
        assert_eq!(names_topic(SUBSCRIPTION, "b"), Some(false));
    }

    #[test]
    fn bytes_that_are_no_subscription_are_not_trusted() {
        for end in 0..11 {
            assert_eq!(names_topic(&SUBSCRIPTION[..end], "a"), None, "{end} bytes");
        }
        let lying_count = b"\0\x01\x7F\xFF\xFF\xFF\0\x01a";
        assert_eq!(names_topic(lying_count, "a"), None);
        let negative_length = b"\0\x01\0\0\0\x01\xFF\xFF";
        assert_eq!(names_topic(negative_length, "a"), None);
    }
}
