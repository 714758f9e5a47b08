//! Is there a Kafka broker at an address? The question that `make infra-up` asks before and after it starts one.

use std::io;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Why [`probe`] found no broker.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nothing listens there.
    #[error("nothing answers on {address}: {source}")]
    NothingListens {
        /// The address that was tried.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something listens there that does not speak the Kafka protocol.
    #[error(
        "what listens on {address} is not a Kafka broker: it did not answer an ApiVersions request"
    )]
    NotKafka {
        /// The address that was tried.
        address: String,
    },
}

/// Sends an ApiVersions request (version 0) to `address`, which is `HOST:PORT`, and waits up to `patience` for the answer.
///
/// # Errors
/// If nothing listens there, or something that is not a Kafka broker.
pub async fn probe(address: &str, patience: Duration) -> Result<(), ProbeError> {
    const CORRELATION_ID: i32 = 0x6b61_666b;
    let nothing = |source| ProbeError::NothingListens {
        address: address.to_owned(),
        source,
    };
    let mut stream = timeout(patience, TcpStream::connect(address))
        .await
        .map_err(|_| nothing(io::ErrorKind::TimedOut.into()))?
        .map_err(nothing)?;
    // Frame length; API key 18, version 0; correlation id; no client id.
    let mut request = BytesMut::new();
    request.put_i32(10);
    request.put_i16(18);
    request.put_i16(0);
    request.put_i32(CORRELATION_ID);
    request.put_i16(-1);
    let exchange = async {
        stream.write_all(&request).await?;
        // Frame length; correlation id; error code.
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match timeout(patience, exchange).await {
        Ok(Ok(answer)) if answer[4..8] == CORRELATION_ID.to_be_bytes() && answer[8..] == [0, 0] => {
            Ok(())
        }
        _ => Err(ProbeError::NotKafka {
            address: address.to_owned(),
        }),
    }
}
