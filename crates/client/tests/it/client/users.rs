//! Signing in, events for users, and their watchlists (section 15).

use crate::application::Endpoint;
use crate::hearing::{called, calls, hears, loss, next, soon, until};
use crate::tidings::Tidings;
use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidings_client::{AuthorizeError, Client, ConnectionError, Options, SignInError, State, SubscriptionError, User, WatchlistChange};

fn client(tidings: &Tidings, user_data: &str) -> Client {
    Client::new(Options { user_data: Some(user_data.into()), ..tidings.options() }).unwrap()
}

/// P-15.1, P-15.6: with the secret, as whom the options say.
#[tokio::test]
async fn a_user_hears_what_is_for_the_user() {
    let tidings = Tidings::start("");
    let ann = client(&tidings, r#"{"id":"ann"}"#);
    let (mut events, mut everything) = (ann.user_events(), ann.events());
    let (call, mut of_callback) = calls();
    ann.bind_user("told", call);
    assert_eq!(ann.user_id(), None);
    ann.sign_in().unwrap();
    assert_eq!(soon(ann.signed_in()).await.unwrap(), "ann");
    assert_eq!(ann.user_id().as_deref(), Some("ann"));
    // The user's own channel is subscribed to by what was sent before this is.
    soon(ann.subscribe("news").unwrap().subscribed()).await.unwrap();
    tidings.publisher().publish_to_user("ann", "other", "1").await.unwrap();
    tidings.publisher().publish_to_user("ann", "told", "2").await.unwrap();
    tidings.publisher().publish_to_user("bob", "told", "3").await.unwrap();
    tidings.publish("news", "x", "4").await;
    hears(&mut events, &[("other", "1"), ("told", "2")]).await;
    assert_eq!(called(&mut of_callback).await, ("told".into(), "2".into()));
    hears(&mut everything, &[("pusher:subscription_succeeded", "{}"), ("other", "1"), ("told", "2"), ("x", "4")]).await;
    assert!(ann.channel("#server-to-user-ann").is_none());
}

/// P-6.7: who is refused can try again.
#[tokio::test]
async fn an_endpoint_signs_users_or_does_not() {
    let tidings = Tidings::start("");
    let nobody = Client::new(tidings.unsigned_options()).unwrap();
    assert!(matches!(nobody.sign_in(), Err(SignInError::NobodySigns)));

    let (publisher, logged_in) = (Arc::new(tidings.publisher()), Arc::new(AtomicBool::new(false)));
    let known = Arc::clone(&logged_in);
    let endpoint = Endpoint::start(move |asked| {
        let known = known.load(Ordering::Relaxed);
        let answer = if known { asked.signed(&publisher) } else { (StatusCode::FORBIDDEN, "who are you?").into_response() };
        std::future::ready(answer)
    })
    .await;
    let ann = Client::new(Options { user_auth_endpoint: Some(endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
    ann.sign_in().unwrap();
    let refused = soon(ann.signed_in()).await.unwrap_err();
    let SignInError::Authorize(AuthorizeError::Status { status, text, .. }) = refused else { panic!("{refused}") };
    assert_eq!((status.as_u16(), text.as_str()), (403, "who are you?"));
    logged_in.store(true, Ordering::Relaxed);
    ann.sign_in().unwrap();
    assert_eq!(soon(ann.signed_in()).await.unwrap(), "ann");
    assert_eq!(endpoint.asked().len(), 2);
}

/// P-15.9: the state at first, then who comes and goes.
#[tokio::test]
async fn the_watchlist_is_told() {
    let tidings = Tidings::start("watchlist_events = true\n");
    let ann = client(&tidings, r#"{"id":"ann","watchlist":["bob","zoe"]}"#);
    let mut watchlist = ann.watchlist();
    ann.sign_in().unwrap();
    let change = |online: &[&str], offline: &[&str]| {
        let own = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        WatchlistChange { online: own(online), offline: own(offline) }
    };
    assert_eq!(next(&mut watchlist).await, change(&[], &["bob", "zoe"]));
    let bob = client(&tidings, r#"{"id":"bob"}"#);
    bob.sign_in().unwrap();
    assert_eq!(next(&mut watchlist).await, change(&["bob"], &[]));
    soon(bob.close()).await;
    assert_eq!(next(&mut watchlist).await, change(&[], &["bob"]));
}

/// P-7.5: who is signed in is the member, if the endpoint names none.
#[tokio::test]
async fn a_signed_in_user_is_the_member() {
    let tidings = Tidings::start("");
    let publisher = Arc::new(tidings.publisher());
    let endpoint = Endpoint::start(move |asked| {
        let answer = if asked.channel().is_empty() {
            let user = User { user_info: Some(json!({ "name": "Ann" })), ..User::new("ann") };
            Json(publisher.authenticate_user(asked.socket_id(), &user).unwrap()).into_response()
        } else {
            Json(publisher.authorize_channel(asked.socket_id(), asked.channel(), None).unwrap()).into_response()
        };
        std::future::ready(answer)
    })
    .await;
    let url = || Some(endpoint.url.clone());
    let options = || Options { auth_endpoint: url(), user_auth_endpoint: url(), ..tidings.unsigned_options() };
    let stranger = Client::new(options()).unwrap();
    let refused = soon(stranger.subscribe("presence-room").unwrap().subscribed()).await.unwrap_err();
    assert!(matches!(refused, SubscriptionError::NotSignedIn), "{refused}");

    let ann = Client::new(options()).unwrap();
    ann.sign_in().unwrap();
    let room = ann.subscribe("presence-room").unwrap();
    soon(room.subscribed()).await.unwrap();
    assert_eq!(room.members().me().unwrap().user_info, Some(json!({ "name": "Ann" })));
}

/// P-15.11: it is given up, since the server does not want it back; but it can be told to come.
#[tokio::test]
async fn who_is_terminated_stays_away() {
    let tidings = Tidings::start("");
    let ann = client(&tidings, r#"{"id":"ann"}"#);
    let (mut states, mut problems) = (ann.states(), ann.problems());
    ann.sign_in().unwrap();
    let news = ann.subscribe("news").unwrap();
    soon(ann.signed_in()).await.unwrap();
    soon(news.subscribed()).await.unwrap();
    tidings.publisher().terminate_connections("ann").await.unwrap();
    until(&mut states, State::Disconnected).await;
    let why = loss(&mut problems).await;
    assert!(matches!(*why, ConnectionError::Closed { code: 4009, .. }), "{why}");
    assert!(!news.is_subscribed() && ann.user_id().is_none() && ann.socket_id().is_none());
    ann.connect();
    soon(news.subscribed()).await.unwrap();
    assert_eq!(soon(ann.signed_in()).await.unwrap(), "ann");
}
