//! Frames of anybody's making on the way that real ones take: what `fuzz/` calls, and a property test that runs each time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};

use crate::clock::Now;
use crate::cluster::{Cluster, Node};
use crate::net::connection;
use crate::net::listener::Endpoint;
use crate::security::ListenerKind;
use crate::settings::Settings;
use crate::state::{Shared, State};

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9092);

/// Has a new broker serve a client that sends these frames and hangs up, and then lets two minutes pass. `input` is the frames one
/// after the other, each with two bytes in front that say how long it is; the last may be shorter.
///
/// # Errors
/// If the system gives no runtime.
pub fn serve_frames(input: &[u8]) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let stream = framed(input);
    runtime.block_on(async {
        let shared = Shared::new(State::new(Settings::default(), cluster()));
        let endpoint = Endpoint {
            shared: Arc::clone(&shared),
            node_id: 0,
            gate: Arc::default(),
            credentials: None,
            tls: None,
            authentication_timeout: Duration::ZERO,
        };
        let ends = (&stream[..], tokio::io::sink());
        connection::run(
            endpoint,
            ListenerKind::Plaintext,
            ends,
            ADDRESS,
            Instant::now(),
        )
        .await;
        let later = Duration::from_secs(120);
        let now = Now::read();
        shared.state.lock().tick(Now {
            instant: Instant::now() + later,
            unix_ms: now.unix_ms + 120_000,
        });
    });
    Ok(())
}

/// A broker of one node.
fn cluster() -> Cluster {
    Cluster::new(vec![Node {
        id: 0,
        address: ADDRESS,
        advertised_host: ADDRESS.ip().to_string(),
        tls: None,
        running: true,
    }])
}

/// The frames as a client sends them.
fn framed(mut input: &[u8]) -> BytesMut {
    let mut stream = BytesMut::new();
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let (frame, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        // Not more than 65,535.
        stream.put_u32(frame.len() as u32);
        stream.put_slice(frame);
        input = rest;
    }
    stream
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A frame: an API and a version that may exist, and anything behind them.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        (0..76_u8, 0..18_u8, vec(any::<u8>(), 0..200)).prop_map(|(key, version, rest)| {
            let head = [0, key, 0, version, 0, 0, 0, 1, 0xff, 0xff, 0];
            [&head[..], &rest].concat()
        })
    }

    #[test]
    fn frames_get_the_length_that_they_have() {
        let stream = framed(b"\0\x02ab\0\0\xff\xffc\0");
        assert_eq!(&stream[..], b"\0\0\0\x02ab\0\0\0\0\0\0\0\x02c\0");
        assert!(framed(b"\0").is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 300,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn frames_of_any_content_do_no_harm(frames in vec(frame(), 0..10)) {
            let mut input = Vec::new();
            for frame in &frames {
                input.put_u16(frame.len() as u16);
                input.extend_from_slice(frame);
            }
            prop_assert!(serve_frames(&input).is_ok());
        }
    }
}
