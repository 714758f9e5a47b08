//! Ctrl-C and SIGTERM as a token. A signal handler that closes a client pulls it away from under the loop that uses
//! it (row X12); so the signal only cancels the token, the loop sees it and closes the client itself.

use tokio::signal::unix::{Signal, SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

use crate::Error;

/// What a shell reports for a program that was ended by Ctrl-C: 128 + SIGINT.
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// A token that the first Ctrl-C or SIGTERM cancels.
///
/// From here on the operating system no longer ends the process by itself: the program has to look at the token. A
/// second signal ends the process at once, for the case that closing takes too long.
///
/// # Errors
///
/// [`Error::Signals`] when the operating system refuses the handlers.
///
/// # Panics
///
/// Outside of a Tokio runtime.
pub fn on_signal() -> Result<CancellationToken, Error> {
    let failed = |source| Error::Signals { source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        cancelled.cancel();
        either(&mut interrupt, &mut terminate).await;
        std::process::exit(EXIT_CODE_INTERRUPTED);
    });
    Ok(token)
}

async fn either(first: &mut Signal, second: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}
