//! Transactions in a compacted topic: what was aborted goes, and readers do not miss it.

use super::{Producer, committed, everything};
use crate::support::raw::RawClient;
use crate::support::records::{Batch, now};
use crate::support::topic::{Topic, append};
use crate::support::wait::{DEADLINE, eventually};

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;

/// Compacted as soon as a segment is closed; a batch more than half a second later than a segment's first closes it.
const COMPACTED: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "500"),
    ("min.cleanable.dirty.ratio", "0.001"),
];

impl Producer {
    /// A transaction of one record under the key "key", made an hour ago: its marker is of today and closes a segment.
    async fn write(&mut self, topic: &Topic, value: &str) {
        let batch = Batch::keyed(&[(Some("key"), Some(value))]).made_at(now() - HOUR);
        self.add(topic, &[0]).await;
        self.send_records(topic, 0, batch, 1).await;
    }
}

/// Closes segments: each of these batches is later than all before it, the first one by so many seconds.
async fn move_on(client: &mut RawClient, topic: &Topic, seconds: i64) {
    for step in 0..2 {
        let later = now() + (seconds + 10 * step) * SECOND;
        let batch = Batch::keyed(&[(Some("later"), Some("later"))]).made_at(later);
        append(client, topic, 0, &batch).await;
    }
}

/// An aborted record is nobody's last: it goes, and the committed one before it stays. Whatever becomes of its marker, the
/// producer's next transaction is seen.
#[tokio::test]
async fn aborted_records_are_compacted_away() {
    let topic = Topic::create_with(1, &COMPACTED).await;
    let mut producer = Producer::start().await;
    producer.write(&topic, "kept").await;
    producer.commit().await;
    producer.write(&topic, "aborted").await;
    producer.abort().await;
    let mut client = RawClient::connect().await;
    move_on(&mut client, &topic, 10).await;
    eventually(DEADLINE, "the aborted record to go", async || {
        let left = everything(&mut client, &topic, 0).await;
        let gone = !left.contains(&"aborted".to_owned());
        gone.then(|| assert_eq!(left[0], "kept"))
    })
    .await;
    assert_eq!(committed(&mut client, &topic, 0).await[0], "kept");
    producer.write(&topic, "new").await;
    producer.commit().await;
    let seen = committed(&mut client, &topic, 0).await;
    assert!(seen.contains(&"new".to_owned()), "{seen:?}");
}

/// An open transaction holds back the compaction of all that lies behind its first record.
#[tokio::test]
async fn an_open_transaction_holds_back_compaction() {
    let topic = Topic::create_with(1, &COMPACTED).await;
    let mut client = RawClient::connect().await;
    let mut producer = Producer::start().await;
    for value in ["old", "older than open"] {
        let batch = Batch::keyed(&[(Some("key"), Some(value))]).made_at(now() - 3 * HOUR);
        append(&mut client, &topic, 0, &batch).await;
    }
    producer.write(&topic, "open").await;
    for value in ["behind", "last"] {
        let batch = Batch::keyed(&[(Some("other"), Some(value))]).made_at(now());
        append(&mut client, &topic, 0, &batch).await;
    }
    move_on(&mut client, &topic, 10).await;
    eventually(DEADLINE, "compaction before the transaction", async || {
        let left = everything(&mut client, &topic, 0).await;
        (!left.contains(&"old".to_owned())).then(|| {
            assert!(left.contains(&"behind".to_owned()), "{left:?}");
        })
    })
    .await;
    producer.commit().await;
    move_on(&mut client, &topic, 30).await;
    eventually(DEADLINE, "compaction behind the transaction", async || {
        let left = everything(&mut client, &topic, 0).await;
        (!left.contains(&"behind".to_owned()) && !left.contains(&"older than open".to_owned()))
            .then_some(())
    })
    .await;
    let seen = committed(&mut client, &topic, 0).await;
    assert!(seen.contains(&"open".to_owned()), "{seen:?}");
}
