//! Auth endpoints that fail, each in its way: it costs the channel that was asked for, and nothing else.

use crate::application::Endpoint;
use crate::hearing::{hears, soon};
use crate::server::nowhere;
use crate::tidings::Tidings;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tidings_client::{AuthorizeError, Client, Options, SignInError, SubscriptionError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// What the endpoint does for a channel of this name.
async fn answer(kind: &str) -> Response {
    let text = |text: &str| text.to_owned().into_response();
    match kind {
        "hangs" => std::future::pending().await,
        "hangs-midway" => {
            let beginning = stream::iter([Ok::<_, Infallible>(Bytes::from("{\"auth\""))]);
            Body::from_stream(futures_util::StreamExt::chain(beginning, stream::pending())).into_response()
        }
        "nonsense" => text("<html>log in</html>"),
        "empty" => text(""),
        "array" => text("[]"),
        "number" => text("{\"auth\":1}"),
        "missing" => text("{}"),
        "binary" => vec![255_u8, 254].into_response(),
        "500" => (StatusCode::INTERNAL_SERVER_ERROR, "it broke\nthere").into_response(),
        "201" => (StatusCode::CREATED, "{\"auth\":\"key:1\"}").into_response(),
        "redirect" => Redirect::temporary("/login?token=secret").into_response(),
        "huge" => "x".repeat(1 << 20).into_response(),
        "endless" => Body::from_stream(stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b' '; 4096])))).into_response(),
        "headers" => ([(header::SET_COOKIE, "x".repeat(200_000))], "{}").into_response(),
        "forged" => text("{\"auth\":\"key:0123\"}"),
        other => panic!("{other}"),
    }
}

fn fits(kind: &str, why: &SubscriptionError) -> bool {
    use AuthorizeError as Why;
    match (kind, why) {
        ("forged", SubscriptionError::Server { status: Some(401), .. }) => true,
        (kind, SubscriptionError::Authorize(why)) => match kind {
            "hangs" | "hangs-midway" => matches!(why, Why::TimedOut { .. }),
            "nonsense" | "empty" | "array" | "binary" => matches!(why, Why::NotJson { .. }),
            "number" | "missing" => matches!(why, Why::MissingMember { member: "auth", .. }),
            "500" | "201" => matches!(why, Why::Status { status, .. } if status.as_str() == kind),
            "redirect" => matches!(why, Why::Redirect { to, .. } if to == "/login"),
            "huge" | "endless" | "headers" => matches!(why, Why::TooLong { .. }),
            _ => false,
        },
        _ => false,
    }
}

#[tokio::test]
async fn each_failure_costs_one_channel_and_says_why() {
    let tidings = Tidings::start("");
    let publisher = Arc::new(tidings.publisher());
    let endpoint = Endpoint::start(move |asked| {
        let publisher = Arc::clone(&publisher);
        async move {
            match asked.channel().strip_prefix("private-bad-") {
                Some(kind) => answer(kind).await,
                None => asked.signed(&publisher),
            }
        }
    })
    .await;
    let options = Options { auth_endpoint: Some(endpoint.url.clone()), auth_timeout: Duration::from_secs(2), ..tidings.unsigned_options() };
    let client = Client::new(options).unwrap();
    let socket_id = soon(client.connected()).await.unwrap();
    let kinds = [
        "hangs",
        "hangs-midway",
        "nonsense",
        "empty",
        "array",
        "number",
        "missing",
        "binary",
        "500",
        "201",
        "redirect",
        "huge",
        "endless",
        "headers",
        "forged",
    ];
    let bad = kinds.map(|kind| (kind, client.subscribe(&format!("private-bad-{kind}")).unwrap()));
    // Good ones do not wait for bad ones, unless those are as many as may be asked for at once.
    let good = client.subscribe("private-good").unwrap();
    soon(good.subscribed()).await.unwrap();
    for (kind, channel) in bad {
        let why = soon(channel.subscribed()).await.unwrap_err();
        assert!(fits(kind, &why), "{kind}: {why:?}");
        assert!(!why.to_string().contains("secret"), "{kind}: {why}");
    }
    let mut events = good.events();
    tidings.publish("private-good", "x", "1").await;
    hears(&mut events, &[("x", "1")]).await;
    assert_eq!(client.socket_id().unwrap(), socket_id, "the connection stayed");
}

/// Those that hang for ever hold up others until their time is over, and not longer.
#[tokio::test]
async fn many_that_hang_do_not_hold_up_the_rest_for_ever() {
    let tidings = Tidings::start("");
    let publisher = Arc::new(tidings.publisher());
    let endpoint = Endpoint::start(move |asked| {
        let publisher = Arc::clone(&publisher);
        async move {
            if asked.channel().starts_with("private-bad") {
                std::future::pending::<()>().await;
            }
            asked.signed(&publisher)
        }
    })
    .await;
    let options =
        Options { auth_endpoint: Some(endpoint.url.clone()), auth_timeout: Duration::from_millis(500), ..tidings.unsigned_options() };
    let client = Client::new(options).unwrap();
    let bad: Vec<_> = (0..40).map(|number| client.subscribe(&format!("private-bad-{number}")).unwrap()).collect();
    let (good, open) = (client.subscribe("private-good").unwrap(), client.subscribe("news").unwrap());
    soon(open.subscribed()).await.unwrap();
    assert!(!good.is_subscribed(), "public channels do not wait for an endpoint");
    // What is not wanted any more is not asked for.
    for channel in &bad[20..] {
        channel.unsubscribe();
    }
    soon(good.subscribed()).await.unwrap();
    for channel in &bad[..20] {
        let why = soon(channel.subscribed()).await.unwrap_err();
        assert!(matches!(why, SubscriptionError::Authorize(AuthorizeError::TimedOut { .. })), "{why}");
    }
    assert!(endpoint.asked().iter().all(|asked| !["private-bad-20", "private-bad-39"].contains(&asked.channel())));
}

/// An endpoint that is not there, and one that does not speak HTTP.
#[tokio::test]
async fn what_is_no_endpoint_is_told() {
    let tidings = Tidings::start("");
    let (_socket, away) = nowhere();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let strange = format!("http://{}", listener.local_addr().unwrap());
    let talk = tokio::spawn(async move {
        loop {
            // Whoever asks may be gone already.
            let _ = listener.accept().await.unwrap().0.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    for (url, unreachable) in [(away.to_string(), true), (strange, false)] {
        let options = Options { auth_endpoint: Some(url.clone()), user_auth_endpoint: Some(url), ..tidings.unsigned_options() };
        let client = Client::new(options).unwrap();
        let fits = |why: &AuthorizeError| {
            if unreachable { matches!(why, AuthorizeError::Unreachable { .. }) } else { matches!(why, AuthorizeError::Failed { .. }) }
        };
        let why = soon(client.subscribe("private-room").unwrap().subscribed()).await.unwrap_err();
        assert!(matches!(&why, SubscriptionError::Authorize(why) if fits(why)), "{why:?}");
        client.sign_in().unwrap();
        let why = soon(client.signed_in()).await.unwrap_err();
        assert!(matches!(&why, SignInError::Authorize(why) if fits(why)), "{why:?}");
        soon(client.subscribe("news").unwrap().subscribed()).await.unwrap();
    }
    talk.abort();
}
