//! The loop around a service, and the five loops of a shop.

use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use kafka_event_streaming::config::{ConsumerSettings, ProducerSettings};
use kafka_event_streaming::dead_letter::DeadLetterProducer;
use kafka_event_streaming::event_producer::EventProducer;
use kafka_event_streaming::processor::{Failure, Processor, ProcessorSettings};
use kafka_event_streaming::shutdown::CancellationToken;
use tokio::task::JoinSet;

use crate::audit::Audit;
use crate::books::{Books, Page};
use crate::messages::Message;
use crate::serve;
use crate::shop::{Role, Shop};

/// The longest wait for what is under way when a service ends.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a service does about a message, in its books, and what it has to tell the others of it.
pub(crate) type Work<In, Out> =
    fn(&Page<'_>, &<In as Message>::Meaning) -> Result<Option<Out>, Failure>;

/// A service that reads messages of one type and publishes those of another.
pub(crate) struct Service<In: Message, Out> {
    pub(crate) shop: Shop,
    pub(crate) role: Role,
    pub(crate) books: Books,
    pub(crate) work: Work<In, Out>,
    pub(crate) producer: EventProducer<Out>,
}

/// Which service of which shop is to run, and until when.
pub(crate) struct Run {
    pub(crate) shop: Shop,
    pub(crate) role: Role,
    pub(crate) stop: CancellationToken,
}

impl Run {
    /// Reads messages from `inputs` and publishes to `output`, until it is to stop.
    pub(crate) fn service<In: Message, Out: Message>(
        self,
        inputs: &'static [&'static str],
        output: &'static str,
        work: Work<In, Out>,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(self.run::<In, Out>(inputs, output, work))
    }

    async fn run<In: Message, Out: Message>(
        self,
        inputs: &[&str],
        output: &str,
        work: Work<In, Out>,
    ) -> Result<()> {
        let Self { shop, role, stop } = self;
        let cluster = shop.cluster().clone();
        let inputs: Vec<String> = inputs.iter().map(|input| shop.topic(input)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let group = shop.group(role);
        let consumer = ConsumerSettings {
            // The same after each restart: its partitions wait for it, and not for the session timeout (KIP-345). A second
            // instance with the same books is refused.
            instance_id: Some(format!("{group}-0")),
            ..ConsumerSettings::reliable(&group)
        };
        let settings = ProcessorSettings {
            drain_timeout: PATIENCE,
            ..ProcessorSettings::default()
        };
        let low_latency = ProducerSettings::low_latency();
        let producer = EventProducer::new(&cluster, &shop.topic(output), &low_latency)?;
        let records = producer.records().clone();
        let letters = DeadLetterProducer::new(&records, &shop.dead_letters(role));
        let books = shop.books(role)?;
        if role == Role::Orders {
            shop.place_orders(&books).map_err(in_words)?;
        }
        let service: Service<In, Out> = Service {
            shop,
            role,
            books,
            work,
            producer,
        };
        // The broker may be away for long. Whoever does not want to wait need not.
        if let Some(published) = stop.run_until_cancelled(service.publish()).await {
            published.map_err(in_words)?;
        }
        // One record at a time: `publish` is called by one at a time, too.
        let processor =
            Processor::new(&cluster, &consumer, &inputs, service, letters)?.with_settings(settings);
        let outcome = processor.run(stop).await;
        records.close(PATIENCE).await;
        outcome?;
        Ok(())
    }
}

fn in_words(failure: Failure) -> anyhow::Error {
    anyhow::Error::from_boxed(failure.source)
}

/// Runs the five services, each a task of its own, until the books are as wanted, one fails, or `stop` is cancelled. Then
/// all end in order.
pub(crate) async fn run_all(
    shop: &Shop,
    stop: &CancellationToken,
    reached: impl Fn(&Audit) -> bool,
) -> Result<()> {
    let closing = stop.child_token();
    let mut services = JoinSet::new();
    for role in Role::ALL {
        services.spawn(serve(shop.clone(), role, closing.clone()));
    }
    let mut outcome = tokio::select! {
        Some(ended) = services.join_next() => ended.context("a service panicked")?,
        reached = shop.wait_until(reached) => reached,
        () = stop.cancelled() => Ok(()),
    };
    closing.cancel();
    while let Some(ended) = services.join_next().await {
        outcome = outcome.and(ended.context("a service panicked")?);
    }
    outcome
}
