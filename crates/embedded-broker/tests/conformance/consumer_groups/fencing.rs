//! Members that are not in the epoch where the coordinator knows them.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};

use crate::support::broker::unique;
use crate::support::consumer_group::{sharing, topic};

/// "FENCED_MEMBER_EPOCH": ahead, or too far behind. The member abandons what it has and joins again.
#[tokio::test]
async fn a_member_in_another_epoch_is_fenced() {
    let topic = topic(2).await;
    let (mut first, second) = sharing(&unique("group"), &topic).await;
    let ahead = first.send(first.keep_alive().with_member_epoch(4)).await;
    assert_eq!(
        ahead.error_code.err(),
        Some(ResponseError::FencedMemberEpoch)
    );
    let message = "The consumer group member has a greater member epoch (4) than the one known by the group coordinator \
                   (3). The member must abandon all its partitions and rejoin.";
    assert_eq!(ahead.error_message.as_deref(), Some(message));
    for behind in [
        first.owning(&first.assigned).with_member_epoch(1),
        first.keep_alive().with_member_epoch(2),
        first.owning(&second.assigned).with_member_epoch(2),
    ] {
        let answer = first.send(behind).await;
        assert_eq!(
            answer.error_code.err(),
            Some(ResponseError::FencedMemberEpoch)
        );
        let message = answer.error_message.expect("a message");
        assert!(
            message.starts_with("The consumer group member has a smaller member epoch ("),
            "{message}"
        );
    }
    // It is still there, and joins again as who it is.
    let again = first.join().await;
    assert_eq!((again, first.epoch), (first.assigned.clone(), 3));
}

/// "Accept the previous epoch if owned is a subset of the assignment (lost response)."
#[tokio::test]
async fn a_member_that_missed_an_answer_is_not_fenced() {
    let topic = topic(2).await;
    let (mut first, _second) = sharing(&unique("group"), &topic).await;
    let its_own = first.assigned.clone();
    let behind = first.owning(&its_own).with_member_epoch(2);
    assert_eq!(first.ok(behind).await, None);
    assert_eq!(first.epoch, 3);
    let behind = first.full(&its_own).with_member_epoch(2);
    assert_eq!(first.ok(behind).await, Some(its_own));
}
