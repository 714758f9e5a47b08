//! Why is nothing consumed? The four usual reasons, looked up in the cluster instead of guessed.
//!
//! A consumer that reads nothing gives no error: everything may be in order except that there is nothing for it to
//! read. So each check says what is so, and what follows from it.

use std::fmt;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupInfo;

use crate::Error;
use crate::config::{Cluster, ConsumerSettings};
use crate::lag::{self, Progress};

/// How long each question to the cluster may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// One of the four questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Is the topic there, and are there records in it?
    Topic,
    /// What has a group of this name committed?
    Group,
    /// Where would it start?
    ResetPolicy,
    /// Is anybody of the group there to read this topic?
    Subscription,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The question.
    pub check: Check,
    /// True when this alone explains that nothing is consumed.
    pub is_cause: bool,
    /// What is so, and what to do about it.
    pub text: String,
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Topic => "topic",
            Self::Group => "group id",
            Self::ResetPolicy => "reset policy",
            Self::Subscription => "subscription",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_cause { "!!" } else { "ok" };
        write!(formatter, "{mark}  {:<13} {}", self.check, self.text)
    }
}

/// Looks at `topic` and `group` and answers the four questions, in order. Changes nothing: the topic is not created,
/// and the group gets no member.
///
/// # Errors
///
/// - [`Error::Client`] when librdkafka refuses a setting
/// - [`Error::TopicRequest`] when the cluster does not answer within five seconds
pub async fn why_nothing(
    cluster: &Cluster,
    topic: &str,
    group: &str,
) -> Result<Vec<Finding>, Error> {
    // A consumer, because a producer's question about a topic would create it.
    let client: BaseConsumer = ConsumerSettings::reliable(group)
        .client_config(cluster)?
        .create()
        .map_err(|source| Error::Client {
            client: "consumer that looks for what is wrong",
            source,
        })?;
    let (topic, group) = (topic.to_owned(), group.to_owned());
    // librdkafka's questions block.
    tokio::task::spawn_blocking(move || look(&client, &topic, &group)).await?
}

fn look(client: &BaseConsumer, topic: &str, group: &str) -> Result<Vec<Finding>, Error> {
    let failed = |source| Error::TopicRequest {
        topic: topic.to_owned(),
        source,
    };
    let metadata = client.fetch_metadata(None, PATIENCE).map_err(failed)?;
    let Some(found) = metadata.topics().iter().find(|known| known.name() == topic) else {
        let mut names: Vec<&str> = metadata.topics().iter().map(|known| known.name()).collect();
        names.retain(|name| !name.starts_with("__"));
        names.sort_unstable();
        return Ok(vec![Finding {
            check: Check::Topic,
            is_cause: true,
            text: format!(
                "there is no topic {topic}. The cluster has: {}. Create it first, or correct the name",
                list(&names)
            ),
        }]);
    };

    let partitions = found.partitions().iter().map(|partition| partition.id());
    let progress = lag::progress(client, topic, partitions).map_err(failed)?;
    let groups = client.fetch_group_list(None, PATIENCE).map_err(failed)?;

    Ok(vec![
        check_topic(topic, &progress),
        check_group(group, &progress),
        check_reset_policy(&progress),
        check_subscription(topic, group, groups.groups()),
    ])
}

fn check_topic(topic: &str, progress: &[Progress]) -> Finding {
    let records: i64 = progress.iter().map(Progress::records).sum();
    let partitions = progress.len();
    Finding {
        check: Check::Topic,
        is_cause: records == 0,
        text: if records == 0 {
            format!(
                "{topic} exists, with {partitions} partitions, and holds no record. Is the producer flushed, and does \
                 it write to this name?"
            )
        } else {
            format!("{topic} exists, with {records} records in {partitions} partitions")
        },
    }
}

fn check_group(group: &str, progress: &[Progress]) -> Finding {
    let with_offset = progress.iter().filter(|of| of.committed.is_some()).count();
    let lag: i64 = progress.iter().map(Progress::lag).sum();
    let records: i64 = progress.iter().map(Progress::records).sum();
    let all_read = with_offset > 0 && lag == 0 && records > 0;
    Finding {
        check: Check::Group,
        is_cause: all_read,
        text: if with_offset == 0 {
            format!("{group} has committed nothing for this topic: all {lag} records are unread")
        } else if all_read {
            format!(
                "{group} has read and committed everything. A group reads each record once: take another group id to \
                 read them again, or reset its offsets"
            )
        } else {
            format!(
                "{group} has committed in {with_offset} partitions and has {lag} records to read"
            )
        },
    }
}

fn check_reset_policy(progress: &[Progress]) -> Finding {
    let outside: Vec<String> = progress
        .iter()
        .filter(|of| of.is_out_of_range())
        .map(|of| of.partition.to_string())
        .collect();
    let fresh = progress.iter().any(|of| of.committed.is_none());
    let unread: i64 = progress.iter().map(Progress::lag).sum();
    let text = if !outside.is_empty() {
        format!(
            "the committed offset of partition {} is not there any more: auto.offset.reset decides where reading goes \
             on",
            outside.join(", ")
        )
    } else if fresh && unread > 0 {
        "partitions without a committed offset start where auto.offset.reset says. With latest, the client's default, \
         what is in them now is never read: set earliest"
            .to_owned()
    } else {
        "auto.offset.reset does not matter here: where an offset is committed, reading goes on at it".to_owned()
    };
    Finding {
        check: Check::ResetPolicy,
        is_cause: !outside.is_empty() || (fresh && unread > 0),
        text,
    }
}

fn check_subscription(topic: &str, group: &str, groups: &[GroupInfo]) -> Finding {
    let members = groups
        .iter()
        .find(|known| known.name() == group)
        .map_or(&[][..], GroupInfo::members);
    let holders = members
        .iter()
        .filter(|member| names_topic(member.assignment(), topic))
        .count();
    let subscribers = members
        .iter()
        .filter(|member| names_topic(member.metadata(), topic))
        .count();
    let others: Vec<&str> = groups
        .iter()
        .map(GroupInfo::name)
        .filter(|name| *name != group)
        .collect();
    Finding {
        check: Check::Subscription,
        is_cause: holders == 0,
        text: if holders > 0 {
            format!(
                "{holders} of {} members hold partitions of {topic}",
                members.len()
            )
        } else if subscribers > 0 {
            format!(
                "{subscribers} members want {topic} and hold nothing: the group is rebalancing, or has more members \
                 than the topic has partitions"
            )
        } else if members.is_empty() {
            format!(
                "no member of {group} can be seen: no consumer runs with this group id, or it uses the new group \
                 protocol (then ask kafka-consumer-groups). Other groups: {}",
                list(&others)
            )
        } else {
            format!(
                "{group} has {} members, and none subscribed to {topic}: look for a typing error in their topic",
                members.len()
            )
        },
    }
}

/// Whether a member's subscription or assignment speaks of a topic. Both hold names as a 16-bit length and the text
/// (Apache Kafka, `ConsumerProtocolSubscription.json` and `ConsumerProtocolAssignment.json`).
fn names_topic(bytes: Option<&[u8]>, topic: &str) -> bool {
    let Ok(length) = u16::try_from(topic.len()) else {
        return false;
    };
    let mut name = length.to_be_bytes().to_vec();
    name.extend_from_slice(topic.as_bytes());
    bytes.is_some_and(|bytes| bytes.windows(name.len()).any(|window| window == name))
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
