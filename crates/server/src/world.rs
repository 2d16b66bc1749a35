//! A node that runs nothing: no thread, no socket, no timer. For tests and benchmarks of what stands around it.

use crate::clock::Clock;
use crate::command::Commands;
use crate::config::{self, Document, Surroundings};
use crate::http::mount::Mounts;
use crate::listener::Listener;
use crate::node::{Means, Node, PushyService, RelayService};
use crate::shard::Seed;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tidings_hub::{Budget, Hub, Key, Options};
use tokio::runtime::{Builder, Runtime};

/// A node and its first listener, as a configuration describes them.
pub(crate) struct World {
    pub(crate) node: Arc<Node>,
    pub(crate) listener: Arc<Listener>,
    /// The shards that could be, by their numbers.
    #[cfg(feature = "bench")]
    pub(crate) seeds: Vec<Seed>,
    _runtime: Runtime,
}

impl World {
    /// # Panics
    /// If the configuration has a problem.
    pub(crate) fn new(configuration: &str) -> Self {
        let surroundings = Surroundings {
            directory: PathBuf::new(),
            cores: 2,
            read_file: &|_| Err(io::ErrorKind::NotFound.into()),
            make_key: &|| Key { key: "key".to_owned(), secret: "secret".to_owned() },
        };
        let document = (!configuration.is_empty()).then_some(Document { name: "world.toml", text: configuration });
        let (config, _) = config::read(document, [], &surroundings).expect("the configuration is right");
        let runtime = Builder::new_current_thread().build().expect("a runtime without drivers needs nothing");
        let seeds: Vec<_> =
            (0..config.limits.shards).map(|_| Seed::new(config.limits.inbox_items).expect("there are descriptors")).collect();
        let hub = Hub::new(Options {
            epoch: 0,
            hash_seed: 0,
            inboxes: seeds.iter().map(|seed| Arc::clone(&seed.inbox)).collect(),
            facts_max: config.webhooks.facts,
            budget: Arc::new(Budget::new(config.limits.memory_bytes)),
            recent_bytes_max: config.recent.memory_bytes,
        });
        let handles = seeds.iter().map(Seed::handle).collect();
        let pushy: Vec<_> = config.pushy.iter().map(|section| Arc::new(PushyService::new(section, &Commands::default()))).collect();
        let relays: Vec<_> = config.wspush.iter().map(|section| Arc::new(RelayService::new(section))).collect();
        let mounts = Mounts::new(&pushy, &relays);
        let node = Arc::new(Node::new(
            hub,
            Clock::start(),
            handles,
            &config,
            Means { runtime: runtime.handle().clone(), sockets_max: usize::MAX, store: None, pushy, relays },
        ));
        node.set_config_apps(config.apps.iter().cloned().map(Arc::new).collect());
        let listener = Arc::new(Listener::new(config.listeners[0].clone(), None, &mounts));
        Self {
            node,
            listener,
            #[cfg(feature = "bench")]
            seeds,
            _runtime: runtime,
        }
    }
}
