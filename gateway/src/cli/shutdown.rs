//! How a long-running command is told to stop: SIGTERM or Ctrl-C, once in order, a second time at once. On a terminal, closing
//! it stops the command too; elsewhere SIGHUP is left to mean "read the certificates again".

use std::io::{self, IsTerminal};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Becomes true once, and stays.
#[derive(Clone)]
pub(super) struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let terminal = io::stdout().is_terminal();
        let (requested, requests) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv(), if terminal => {}
                }
                if requested.send_replace(true) {
                    std::process::exit(IMPATIENT);
                }
            }
        });
        Ok(Self(requests))
    }

    /// Resolves when the command is to stop.
    pub(super) async fn requested(&mut self) {
        let _ = self.0.wait_for(|requested| *requested).await;
    }
}

const IMPATIENT: i32 = 130; // what shells report for a second Ctrl-C
