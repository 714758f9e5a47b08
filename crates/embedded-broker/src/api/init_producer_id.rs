//! **InitProducerId**, key 22, versions 0-4.
//!
//! Gives a producer its producer id and epoch (KIP-98).
//!
//! - Without a transactional id: an id that nobody else has, epoch 0. Whatever else the request says changes nothing.
//! - With one: the id that belongs to it, and the next epoch. A transaction that is still open is aborted, and the producer
//!   that had the epoch before is fenced.
//! - Version 3 and later: a producer that lost track claims the id and epoch that it has, to go on with the next one; it is
//!   fenced if another has taken over (KIP-360).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{Api, Context, Outcome};
use crate::clock::millis;
use crate::state::State;
use crate::transaction::{self, ProducerIdAndEpoch};

/// From this version on clients know PRODUCER_FENCED.
const FIRST_VERSION_WITH_FENCED: i16 = 4;
/// What stands for no producer id and for no epoch.
const NONE: (i64, i16) = (-1, -1);

pub(super) struct InitProducerId;

impl Api for InitProducerId {
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut InitProducerIdRequest,
    ) -> Outcome<InitProducerIdResponse> {
        let answer = InitProducerIdResponse::default();
        Outcome::Reply(match initialise(state, cx, request) {
            Ok(producer) => answer
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch),
            Err(error) => {
                let error =
                    transaction::error_before_fenced(error, cx.version, FIRST_VERSION_WITH_FENCED);
                answer
                    .with_error_code(error.code())
                    .with_producer_id(ProducerId(NONE.0))
                    .with_producer_epoch(NONE.1)
            }
        })
    }
}

fn initialise(
    state: &mut State,
    cx: &Context,
    request: &InitProducerIdRequest,
) -> Result<ProducerIdAndEpoch, ResponseError> {
    let claimed = match (request.producer_id.0, request.producer_epoch) {
        NONE => None,
        (id, epoch) if id == NONE.0 || epoch == NONE.1 => {
            return Err(ResponseError::InvalidRequest);
        }
        (id, epoch) => Some(ProducerIdAndEpoch { id, epoch }),
    };
    let Some(id) = &request.transactional_id else {
        let id = state.transactions.new_producer_id();
        return Ok(ProducerIdAndEpoch { id, epoch: 0 });
    };
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let timeout_ms = request.transaction_timeout_ms;
    if timeout_ms <= 0 || millis(timeout_ms) > state.settings.max_transaction_timeout {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    transaction::check_coordinator(&state.cluster, cx, id)?;
    if let Some(ended) = state.transactions.abort_before_initialising(id, claimed)? {
        state.tell_participants(ended, cx.now);
    }
    state.transactions.initialise(id, timeout_ms, claimed)
}
