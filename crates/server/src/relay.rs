//! One relay: what is published in its Redis under its prefix is published on the channels of its app, in the same order (W-2).

use crate::node::{Node, RelayService};
use crate::redis::{Occurrence, Subscription};
use bytes::Bytes;
use std::sync::Arc;
use tidings_dialect::wspush::token::Token;

/// Runs until it is dropped.
pub(crate) async fn run(node: Arc<Node>, service: Arc<RelayService>) {
    let config = &service.config;
    let subscription = Subscription::new(&config.redis, config.prefix.as_bytes(), config.message_bytes);
    Relay { node, service: Arc::clone(&service), held: false, told: false }.follow(subscription).await;
}

struct Relay {
    node: Arc<Node>,
    service: Arc<RelayService>,
    /// There was a subscription before.
    held: bool,
    /// The log has said why there is none.
    told: bool,
}

impl Relay {
    async fn follow(mut self, mut subscription: Subscription) {
        loop {
            let occurrence = subscription.next().await;
            let (relay, counts) = (&self.service.config.name, &self.service.counts);
            match occurrence {
                Occurrence::Message { channel, data } => {
                    // While there is none, nothing more is read from Redis (W-7.4).
                    self.node.room().await;
                    self.message(&channel, data);
                }
                Occurrence::Subscribed { address } => {
                    tracing::info!(relay, redis = address, again = self.held, "subscribed to redis");
                    self.told = false;
                    self.service.set_connected(true);
                    if std::mem::replace(&mut self.held, true) {
                        counts.reconnects.add(1);
                        self.gap().await;
                    } else {
                        self.node.relay_begins(&self.service);
                    }
                }
                Occurrence::Lost(error) => {
                    tracing::warn!(relay, %error, "redis is lost; what is published there now does not arrive");
                    self.service.set_connected(false);
                    counts.losses.add(1);
                }
                Occurrence::Unreachable(error) if std::mem::replace(&mut self.told, true) => {
                    tracing::debug!(relay, %error, "redis still cannot be reached");
                }
                Occurrence::Unreachable(error) => tracing::warn!(relay, %error, "redis cannot be reached; attempts go on"),
            }
        }
    }

    /// There is no telling what was published between the two subscriptions, or cut off with the first.
    async fn gap(&self) {
        self.node.room().await;
        self.node.relay_gap(&self.service);
    }

    fn message(&self, channel: &[u8], data: Bytes) {
        let (config, counts) = (&self.service.config, &self.service.counts);
        // Whatever else a Redis may send is not what was asked for.
        let Some(rest) = channel.strip_prefix(config.prefix.as_bytes()) else { return };
        counts.messages_seen.add(1);
        counts.message_bytes.add(data.len() as u64);
        if data.len() > config.message_bytes {
            tracing::debug!(relay = config.name, bytes = data.len(), "a message of redis is larger than `message_bytes` and refused");
            counts.too_large.add(1);
            return;
        }
        let channel = Token::of_redis(rest).map(|token| token.channel(&self.service.session));
        if !channel.is_some_and(|channel| self.node.relay(&self.service, channel, data)) {
            counts.unroutable.add(1);
        }
    }
}
