//! **ListTransactions**, key 66, versions 0-1.
//!
//! Lists the transactional ids that the node coordinates, with their producer ids and how far their transactions are
//! (KIP-664).
//!
//! - Filters by state and by producer id; version 1 also by age: older than so many milliseconds (KIP-994). An id whose
//!   producer has begun nothing counts as old.
//! - A state that nobody knows is named in the answer.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{
    ApiKey, ListTransactionsRequest, ListTransactionsResponse, ProducerId, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::{Api, Context, Outcome};
use crate::clock::Now;
use crate::state::State;
use crate::transaction;

/// The states that Apache Kafka knows. The ones in between its steps never last here, which is no reason not to know them.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

pub(super) struct ListTransactions;

impl Api for ListTransactions {
    const KEY: ApiKey = ApiKey::ListTransactions;
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Request = ListTransactionsRequest;
    type Response = ListTransactionsResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut ListTransactionsRequest,
    ) -> Outcome<ListTransactionsResponse> {
        let unknown = request
            .state_filters
            .iter()
            .filter(|filter| !STATES.contains(&filter.as_str()))
            .cloned()
            .collect();
        let filter = Filter {
            states: request.state_filters.iter().map(StrBytes::as_str).collect(),
            producers: request.producer_id_filters.iter().copied().collect(),
            longer_than_ms: request.duration_filter,
        };
        let states = state
            .transactions
            .iter()
            .filter(|(id, known)| {
                state.cluster.is_coordinator(cx.node_id, id) && filter.passes(known, cx.now)
            })
            .map(|(id, known)| {
                TransactionState::default()
                    .with_transactional_id(TransactionalId(StrBytes::from_string(id.to_owned())))
                    .with_producer_id(ProducerId(known.producer().id))
                    .with_transaction_state(StrBytes::from_static_str(known.phase().name()))
            });
        let states = states.collect();
        Outcome::Reply(
            ListTransactionsResponse::default()
                .with_unknown_state_filters(unknown)
                .with_transaction_states(states),
        )
    }
}

/// What a request wants to see. What is empty lets everything pass.
struct Filter<'a> {
    states: HashSet<&'a str>,
    producers: HashSet<ProducerId>,
    /// Negative lets everything pass.
    longer_than_ms: i64,
}

impl Filter<'_> {
    fn passes(&self, known: &transaction::TransactionalId, now: Now) -> bool {
        let (states, producers) = (&self.states, &self.producers);
        (states.is_empty() || states.contains(known.phase().name()))
            && (producers.is_empty() || producers.contains(&ProducerId(known.producer().id)))
            && (self.longer_than_ms < 0
                || now.unix_ms.saturating_sub(known.started_ms()) > self.longer_than_ms)
    }
}
