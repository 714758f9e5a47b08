//! Who holds which partition of a consumer group whose members are children of this program, and how long it takes until
//! a change of membership is settled.
//!
//! A member tells its parent by its output, in [`run_member`]; the parent keeps the table, in [`GroupWatch`]. The members
//! are processes because only a process can be killed: see [`child`](crate::child).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::assignment::{RebalanceObserver, TopicPartition};
use crate::child::{self, Child};
use crate::config::{Cluster, ConsumerSettings};
use crate::consumer::RecordConsumer;

/// How long a member may take to leave its group. With the broker gone, it cannot.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a member waits for a record before it looks again whether it should go on. It is woken for everything else.
const POLL: Duration = Duration::from_secs(1);

/// In the parent: the members of one group that reads one topic.
#[derive(Debug)]
pub struct GroupWatch {
    /// What this program has to be started with to be a member.
    member: Vec<String>,
    /// The longest wait for a change to settle.
    patience: Duration,
    /// Cancelled when nobody wants to see more.
    stop: CancellationToken,
    /// The members that run, by name.
    members: BTreeMap<String, Child>,
    /// What they hold, by what they said.
    shares: Shares,
    /// What members say, with their names, in the order in which it comes.
    said: mpsc::UnboundedReceiver<(String, Said)>,
    /// For members that join.
    say: mpsc::UnboundedSender<(String, Said)>,
}

/// What a change of membership led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// From the change until every partition had its one reader.
    pub after: Duration,
    /// How many partitions were taken away from members that stayed, counting one that was given back to the same
    /// member: nobody read it meanwhile.
    pub taken_away: usize,
}

/// Why there is no more to be seen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A member could not be started, or could not be ended.
    #[error("a member of the group cannot be started or ended")]
    Child(#[from] io::Error),
    /// A member ended by itself. It has said why on standard error.
    #[error("member {0} ended by itself")]
    Ended(String),
    /// Some partition has no reader or two, or some member too many.
    #[error("the group is not settled after {waited:?}: {held}")]
    NotSettled {
        /// How long it had.
        waited: Duration,
        /// Who held what in the end.
        held: String,
    },
    /// Somebody wants to stop.
    #[error("stopped")]
    Stopped,
}

/// What comes from a member.
#[derive(Debug)]
enum Said {
    Line(String),
    /// Nothing more: it is gone.
    Ended,
}

