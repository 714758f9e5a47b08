//! librdkafka clients with settings that make a test quick.
