//! **EndTxn**, key 26, versions 0-4.
//!
//! Commits or aborts the producer's transaction. When it is answered, each partition has its marker, each group its offsets
//! or none, and readers that waited are awake.
//!
//! - Ending again in the same way is a retry and succeeds; in the other way, or with nothing to end, it is
//!   INVALID_TXN_STATE.
//! - Left out: version 5, which bumps the epoch with each transaction (KIP-890).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, EndTxnRequest, EndTxnResponse};

use super::{Api, Context, Outcome, code};
use crate::log::TransactionResult;
use crate::state::State;
use crate::transaction::{self, ProducerIdAndEpoch};

/// From this version on clients know PRODUCER_FENCED.
const FIRST_VERSION_WITH_FENCED: i16 = 2;

pub(super) struct EndTxn;

impl Api for EndTxn {
    const KEY: ApiKey = ApiKey::EndTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Request = EndTxnRequest;
    type Response = EndTxnResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut EndTxnRequest,
    ) -> Outcome<EndTxnResponse> {
        let ended = end(state, cx, request);
        Outcome::Reply(EndTxnResponse::default().with_error_code(code(&ended)))
    }
}

fn end(state: &mut State, cx: &Context, request: &EndTxnRequest) -> Result<(), ResponseError> {
    let id = &request.transactional_id;
    transaction::check_coordinator(&state.cluster, cx, id)?;
    let producer = ProducerIdAndEpoch {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let result = match request.committed {
        true => TransactionResult::Commit,
        false => TransactionResult::Abort,
    };
    let ended = state
        .transactions
        .end(id, producer, result)
        .map_err(|error| {
            transaction::error_before_fenced(error, cx.version, FIRST_VERSION_WITH_FENCED)
        })?;
    if let Some(ended) = ended {
        state.tell_participants(ended, cx.now);
    }
    Ok(())
}
