//! What the README of `pusher-client` 1.1.0 promises, one statement after the other, kept by this library.

use crate::application::Endpoint;
use crate::hearing::{called, calls, heard, hears, next, soon, until};
use crate::raw::Raw;
use crate::server::Server;
use crate::tidings::Tidings;
use futures_util::SinkExt;
use serde_json::json;
use std::process;
use tidings_client::{Auth, Client, Event, Options, ProxyChoice, Publication, State};
use tokio_tungstenite::tungstenite::Message;

const ESTABLISHED: &str = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#;

/// "`encrypted`: Forces the connection to use encrypted transports."
#[tokio::test]
async fn encrypted_connections_go_through_tls() {
    let server = Server::secure().await;
    let port = Options::at(&server.url, "key").wss_port;
    let options = Options {
        host: "localhost".into(),
        wss_port: port,
        encrypted: true,
        tls: server.tls.clone(),
        proxy: ProxyChoice::Direct,
        ..Options::new("key")
    };
    let client = Client::new(options).unwrap();
    // Nothing but TLS is taken here.
    let mut socket = tokio_tungstenite::accept_async(soon(server.accept()).await.unwrap()).await.unwrap();
    socket.send(Message::text(ESTABLISHED)).await.unwrap();
    assert_eq!(soon(client.connected()).await.unwrap(), "1.2");
}

/// "`secret`: When you provide the secret key it will skip requests to the authentication endpoint and locally sign subscribe requests to
/// private- and presence channels."
#[tokio::test]
async fn with_the_secret_no_endpoint_is_asked() {
    let tidings = Tidings::start("");
    let endpoint = Endpoint::signing(tidings.publisher()).await;
    let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), ..tidings.options() }).unwrap();
    for channel in ["private-my-channel", "presence-my-channel"] {
        soon(client.subscribe(channel).unwrap().subscribed()).await.unwrap();
    }
    assert!(endpoint.asked().is_empty());
}

/// "`channel_data`: When using a secret with a presence- channel, you might want to also provide a channel_data object containing
/// identifiable information about the client."
#[tokio::test]
async fn channel_data_says_who_is_there() {
    let tidings = Tidings::start("");
    let data = json!({ "user_id": "unique_user_id", "user_info": { "name": "User Name" } });
    let named = Client::new(Options { channel_data: Some(data.to_string()), ..tidings.options() }).unwrap();
    let channel = named.subscribe("presence-room").unwrap();
    soon(channel.subscribed()).await.unwrap();
    let members = channel.members();
    let me = members.me().unwrap();
    assert_eq!((me.user_id.as_str(), me.user_info.as_ref()), ("unique_user_id", Some(&json!({ "name": "User Name" }))));
    assert_eq!(tidings.publisher().users("presence-room").await.unwrap(), ["unique_user_id"]);

    let nameless = tidings.client();
    let channel = nameless.subscribe("presence-other").unwrap();
    soon(channel.subscribed()).await.unwrap();
    assert_eq!(channel.members().me().unwrap().user_id, format!("process-{}", process::id()));
}

/// "`authEndpoint`: Endpoint on your server that will return the authentication signature needed for private channels."
#[tokio::test]
async fn the_auth_endpoint_signs() {
    let tidings = Tidings::start("");
    let endpoint = Endpoint::signing(tidings.publisher()).await;
    let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
    soon(client.subscribe("private-my-channel").unwrap().subscribed()).await.unwrap();
    assert_eq!(endpoint.asked().len(), 1);
}

/// "`auth.params`: Additional POST parameters to be sent when the channel authentication endpoint is called." "`auth.headers`: Provides the
/// ability to pass additional HTTP Headers to the channel authentication endpoint."
#[tokio::test]
async fn params_and_headers_go_with_the_request() {
    let tidings = Tidings::start("");
    let endpoint = Endpoint::signing(tidings.publisher()).await;
    let auth = Auth {
        params: vec![("username".into(), "user123".into()), ("password".into(), "password456 + &=é".into())],
        headers: vec![("Authorization".into(), "Basic dXNlcjEyMzpwYXNzd29yZDQ1Ng==".into()), ("X-More".into(), "and more".into())],
        ..Auth::default()
    };
    let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), auth, ..tidings.unsigned_options() }).unwrap();
    soon(client.subscribe("private-my-channel").unwrap().subscribed()).await.unwrap();
    let asked = endpoint.asked().remove(0);
    assert_eq!((asked.params["username"].as_str(), asked.params["password"].as_str()), ("user123", "password456 + &=é"));
    assert_eq!(asked.params["channel_name"], "private-my-channel");
    assert_eq!(asked.headers["authorization"], "Basic dXNlcjEyMzpwYXNzd29yZDQ1Ng==");
    assert_eq!(asked.headers["x-more"], "and more");
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
}

