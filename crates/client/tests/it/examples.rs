//! The examples, driven against a server: what they write is what their users see.

#[path = "../../examples/chat.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program itself is not run")]
mod chat;
#[path = "../../examples/stock_ticker.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program itself is not run")]
mod stock_ticker;

use crate::auth_example::Application;
use crate::tidings::Tidings;
use chat::Signer;
use std::io::{self, Write};
use stock_ticker::Price;
use tidings_client::{Client, Options, ProxyChoice, Publication};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What an example writes to, one message for each call of `writeln!`.
struct Screen {
    begun: String,
    lines: mpsc::UnboundedSender<String>,
}

/// What stands there to read.
struct Reader(mpsc::UnboundedReceiver<String>);

fn screen() -> (Screen, Reader) {
    let (lines, read) = mpsc::unbounded_channel();
    (Screen { begun: String::new(), lines }, Reader(read))
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.push_str(std::str::from_utf8(bytes).map_err(io::Error::other)?);
        while let Some((line, rest)) = self.begun.split_once('\n') {
            // Who does not read any more need not know.
            let _ = self.lines.send(line.to_owned());
            self.begun = rest.to_owned();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    async fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.0.recv().await.as_deref(), Some(*line));
        }
    }
}

fn direct(options: Options) -> Options {
    Options { proxy: ProxyChoice::Direct, ..options }
}

fn price(argument: &str) -> (String, Price) {
    stock_ticker::price_of(argument).unwrap()
}

#[tokio::test]
async fn the_ticker_shows_prices_of_its_symbols_alone() {
    let tidings = Tidings::start("");
    let client = Client::new(direct(Options::at(&tidings.url, &tidings.key.key))).unwrap();
    let (mut out, mut screen) = screen();
    let watched = client.clone();
    let watching = tokio::spawn(async move {
        let symbols = ["AAPL", "MSFT"].map(str::to_owned);
        stock_ticker::watch(&watched, &symbols, &mut out).await.map_err(|error| error.to_string())
    });
    screen.expect(&["* watching AAPL, MSFT"]).await;

    let publisher = tidings.publisher();
    let prices = ["AAPL=189.12", "GOOG=170", "MSFT=402.5", "AAPL=190", "AAPL=189.5"].map(price);
    stock_ticker::publish(&publisher, &prices).await.unwrap();
    for (symbol, name, data) in [
        ("MSFT", "old-price", "{\"price\":1}"),
        ("MSFT", "new-price", "{\"price\":\"high\"}"),
        ("MSFT", "new-price", "{\"price\":400.12,\"currency\":\"USD\"}"),
    ] {
        publisher.publish(&Publication::new([symbol], name, data)).await.unwrap();
    }
    // In the order of each channel; what came of the others meanwhile may be in between.
    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.push(screen.0.recv().await.unwrap());
    }
    let of = |symbol: &str| seen.iter().filter(|line| line.contains(symbol)).cloned().collect::<Vec<_>>();
    assert_eq!(of("AAPL"), ["AAPL       189.12", "AAPL       190.00    +0.88", "AAPL       189.50    -0.50"]);
    let msft = of("MSFT");
    assert_eq!([&msft[0], &msft[2]], ["MSFT       402.50", "MSFT       400.12    -2.38"]);
    assert!(msft[1].starts_with("* MSFT: the data of event \"new-price\" on MSFT cannot be read as asked: "), "{}", msft[1]);

    client.close().await;
    assert_eq!(watching.await.unwrap(), Ok(()));
}

#[test]
fn a_price_on_the_command_line_has_a_symbol() {
    assert_eq!(price("AAPL=189.12"), ("AAPL".to_owned(), Price { price: 189.12 }));
    for (argument, told) in
        [("AAPL", "AAPL is not SYMBOL=PRICE"), ("AAPL=much", "AAPL=much has no price: invalid float literal"), ("", " is not SYMBOL=PRICE")]
    {
        assert_eq!(stock_ticker::price_of(argument).unwrap_err().to_string(), told);
    }
}

/// P-17.3: no attempt would end otherwise.
#[tokio::test]
async fn the_ticker_gives_up_what_is_of_no_use() {
    let tidings = Tidings::start("");
    let client = Client::new(direct(Options::at(&tidings.url, "another-key"))).unwrap();
    let error = stock_ticker::watch(&client, &["AAPL".to_owned()], &mut io::sink()).await.unwrap_err().to_string();
    assert!(error.starts_with("the server closed the connection with 4001: "), "{error}");
    assert!(error.ends_with("\ncheck the app's key and the address of the server"), "{error}");
}