impl GroupWatch {
    /// A group without members. This program with the arguments `member` has to become one, by [`run_member`]. A change
    /// of membership is waited for up to `patience`, or until `stop` is cancelled.
    pub fn new(
        partitions: i32,
        member: Vec<String>,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Self {
        let (say, said) = mpsc::unbounded_channel();
        Self {
            member,
            patience,
            stop: stop.clone(),
            members: BTreeMap::new(),
            shares: Shares {
                partitions,
                held: BTreeMap::new(),
            },
            said,
            say,
        }
    }

    /// Starts a member of this name, and waits until the group is settled.
    ///
    /// # Errors
    ///
    /// After any of these all members have left:
    ///
    /// - [`WatchError::Child`] when this program cannot be started
    /// - [`WatchError::NotSettled`] when some partition has no reader, or two, or some member has two more than another
    ///   one, for as long as there is patience
    /// - [`WatchError::Ended`] when a member is gone that nobody sent away
    /// - [`WatchError::Stopped`] once the token is cancelled
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub async fn join(&mut self, name: &str) -> Result<Settled, WatchError> {
        let since = Instant::now();
        let (sender, mut lines) = mpsc::unbounded_channel();
        let child = match Child::start(&self.member, sender) {
            Ok(child) => child,
            Err(error) => return Err(self.give_up(error.into()).await),
        };
        let (say, speaker) = (self.say.clone(), name.to_owned());
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                // Nobody listens when the watch is gone.
                let _ = say.send((speaker.clone(), Said::Line(line)));
            }
            let _ = say.send((speaker, Said::Ended));
        });
        self.members.insert(name.to_owned(), child);
        self.shares.held.insert(name.to_owned(), None);
        self.settled(since).await
    }

    /// Asks a member to leave, and waits until the group is settled without it.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join); [`WatchError::Ended`] also when there is no such member.
    pub async fn leave(&mut self, name: &str) -> Result<Settled, WatchError> {
        let since = Instant::now();
        match self.take(name) {
            Ok(child) => farewell(child).await?,
            Err(error) => return Err(self.give_up(error).await),
        }
        self.settled(since).await
    }

    /// Kills a member, so that nobody tells the group, and waits until it is settled without it.
    ///
    /// # Errors
    ///
    /// As [`leave`](Self::leave).
    pub async fn kill(&mut self, name: &str) -> Result<Settled, WatchError> {
        let since = Instant::now();
        match self.take(name) {
            Ok(child) => child.kill().await?,
            Err(error) => return Err(self.give_up(error).await),
        }
        self.settled(since).await
    }

    async fn settled(&mut self, since: Instant) -> Result<Settled, WatchError> {
        match self.settle(since).await {
            Ok(settled) => Ok(settled),
            Err(error) => Err(self.give_up(error).await),
        }
    }

    async fn settle(&mut self, since: Instant) -> Result<Settled, WatchError> {
        let mut taken_away = 0;
        while !self.shares.are_settled() {
            let (name, said) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(WatchError::Stopped),
                // The watch itself holds a sender, so there is always another one to come.
                Some(said) = self.said.recv() => said,
                () = tokio::time::sleep_until(since + self.patience) => {
                    return Err(WatchError::NotSettled {
                        waited: self.patience,
                        held: self.shares.to_string(),
                    });
                }
            };
            match said {
                // Last words of one that was sent away.
                _ if !self.members.contains_key(&name) => {}
                Said::Line(line) => taken_away += self.shares.hear(&name, &line),
                Said::Ended => return Err(WatchError::Ended(name)),
            }
        }
        Ok(Settled {
            after: since.elapsed(),
            taken_away,
        })
    }

    /// The member that reads this partition.
    pub fn holder(&self, partition: i32) -> Option<&str> {
        self.shares.holder(partition)
    }

    /// The members that have nothing to read.
    pub fn idle(&self) -> Vec<&str> {
        let held = self.shares.held.iter();
        held.filter(|(_, held)| held.as_ref().is_some_and(BTreeSet::is_empty))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Asks all members to leave at once, and waits until all have ended.
    ///
    /// # Errors
    ///
    /// [`WatchError::Child`].
    pub async fn close(mut self) -> Result<(), WatchError> {
        self.dismiss().await
    }

    async fn dismiss(&mut self) -> Result<(), WatchError> {
        self.shares.held.clear();
        let members = std::mem::take(&mut self.members).into_values();
        futures::future::try_join_all(members.map(farewell)).await?;
        Ok(())
    }

    /// The error that is passed on is the one that came first.
    async fn give_up(&mut self, error: WatchError) -> WatchError {
        if let Err(second) = self.dismiss().await {
            tracing::warn!(error = %second, "a member did not leave");
        }
        error
    }

    fn take(&mut self, name: &str) -> Result<Child, WatchError> {
        self.shares.held.remove(name);
        let child = self.members.remove(name);
        child.ok_or_else(|| WatchError::Ended(name.to_owned()))
    }
}

/// Asks a member to leave, and kills it when it cannot.
async fn farewell(child: Child) -> io::Result<()> {
    match tokio::time::timeout(FAREWELL, child.stop()).await {
        Ok(status) => status.map(drop),
        // Dropping it has killed it.
        Err(_) => Ok(()),
    }
}

/// The member's side: reads `topic`, tells the parent of each change of its partitions, and leaves the group when it is
/// [asked to](child::asked_to_stop) or `stop` is cancelled. What it reads it neither processes nor commits.
///
/// # Errors
///
/// As [`RecordConsumer::new`] and [`RecordConsumer::close`]. Errors of reading are logged: the client goes on trying.
pub async fn run_member(
    cluster: &Cluster,
    settings: &ConsumerSettings,
    topic: &str,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let consumer = RecordConsumer::observed(cluster, settings, &[topic], Arc::new(Announcer))?;
    let asked = child::asked_to_stop();
    loop {
        tokio::select! {
            polled = consumer.next(POLL) => if let Err(error) = polled {
                tracing::warn!(%error, "reading goes on");
            },
            () = asked.cancelled() => break,
            () = stop.cancelled() => break,
        }
    }
    consumer.close().await
}

/// What each member holds, by its own words.
#[derive(Debug)]
struct Shares {
    /// How many there are to be shared.
    partitions: i32,
    /// None for a member that has said nothing: it may not have joined yet.
    held: BTreeMap<String, Option<BTreeSet<i32>>>,
}