/// "`auth.username` and `auth.password`: When both username and password are provided, the correct authorization headers will be sent when
/// authenticating a channel (HTTP Basic Authorization)."
#[tokio::test]
async fn user_name_and_password_make_a_header() {
    let tidings = Tidings::start("");
    let endpoint = Endpoint::signing(tidings.publisher()).await;
    let both = Auth { username: Some("user123".into()), password: Some("password456".into()), ..Auth::default() };
    let one = Auth { username: Some("user123".into()), ..Auth::default() };
    for (auth, expected) in [(both, Some("Basic dXNlcjEyMzpwYXNzd29yZDQ1Ng==")), (one, None)] {
        let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), auth, ..tidings.unsigned_options() }).unwrap();
        soon(client.subscribe("private-my-channel").unwrap().subscribed()).await.unwrap();
        let asked = endpoint.asked().pop().unwrap();
        assert_eq!(asked.headers.get("authorization").map(|value| value.to_str().unwrap()), expected);
    }
}

/// "`cluster`: Allows connecting to a different datacenter by setting up correct hostnames and ports for the connection."
#[test]
fn a_cluster_has_its_host() {
    let options = Options::cluster("key", "eu");
    assert_eq!((options.host.as_str(), options.ws_port, options.wss_port), ("ws-eu.pusher.com", 80, 443));
    assert_eq!(Options::new("key").host, "ws.pusherapp.com");
    let plain = options.server().unwrap();
    let secure = Options { encrypted: true, ..options }.server().unwrap();
    assert_eq!((plain.to_string(), secure.to_string()), ("http://ws-eu.pusher.com:80".into(), "https://ws-eu.pusher.com:443".into()));
}

/// "`host`, `wsPort`, `wssPort`: These can be changed to point to alternative Pusher URLs."
#[tokio::test]
async fn host_and_ports_can_be_changed() {
    let tidings = Tidings::start("");
    let options = Options {
        host: "127.0.0.1".into(),
        ws_port: tidings.options().ws_port,
        wss_port: 1,
        proxy: ProxyChoice::Direct,
        ..Options::new(&tidings.key.key)
    };
    soon(Client::new(options).unwrap().connected()).await.unwrap();
}

/// "A websocket connection is established by providing your API key to the constructor function."
#[tokio::test]
async fn it_connects_when_it_is_made() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let _peer = soon(server.confirm("7.8")).await;
    assert_eq!(soon(client.connected()).await.unwrap(), "7.8");
    assert_eq!((client.state(), client.socket_id().as_deref()), (State::Connected, Some("7.8")));
}

/// "Making a connection provides the client with a new `socket_id` that is assigned by the server. This can be used to distinguish the
/// client's own events." "It is also stored within the socket, and used as a token for generating signatures for private channels."
#[tokio::test]
async fn the_socket_id_is_new_and_tells_events_apart() {
    let tidings = Tidings::start("");
    let endpoint = Endpoint::signing(tidings.publisher()).await;
    let (client, other) = (tidings.client(), tidings.client());
    let (mut ours, mut theirs) = (client.subscribe("my-channel").unwrap().events(), other.subscribe("my-channel").unwrap().events());
    for events in [&mut ours, &mut theirs] {
        assert_eq!(next(events).await.name, "pusher:subscription_succeeded");
    }
    let socket_id = client.socket_id().unwrap();
    assert_ne!(Some(&socket_id), other.socket_id().as_ref());

    let event = |data: &str| Publication::new(["my-channel"], "change", data);
    let publisher = tidings.publisher();
    publisher.publish(&Publication { socket_id: Some(socket_id), ..event("1") }).await.unwrap();
    publisher.publish(&event("2")).await.unwrap();
    hears(&mut ours, &[("change", "2")]).await;
    hears(&mut theirs, &[("change", "1"), ("change", "2")]).await;

    let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
    soon(client.subscribe("private-my-channel").unwrap().subscribed()).await.unwrap();
    assert_eq!(endpoint.asked()[0].socket_id(), client.socket_id().unwrap());
}

/// "The default method for subscribing to a channel involves invoking the `subscribe` method of your socket object. This returns a Channel
/// object which events can be bound to."
#[tokio::test]
async fn events_of_a_public_channel_are_bound_to() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let my_channel = client.subscribe("my-channel").unwrap();
    let (call, mut bound) = calls();
    my_channel.bind("my-event", call);
    soon(my_channel.subscribed()).await.unwrap();
    tidings.publish("my-channel", "my-event", "{\"n\":1}").await;
    assert_eq!(called(&mut bound).await, ("my-event".into(), "{\"n\":1}".into()));
}

