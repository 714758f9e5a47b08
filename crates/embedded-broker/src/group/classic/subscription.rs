//! The topics in what a consumer says when it joins: the one look inside that the broker takes.

use bytes::Buf;

/// The topics of a subscription; none if the bytes are no subscription.
///
/// A subscription (`ConsumerProtocolSubscription` in Kafka's message definitions) begins with its version and its topics
/// in every version; what follows does not matter here.
pub(super) fn topics(mut subscription: &[u8]) -> Option<Vec<String>> {
    let _version = subscription.try_get_i16().ok()?;
    let count = subscription.try_get_i32().ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(subscription.try_get_i16().ok()?).ok()?;
        let (name, rest) = subscription.split_at_checked(length)?;
        topics.push(String::from_utf8_lossy(name).into_owned());
        subscription = rest;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1, topics "a" and "bc", no user data.
    const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xFF\xFF\xFF\xFF";

    #[test]
    fn topics_are_found() {
        assert_eq!(topics(SUBSCRIPTION).unwrap(), ["a", "bc"]);
    }

    #[test]
    fn bytes_that_are_no_subscription_are_not_trusted() {
        for end in 0..11 {
            assert_eq!(topics(&SUBSCRIPTION[..end]), None, "{end} bytes");
        }
        let lying_count = b"\0\x01\x7F\xFF\xFF\xFF\0\x01a";
        assert_eq!(topics(lying_count), None);
        let negative_length = b"\0\x01\0\0\0\x01\xFF\xFF";
        assert_eq!(topics(negative_length), None);
    }
}
