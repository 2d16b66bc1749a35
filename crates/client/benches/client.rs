//! What a client costs: events per second and processor time from the socket to the handler, and memory of an idle one. The server is
//! this program once more, in a process of its own, which does nothing but write frames. Run by `scripts/client`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it is for a terminal")]

use futures_util::{SinkExt, StreamExt};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidings_client::{Client, Connection, Notice, Options, ProxyChoice};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Bytes of an event's data.
const DATA_BYTES: usize = 128;
/// Clients at once, for their memory.
const IDLE: u64 = 1_000;

#[derive(serde::Deserialize)]
struct Price {
    n: u64,
}

fn main() {
    let events = env::var("EVENTS").map_or(1_000_000, |text| text.parse().expect("EVENTS is a number"));
    if env::args().nth(1).as_deref() == Some("serve") {
        return serve(events);
    }
    let server = Server::start();
    println!("{events} events of {DATA_BYTES} bytes, one connection, one thread:");
    for (name, receive) in [
        ("Connection::next", receive_notices as fn(&Runtime, &Server, u64)),
        ("Client, stream", receive_stream),
        ("Client, typed stream", receive_typed),
        ("Client, callback", receive_callback),
    ] {
        let runtime = runtime();
        let (began, busy) = (Instant::now(), processor_time());
        receive(&runtime, &server, events);
        let (took, busy) = (began.elapsed(), processor_time() - busy);
        println!(
            "  {name:<22} {:>9.0} events/s, {:.3} µs of the processor per event",
            events as f64 / took.as_secs_f64(),
            busy.as_secs_f64() * 1e6 / events as f64
        );
    }
    for library in env::var("NODE_LIBRARIES").iter().flat_map(|list| list.split(':')) {
        let script = env::var("NODE_RECEIVER").expect("NODE_RECEIVER names the script");
        let arguments = [&script, &server.port.to_string(), &events.to_string(), library];
        assert!(Command::new("node").args(arguments).status().unwrap().success(), "{library}");
    }
    let runtime = runtime();
    let before = resident_bytes();
    let clients = runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..IDLE {
            let client = client(&server, "idle");
            client.subscribe("stocks").unwrap().subscribed().await.unwrap();
            clients.push(client);
        }
        clients
    });
    println!("{IDLE} idle clients with a subscription each: {} bytes of the process per client", (resident_bytes() - before) / IDLE);
    drop(clients);
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn options(server: &Server, key: &str) -> Options {
    Options { host: "127.0.0.1".into(), ws_port: server.port, proxy: ProxyChoice::Direct, ..Options::new(key) }
}

fn client(server: &Server, key: &str) -> Client {
    Client::new(options(server, key)).unwrap()
}

fn receive_notices(runtime: &Runtime, server: &Server, events: u64) {
    runtime.block_on(async {
        let mut connection = Connection::new(options(server, "load")).unwrap();
        connection.subscribe("stocks").unwrap();
        let mut expected = 0;
        while expected < events {
            if let Notice::Event(event) = connection.next().await.unwrap() {
                assert_eq!(event.json::<Price>().unwrap().n, expected);
                expected += 1;
            }
        }
    });
}

fn receive_stream(runtime: &Runtime, server: &Server, events: u64) {
    runtime.block_on(async {
        let client = client(server, "load");
        let mut prices = client.subscribe("stocks").unwrap().events_named("new-price");
        for _ in 0..events {
            prices.next().await.unwrap().unwrap();
        }
    });
}

fn receive_typed(runtime: &Runtime, server: &Server, events: u64) {
    runtime.block_on(async {
        let client = client(server, "load");
        let mut prices = client.subscribe("stocks").unwrap().events_named("new-price").typed::<Price>();
        for expected in 0..events {
            assert_eq!(prices.next().await.unwrap().unwrap().n, expected);
        }
    });
}

fn receive_callback(runtime: &Runtime, server: &Server, events: u64) {
    runtime.block_on(async {
        let client = client(server, "load");
        let (seen, done) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Notify::new()));
        let (count, all) = (Arc::clone(&seen), Arc::clone(&done));
        client.subscribe("stocks").unwrap().bind("new-price", move |event| {
            let expected = count.fetch_add(1, Ordering::Relaxed);
            assert_eq!(event.json::<Price>().unwrap().n, expected);
            if expected + 1 == events {
                all.notify_one();
            }
        });
        done.notified().await;
        assert_eq!(seen.load(Ordering::Relaxed), events);
    });
}

/// This program in a process of its own.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(env::current_exe().unwrap()).arg("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { process, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Confirms what is asked for; who has the key `load` then gets the events as fast as they are taken.
fn serve(events: u64) {
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        std::io::stdout().flush().unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(attend(stream, events));
        }
    });
}

#[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
async fn attend(stream: TcpStream, events: u64) -> Option<()> {
    use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
    let mut load = false;
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        load = request.uri().path().ends_with("/load");
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, look).await.ok()?;
    say(&mut socket, r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#).await?;
    socket.next().await?.ok()?;
    say(&mut socket, r#"{"event":"pusher_internal:subscription_succeeded","channel":"stocks","data":"{}"}"#).await?;
    if load {
        for n in 0..events {
            let head = format!(r#"{{"n":{n},"pad":""#);
            let data = format!("{head}{}\"}}", "x".repeat(DATA_BYTES - head.len() - 2));
            let data = serde_json::to_string(&data).unwrap();
            socket.feed(Message::text(format!(r#"{{"event":"new-price","channel":"stocks","data":{data}}}"#))).await.ok()?;
        }
        socket.flush().await.ok()?;
    }
    while socket.next().await?.is_ok() {}
    Some(())
}

async fn say(socket: &mut WebSocketStream<TcpStream>, text: &str) -> Option<()> {
    socket.send(Message::text(text)).await.ok()
}

/// What this thread has used of the processor.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