/// "Private channels are created in exactly the same way as normal channels, except that they reside in the 'private-' namespace." "It is
/// possible to access channels by name, through the `channel` function."
#[tokio::test]
async fn private_channels_are_had_by_name() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    soon(client.subscribe("private-my-channel").unwrap().subscribed()).await.unwrap();
    assert!(client.channel("private-other").is_none());
    let channel = client.channel("private-my-channel").unwrap();
    assert!(channel.is_subscribed() && channel.name() == "private-my-channel");
    let mut events = channel.events();
    tidings.publish("private-my-channel", "my-event", "1").await;
    hears(&mut events, &[("my-event", "1")]).await;
}

/// "You can attach behaviour to these events regardless of the channel the event is broadcast to. The following is an example of an app that
/// binds to new comments from any channel."
#[tokio::test]
async fn global_events_come_from_any_channel() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let (call, mut comments) = calls();
    client.bind("new-comment", call);
    let channels = ["my-channel", "private-my-channel"];
    for channel in channels {
        soon(client.subscribe(channel).unwrap().subscribed()).await.unwrap();
    }
    for channel in channels {
        tidings.publish(channel, "something-else", "0").await;
        tidings.publish(channel, "new-comment", "1").await;
    }
    for channel in channels {
        let expected = Event { channel: channel.into(), name: "new-comment".into(), data: "1".into(), user_id: None };
        assert_eq!(soon(comments.recv()).await.unwrap(), expected);
    }
}

/// "These are bound to a specific channel, and mean that you can reuse event names in different parts of you client application. The
/// following might be an example of a stock tracking app where several channels are opened for different companies."
#[tokio::test]
async fn a_stock_ticker_binds_one_name_on_each_channel() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let mut widgets = Vec::new();
    for company in ["APPL", "MSFT"] {
        let channel = client.subscribe(company).unwrap();
        let (call, prices) = calls();
        channel.bind("new-price", call);
        soon(channel.subscribed()).await.unwrap();
        widgets.push((company, prices));
    }
    for (company, price) in [("MSFT", "1"), ("APPL", "2"), ("MSFT", "3"), ("APPL", "4")] {
        tidings.publish(company, "new-price", price).await;
    }
    for ((company, mut prices), expected) in widgets.into_iter().zip([["2", "4"], ["1", "3"]]) {
        for price in expected {
            let event = soon(prices.recv()).await.unwrap();
            assert_eq!((event.channel.as_str(), event.data.as_str()), (company, price));
        }
    }
}

/// "It is possible to bind to all events at either the global or channel level by using the method `bind_all`."
#[tokio::test]
async fn everything_is_bound_to_on_both_levels() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let (one, other) = (client.subscribe("one").unwrap(), client.subscribe("other").unwrap());
    for channel in [&one, &other] {
        soon(channel.subscribed()).await.unwrap();
    }
    let ((call, mut global), (channel_call, mut per_channel)) = (calls(), calls());
    client.bind_all(call);
    one.bind_all(channel_call);
    for (channel, name) in [("one", "a"), ("other", "b"), ("one", "c")] {
        tidings.publish(channel, name, "1").await;
    }
    for name in ["a", "b", "c"] {
        assert_eq!(called(&mut global).await.0, name);
    }
    for name in ["a", "c"] {
        assert_eq!(called(&mut per_channel).await.0, name);
    }
}

/// "It is possible to retrieve a list of all channels you subscribed to or are subscribing to."
#[tokio::test]
async fn all_channels_are_listed() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    assert!(client.all_channels().is_empty());
    let (one, _other) = (client.subscribe("one").unwrap(), client.subscribe("private-other").unwrap());
    let mut peer = soon(server.confirm("1.2")).await;
    soon(peer.confirm_subscription("one")).await;
    soon(one.subscribed()).await.unwrap();
    let mut all: Vec<_> = client.all_channels().iter().map(|channel| (channel.name().to_owned(), channel.is_subscribed())).collect();
    all.sort();
    assert_eq!(all, [("one".to_owned(), true), ("private-other".to_owned(), false)]);
}

/// "There are a number of events which are used internally, but can also be of use elsewhere: connection_established, subscribe."
#[tokio::test]
async fn connecting_and_subscribing_are_told() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let (mut states, mut events) = (client.states(), client.events());
    client.subscribe("my-channel").unwrap();
    until(&mut states, State::Connected).await;
    assert!(client.socket_id().is_some());
    assert_eq!(heard(&mut events).await, ("my-channel".into(), "pusher:subscription_succeeded".into(), "{}".into()));
}
