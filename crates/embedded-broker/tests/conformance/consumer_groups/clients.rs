//! librdkafka members with `group.protocol=consumer`.
