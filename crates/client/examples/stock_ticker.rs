//! A stock ticker: each symbol is a channel, each price an event `new-price` on it.
//!
//! `TIDINGS_KEY=… cargo run --example stock_ticker -- watch AAPL MSFT` shows prices, and
//! `TIDINGS_APP=1 TIDINGS_KEY=… TIDINGS_SECRET=… cargo run --example stock_ticker -- publish AAPL=189.12 MSFT=402.50` publishes some.
//! `TIDINGS_URL` says where the server is; without it that is `http://127.0.0.1:6001`.

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use tidings_client::{AppId, BatchEvent, Client, Key, Options, Publisher, PublisherOptions, ServerUrl, State};

/// The most events of one batch (P-18.5).
const BATCH_EVENTS_MAX: usize = 10;

/// The data of `new-price`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Price {
    pub price: f64,
}

/// Writes the prices of `symbols` to `out` as they come, until the client is closed.
///
/// # Errors
/// If it gives up, or `out` takes no more.
pub async fn watch(client: &Client, symbols: &[String], out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let (mut states, mut problems) = (client.states(), client.problems());
    let channels = symbols.iter().map(|symbol| client.subscribe(symbol)).collect::<Result<Vec<_>, _>>()?;
    let mut prices: SelectAll<_> = channels
        .iter()
        .map(|channel| {
            let symbol = channel.name().to_owned();
            channel.events_named("new-price").typed::<Price>().map(move |price| (symbol.clone(), price))
        })
        .collect();
    let mut last = HashMap::new();
    loop {
        tokio::select! {
            Some(Ok(problem)) = problems.next() => match client.state() {
                State::Disconnected => return Err(problem.into()),
                _ => writeln!(out, "* {problem}")?,
            },
            change = states.next() => match change {
                Some(Ok(change)) if change.current == State::Connected => {
                    for channel in &channels {
                        channel.subscribed().await?;
                    }
                    writeln!(out, "* watching {}", symbols.join(", "))?;
                }
                Some(_) => {}
                None => return Ok(()),
            },
            Some((symbol, price)) = prices.next() => match price {
                Ok(Price { price }) => match last.insert(symbol.clone(), price) {
                    Some(before) => writeln!(out, "{symbol:<6} {price:>10.2} {:>+8.2}", price - before)?,
                    None => writeln!(out, "{symbol:<6} {price:>10.2}")?,
                },
                // Some prices did not arrive, or one is none: those that follow will be right.
                Err(error) => writeln!(out, "* {symbol}: {error}")?,
            },
        }
    }
}

/// Publishes prices in order, as few requests as can be.
pub async fn publish(publisher: &Publisher, prices: &[(String, Price)]) -> Result<(), Box<dyn Error>> {
    for prices in prices.chunks(BATCH_EVENTS_MAX) {
        let events = prices.iter().map(|(symbol, price)| BatchEvent::json(symbol, "new-price", price));
        publisher.publish_batch(&events.collect::<Result<Vec<_>, _>>()?).await?;
    }
    Ok(())
}

/// Reads `AAPL=189.12`.
pub fn price_of(argument: &str) -> Result<(String, Price), Box<dyn Error>> {
    let (symbol, price) = argument.split_once('=').ok_or_else(|| format!("{argument} is not SYMBOL=PRICE"))?;
    let price = price.parse().map_err(|error| format!("{argument} has no price: {error}"))?;
    Ok((symbol.to_owned(), Price { price }))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("{name} is not set"))
}

async fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let url: ServerUrl = env::var("TIDINGS_URL").unwrap_or_else(|_| "http://127.0.0.1:6001".to_owned()).parse()?;
    match arguments.split_first() {
        Some((command, symbols)) if command == "watch" && !symbols.is_empty() => {
            let client = Client::new(Options::at(&url, &variable("TIDINGS_KEY")?))?;
            watch(&client, symbols, &mut io::stdout()).await
        }
        Some((command, prices)) if command == "publish" && !prices.is_empty() => {
            let key = Key { key: variable("TIDINGS_KEY")?, secret: variable("TIDINGS_SECRET")? };
            let publisher = Publisher::with_options(PublisherOptions::new(url, AppId::new(&variable("TIDINGS_APP")?), key));
            let prices = prices.iter().map(|price| price_of(price)).collect::<Result<Vec<_>, _>>()?;
            publish(&publisher, &prices).await
        }
        _ => Err("say `watch SYMBOL…` or `publish SYMBOL=PRICE…`".into()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run(&env::args().skip(1).collect::<Vec<_>>()).await else { return ExitCode::SUCCESS };
    eprintln!("{error}");
    ExitCode::FAILURE
}
