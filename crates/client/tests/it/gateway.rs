//! What stands between a client and a server, and can stop to pass anything on without a word to either.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Listens until it is dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    /// How many connections there were.
    accepted: watch::Receiver<usize>,
    /// The connections before this one are dead.
    dead: watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Gateway {
    /// A way to `server`.
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, accepted) = watch::channel(0);
        let dead = watch::Sender::new(0);
        let deaths = dead.clone();
        let task = tokio::spawn(async move {
            let mut ways = JoinSet::new();
            for number in 0.. {
                let (here, there) = (listener.accept().await.unwrap().0, TcpStream::connect(&server).await.unwrap());
                let ((from_client, to_client), (from_server, to_server)) = (here.into_split(), there.into_split());
                ways.spawn(pass(from_client, to_server, number, deaths.subscribe()));
                ways.spawn(pass(from_server, to_client, number, deaths.subscribe()));
                count.send_replace(number + 1);
            }
        });
        Self { address, accepted, dead, task }
    }

    /// From now on nothing passes on the connections there are, and neither side is told. Later ones are not concerned.
    pub(crate) fn freeze(&self) {
        self.dead.send_replace(*self.accepted.borrow());
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes on what comes, as long as the connection is alive. A dead one stays open.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: usize, mut dead: watch::Receiver<usize>) {
    let copy = async {
        let mut bytes = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if to.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    let died = async {
        // The sender is gone only when the gateway is.
        drop(dead.wait_for(|dead| number < *dead).await);
    };
    tokio::select! {
        biased;
        () = died => std::future::pending().await,
        () = copy => {}
    }
}