/// Somebody in the chat.
struct Person {
    /// What is typed.
    keyboard: mpsc::Sender<String>,
    screen: Reader,
    chatting: JoinHandle<Result<(), String>>,
}

impl Person {
    fn enters(tidings: &Tidings, signer: Signer, name: &str) -> Self {
        let client = Client::new(direct(chat::options(&tidings.url, &tidings.key.key, signer, name))).unwrap();
        let (keyboard, lines) = mpsc::channel(1);
        let (mut out, screen) = screen();
        let chatting = tokio::spawn(async move {
            let left = chat::chat(&client, "lobby", lines, &mut out).await.map_err(|error| error.to_string());
            client.close().await;
            left
        });
        Self { keyboard, screen, chatting }
    }

    async fn types(&self, line: &str) {
        self.keyboard.send(line.to_owned()).await.unwrap();
    }

    async fn leaves(self) {
        drop(self.keyboard);
        assert_eq!(self.chatting.await.unwrap(), Ok(()));
    }
}

/// P-7.3, P-7.4, P-8.1, P-8.3: whoever signs.
#[tokio::test]
async fn people_chat() {
    let tidings = Tidings::start("");
    let application = Application::start(tidings.publisher()).await;
    let mut ann = Person::enters(&tidings, Signer::Secret(tidings.key.secret.clone()), "ann");
    ann.screen.expect(&["* here: ann"]).await;
    let mut bob = Person::enters(&tidings, Signer::Endpoint(format!("http://{}/pusher/auth", application.address)), "bob");
    bob.screen.expect(&["* here: ann, bob"]).await;
    ann.screen.expect(&["* bob comes"]).await;

    bob.types("Hello Ann,\\").await;
    ann.screen.expect(&["* bob is typing"]).await;
    bob.types("how are \x1b[1myou?\x07").await;
    ann.screen.expect(&["bob: Hello Ann,", "how are [1myou?"]).await;
    ann.types("fine").await;
    bob.screen.expect(&["ann: fine"]).await;

    // Who publishes is no member, and what a member sends may be anything.
    let publisher = tidings.publisher();
    publisher.publish(&Publication::new(["presence-lobby"], "client-message", "{\"text\":\"I am ann\"}")).await.unwrap();
    let mut peer = tidings.peer().await;
    let member = tidings_client::PresenceMember::new("eve");
    let answer = publisher.authorize_channel(&peer.socket_id, "presence-lobby", Some(&member)).unwrap();
    peer.subscribe("presence-lobby", serde_json::to_value(answer).unwrap()).await;
    ann.screen.expect(&["* eve comes"]).await;
    peer.say_on("presence-lobby", "client-message", serde_json::json!({ "user_id": "bob" })).await;
    let told = ann.screen.0.recv().await.unwrap();
    assert!(told.starts_with("* the data of event \"client-message\" on presence-lobby cannot be read as asked: "), "{told}");
    ann.types("/who").await;
    ann.screen.expect(&["* here: ann, bob, eve"]).await;

    bob.leaves().await;
    ann.screen.expect(&["* bob goes"]).await;
    ann.types("/who").await;
    ann.screen.expect(&["* here: ann, eve"]).await;
    ann.leaves().await;
}

/// P-6.7
#[tokio::test]
async fn whom_nobody_signs_for_is_told_why() {
    let tidings = Tidings::start("");
    let application = Application::start(tidings.publisher()).await;
    let endpoint = format!("http://{}/pusher/auth", application.address);
    let mut nobody = Person::enters(&tidings, Signer::Endpoint(endpoint.clone()), "");
    let told = format!(
        "* there is no subscription to presence-lobby: the channel was not signed: the auth endpoint {endpoint} answered 403 Forbidden: log in \
         first; it does not know the user, or does not let the user in: check the headers and parameters in `auth`"
    );
    nobody.screen.expect(&[&told]).await;
    nobody.types("hello").await;
    nobody.screen.expect(&["* not sent: channel presence-lobby is not subscribed to, or not yet; wait for its subscription"]).await;
    nobody.leaves().await;
}
