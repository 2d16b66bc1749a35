//! A connection that is kept up: it connects, asks for its subscriptions, and comes back when it is lost.

use crate::dial::{self, Dial};
use crate::link::Link;
use crate::retry::Retry;
use crate::wire::{self, Incoming};
use crate::{ConnectionError, Notice, Options, Reconnect, Subscription};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a connection must have stood for its loss to count as the first. Shorter ones count as failures in a row, so that
/// a server that accepts and closes at once is not stormed.
const STABLE: Duration = Duration::from_secs(10);

/// A connection to a server, with the subscriptions it keeps up. It does nothing unless [`Connection::next`] is awaited.
pub struct Connection {
    options: Options,
    dial: Dial,
    subscriptions: Vec<Subscription>,
    state: State,
    /// Whether the server ever confirmed a connection.
    connected: bool,
    /// How often in a row the connection was lost before it stood for [`STABLE`].
    failures: u32,
}

enum State {
    /// To be connected at this time.
    Waiting(Instant),
    /// To be connected now.
    Connecting,
    /// Confirmed at this time.
    Open(Box<Link>, Instant),
}

impl Connection {
    /// A connection that is not yet opened.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let dial = dial::dialer(&options, &options.url);
        Self::with_dial(options, dial)
    }

    fn with_dial(options: Options, dial: Dial) -> Self {
        Self { options, dial, subscriptions: Vec::new(), state: State::Waiting(Instant::now()), connected: false, failures: 0 }
    }

    /// Keeps up `subscription` from now on; if there is one to the same channel, instead of it from the next time it connects.
    ///
    /// # Errors
    /// [`ConnectionError::Broken`] if the connection is open and the server has stopped reading. The subscription is kept all the same.
    pub fn subscribe(&mut self, subscription: Subscription) -> Result<(), ConnectionError> {
        if let Some(kept) = self.subscriptions.iter_mut().find(|kept| kept.channel() == subscription.channel()) {
            // Asking twice on one connection is an error (P-5.3).
            *kept = subscription;
            return Ok(());
        }
        let asked = match &mut self.state {
            State::Open(link, _) => ask(link, &self.options.key, &subscription),
            State::Waiting(_) | State::Connecting => Ok(()),
        };
        self.subscriptions.push(subscription);
        asked
    }

    /// Waits for what happens next, connecting first if need be. Dropping it midway loses no notice; an attempt to connect that was
    /// under way begins anew with the next call.
    ///
    /// # Errors
    /// [`ConnectionError`] if the connection is lost and should not, or by [`Options::reconnect`] must not, be tried again.
    /// A further call tries it again nevertheless.
    pub async fn next(&mut self) -> Result<Notice, ConnectionError> {
        loop {
            match &mut self.state {
                State::Waiting(until) => {
                    sleep_until(*until).await;
                    self.state = State::Connecting;
                    return Ok(Notice::Connecting);
                }
                State::Connecting => match self.open().await {
                    Ok(link) => {
                        let socket_id = link.socket_id.clone();
                        self.connected = true;
                        self.state = State::Open(Box::new(link), Instant::now());
                        return Ok(Notice::Connected { socket_id });
                    }
                    Err(error) => return self.lost(error),
                },
                State::Open(link, since) => match link.receive().await {
                    Ok(Incoming::Notice(notice)) => return Ok(notice),
                    Ok(Incoming::Error { code, message }) => return Ok(Notice::Error { code, message }),
                    Ok(Incoming::Established { .. } | Incoming::Ping | Incoming::Pong) => {}
                    Err(error) => {
                        if since.elapsed() >= STABLE {
                            self.failures = 0;
                        }
                        return self.lost(error);
                    }
                },
            }
        }
    }

    /// Ends the connection in good order. It takes a second at most.
    pub async fn close(self) {
        if let State::Open(link, _) = self.state {
            link.close().await;
        }
    }

    /// Connects and asks for all subscriptions, within [`Options::connect_timeout`].
    async fn open(&self) -> Result<Link, ConnectionError> {
        let options = &self.options;
        let attempt = async {
            let stream = (self.dial)().await?;
            let mut link = Link::open(stream, options).await?;
            for subscription in &self.subscriptions {
                ask(&mut link, &options.key, subscription)?;
            }
            Ok(link)
        };
        let timed_out = |_| ConnectionError::TimedOut { url: options.url.clone(), after: options.connect_timeout };
        timeout(options.connect_timeout, attempt).await.map_err(timed_out)?
    }

    /// Decides what follows a loss.
    fn lost(&mut self, why: ConnectionError) -> Result<Notice, ConnectionError> {
        let wait = Retry::after(&why).wait(self.failures, getrandom::u32().unwrap_or_default());
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(Instant::now() + wait.unwrap_or_default());
        let hopeful = match self.options.reconnect {
            Reconnect::Never => false,
            // A code means that the address is right.
            Reconnect::OnceConnected => self.connected || matches!(why, ConnectionError::Closed { .. }),
        };
        match wait {
            Some(retry_in) if hopeful => Ok(Notice::Lost { why, retry_in }),
            _ => Err(why),
        }
    }
}

fn ask(link: &mut Link, key: &str, subscription: &Subscription) -> Result<(), ConnectionError> {
    let proof = subscription.proof(key, &link.socket_id);
    link.send(wire::subscribe(subscription.channel(), &proof))
}

#[cfg(test)]
mod tests;