impl Shares {
    /// Takes note of what a member says. Returns how many partitions were taken away from it.
    fn hear(&mut self, name: &str, line: &str) -> usize {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default();
        let Ok(partitions) = words.map(str::parse).collect::<Result<Vec<i32>, _>>() else {
            return 0;
        };
        let held = self.held.entry(name.to_owned()).or_default();
        match verb {
            ASSIGNED => {
                held.get_or_insert_default().extend(partitions);
                0
            }
            REVOKED => {
                let held = held.get_or_insert_default();
                let taken = partitions.iter().filter(|taken| held.remove(taken));
                taken.count()
            }
            _ => 0,
        }
    }

    fn are_settled(&self) -> bool {
        let mut sizes = Vec::with_capacity(self.held.len());
        let mut readers = Vec::new();
        for held in self.held.values() {
            let Some(held) = held else { return false };
            sizes.push(held.len());
            readers.extend(held);
        }
        readers.sort_unstable();
        let fewest = sizes.iter().min().copied().unwrap_or_default();
        let most = sizes.iter().max().copied().unwrap_or_default();
        readers.into_iter().copied().eq(0..self.partitions) && most - fewest <= 1
    }

    fn holder(&self, partition: i32) -> Option<&str> {
        let mut held = self.held.iter();
        held.find(|(_, held)| held.as_ref().is_some_and(|held| held.contains(&partition)))
            .map(|(name, _)| name.as_str())
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.held.is_empty() {
            return formatter.write_str("nobody is there");
        }
        for (index, (name, held)) in self.held.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(formatter, "{comma}{name} ")?;
            match held {
                None => formatter.write_str("has said nothing")?,
                Some(held) => write!(formatter, "holds {held:?}")?,
            }
        }
        Ok(())
    }
}

/// First words of a member's lines. The partitions' numbers follow.
const ASSIGNED: &str = "assigned";
const REVOKED: &str = "revoked";

/// Prints each change of a member's partitions, as a line that [`Shares::hear`] understands.
struct Announcer;

impl RebalanceObserver for Announcer {
    fn assigned(&self, partitions: &[TopicPartition]) {
        println!("{}", line(ASSIGNED, partitions));
    }

    fn revoked(&self, partitions: &[TopicPartition], _lost: bool) {
        println!("{}", line(REVOKED, partitions));
    }
}

fn line(verb: &str, partitions: &[TopicPartition]) -> String {
    let mut line = verb.to_owned();
    for TopicPartition { partition, .. } in partitions {
        line.push_str(&format!(" {partition}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(partitions: i32, members: &[&str]) -> Shares {
        Shares {
            partitions,
            held: members
                .iter()
                .map(|name| ((*name).to_owned(), None))
                .collect(),
        }
    }

    #[test]
    fn what_a_member_announces_is_what_is_understood() {
        let mut shares = shares(3, &["A"]);
        let partitions = |numbers: &[i32]| -> Vec<TopicPartition> {
            let partition = |number: &i32| TopicPartition::new("orders", *number);
            numbers.iter().map(partition).collect()
        };
        assert_eq!(shares.hear("A", &line(ASSIGNED, &partitions(&[0, 2]))), 0);
        assert_eq!((shares.holder(0), shares.holder(1)), (Some("A"), None));
        // The one that it did not hold was not taken away.
        assert_eq!(shares.hear("A", &line(REVOKED, &partitions(&[1, 2]))), 1);
        assert_eq!((shares.holder(0), shares.holder(2)), (Some("A"), None));
        assert_eq!(shares.hear("A", "something else"), 0);
    }

    /// Between two rounds of a cooperative rebalance every partition has its reader, and the new member has none.
    #[test]
    fn a_group_is_settled_when_all_is_read_once_and_evenly() {
        let mut group = shares(3, &["A", "B"]);
        let mut step = |name: &str, line: &str| {
            group.hear(name, line);
            group.are_settled()
        };
        assert!(!step("A", "assigned 0 1 2"), "B has said nothing");
        assert!(!step("B", "assigned"), "A holds three more than B");
        assert!(!step("A", "revoked 2"), "nobody reads 2");
        assert!(step("B", "assigned 2"));
        assert!(!step("B", "assigned 1"), "both read 1");
        assert!(step("A", "revoked 1"));

        assert_eq!(group.to_string(), "A holds {0}, B holds {1, 2}");
        assert!(!shares(3, &[]).are_settled(), "nobody reads");
    }

    /// A member more than there are partitions is idle, and that is settled once it has been told so.
    #[test]
    fn an_idle_member_is_settled_once_it_knows() {
        let mut shares = shares(1, &["A", "B"]);
        shares.hear("A", "assigned 0");
        assert!(!shares.are_settled());
        assert_eq!(shares.to_string(), "A holds {0}, B has said nothing");
        shares.hear("B", "assigned");
        assert!(shares.are_settled());
    }
}
