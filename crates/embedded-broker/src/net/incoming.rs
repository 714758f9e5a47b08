//! The half of a connection that is read, and how its end is noticed before everything in front of it was read.

use std::future::pending;

use tokio::io::{AsyncRead, ReadHalf};
use tokio::net::tcp;

/// What a client sends.
pub(crate) trait Incoming: AsyncRead + Unpin + Send {
    /// Returns once the client is known to send nothing more, though something may be left to be read.
    fn end(&self) -> impl Future<Output = ()> + Send;
}

impl Incoming for tcp::ReadHalf<'_> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    async fn end(&self) {
        // Bytes that are left make the socket readable. Out-of-band data, which nobody asked the system to report, does not
        // matter; the end comes with it.
        let end = self.ready(tokio::io::Interest::PRIORITY).await;
        if end.is_ok_and(|ready| !ready.is_read_closed()) {
            pending().await
        }
    }

    /// Here the end is only seen by reading up to it.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    async fn end(&self) {
        pending().await
    }
}

/// A client that sends what is there and hangs up.
#[cfg(any(test, feature = "fuzzing"))]
impl Incoming for &[u8] {
    async fn end(&self) {
        pending().await
    }
}

/// With TLS the end is a message like any other: it is seen by reading up to it.
impl<T: AsyncRead + Send + Sync> Incoming for ReadHalf<T> {
    async fn end(&self) {
        pending().await
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_end_is_seen_behind_bytes_that_nobody_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        client.write_all(b"unread").await.unwrap();
        served.readable().await.unwrap();
        let (reader, _writer) = served.split();
        let early = timeout(Duration::from_millis(50), reader.end()).await;
        assert!(early.is_err(), "the client is still there");
        drop(client);
        let end = timeout(Duration::from_secs(15), reader.end()).await;
        assert!(end.is_ok(), "the end of a client is not seen");
    }
}
