//! Publishing over HTTP and HTTPS, with the signature checked as a server does.

use crate::server::{Server, nowhere};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tidings_client::{
    Answer, AppId, BadCall, BatchEvent, DialError, Key, MasterKey, ProxyChoice, Publication, PublishError, Publisher, PublisherOptions,
    ServerUrl, Tls,
};
use tidings_dialect::pusher::api;
use tidings_hub::{App, UnixTime};

/// A request as it came in.
struct Seen {
    method: String,
    path: String,
    query: String,
    body: Bytes,
}

/// Answers one request with `status` and `text`, and gives it back.
async fn serve(server: &Server, status: u16, text: &'static str) -> Seen {
    let seen = Arc::new(Mutex::new(None));
    let put = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let put = Arc::clone(&put);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            assert_eq!(head.headers["content-type"], "application/json");
            assert!(head.headers["x-pusher-library"].to_str().unwrap().starts_with("tidings "));
            let query = head.uri.query().unwrap_or_default().to_owned();
            *put.lock().unwrap() = Some(Seen { method: head.method.to_string(), path: head.uri.path().to_owned(), query, body });
            let answer = Response::builder().status(status).header("connection", "close").body(Full::new(Bytes::from(text)));
            Ok::<_, hyper::Error>(answer.unwrap())
        }
    });
    let stream = TokioIo::new(server.accept().await.unwrap());
    hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await.unwrap();
    seen.lock().unwrap().take().unwrap()
}

fn publication() -> Publication {
    Publication {
        channels: vec!["news".into(), "private-a".into()],
        name: "head line".into(),
        data: "{\"é\":\"+&=\"}".into(),
        ..Default::default()
    }
}

fn options(url: ServerUrl, tls: &Tls) -> PublisherOptions {
    let options = PublisherOptions::new(url, AppId::new("my app"), Key { key: "k+ey".into(), secret: "secret".into() });
    PublisherOptions { tls: tls.clone(), proxy: ProxyChoice::Direct, ..options }
}

fn publisher(url: ServerUrl, tls: &Tls) -> Publisher {
    Publisher::with_options(options(url, tls))
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixTime::from_millis(since.as_millis().try_into().unwrap())
}

/// P-10.4 to P-10.10: the request passes the checks of a server, which has its own way to the signature.
fn check(seen: &Seen, prefix: &str) {
    let request = api::Request { method: &seen.method, path: &seen.path, prefix, query: &seen.query, body: &seen.body };
    let app = Arc::new(App::new("my app", "k+ey", "secret"));
    let lookup = |key: &str| (key == "k+ey").then(|| Arc::clone(&app));
    let (found, call) = api::receive(request, lookup, now()).unwrap();
    assert_eq!(found, app);
    let api::Call::Publish(publish, _) = call else { panic!("{call:?}") };
    assert_eq!(publish.channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>(), ["news", "private-a"]);
    assert_eq!((&*publish.name, &*publish.data), ("head line", "{\"é\":\"+&=\"}".as_bytes()));
    // A body that was changed on its way does not pass.
    let changed = api::Request { body: b"{}", ..request };
    assert_eq!(api::receive(changed, lookup, now()).unwrap_err().status, 401);
}

#[tokio::test]
async fn a_request_is_signed_and_its_answer_given_back() {
    for server in [Server::plain().await, Server::secure().await] {
        let publisher = publisher(server.url.clone(), &server.tls);
        let publication = publication();
        let (seen, answer) = tokio::join!(serve(&server, 200, "{}"), publisher.publish(&publication));
        assert_eq!(answer.unwrap(), Answer { text: "{}".into() });
        assert_eq!(seen.path, "/apps/my%20app/events");
        check(&seen, "");
    }
}

/// P-10.10
#[tokio::test]
async fn the_path_prefix_is_sent_but_not_signed() {
    let server = Server::plain().await;
    let publisher = publisher(format!("{}/prefix/", server.url).parse().unwrap(), &server.tls);
    let publication = publication();
    let (seen, answer) = tokio::join!(serve(&server, 200, "{}"), publisher.publish(&publication));
    answer.unwrap();
    assert_eq!(seen.path, "/prefix/apps/my%20app/events");
    check(&seen, "/prefix");
}

/// P-11.1
#[tokio::test]
async fn what_is_not_given_is_not_sent() {
    let server = Server::plain().await;
    let publisher = publisher(server.url.clone(), &server.tls);
    let mut publication = Publication { channels: vec!["a".into()], name: "b".into(), data: "c".into(), socket_id: None, info: None };
    for body in
        [r#"{"channels":["a"],"name":"b","data":"c"}"#, r#"{"channels":["a"],"name":"b","data":"c","socket_id":"1.2","info":"user_count"}"#]
    {
        let (seen, answer) = tokio::join!(serve(&server, 200, "{}"), publisher.publish(&publication));
        answer.unwrap();
        assert_eq!(seen.body, body);
        (publication.socket_id, publication.info) = (Some("1.2".into()), Some("user_count".into()));
    }
}

/// P-10.3: only 200 is success.
#[tokio::test]
async fn a_refusal_carries_the_servers_words() {
    for (status, text, message) in [
        (
            401,
            "Unknown auth_key\n",
            "the server answered 401 Unauthorized: Unknown auth_key\ncheck the app id, the key, the secret, and the clock of this machine",
        ),
        (413, "Too long\n", "the server answered 413 Payload Too Large: Too long"),
        (202, "", "the server answered 202 Accepted"),
    ] {
        let server = Server::plain().await;
        let publisher = publisher(server.url.clone(), &server.tls);
        let publication = publication();
        let (_, answer) = tokio::join!(serve(&server, status, text), publisher.publish(&publication));
        let error = answer.unwrap_err();
        assert!(matches!(&error, PublishError::Refused { status: theirs, .. } if *theirs == StatusCode::from_u16(status).unwrap()));
        assert_eq!(error.to_string(), message);
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_had_is_told_from_one_that_hangs_up() {
    let (_socket, url) = nowhere();
    let error = publisher(url.clone(), &Tls::new()).publish(&publication()).await.unwrap_err();
    assert!(matches!(error, PublishError::Dial(DialError::Unreachable { .. })), "{error:?}");
    assert!(error.to_string().starts_with(&format!("cannot reach {url}: ")), "{error}");

    let server = Server::secure().await;
    let (publisher, publication) = (publisher(server.url.clone(), &Tls::new()), publication());
    let (_, answer) = tokio::join!(server.accept(), publisher.publish(&publication));
    assert!(matches!(answer, Err(PublishError::Dial(DialError::Tls { .. }))), "{answer:?}");

    let server = Server::plain().await;
    let publisher = self::publisher(server.url.clone(), &server.tls);
    let hang_up = async { drop(server.accept().await) };
    let ((), answer) = tokio::join!(hang_up, publisher.publish(&publication));
    assert!(matches!(answer, Err(PublishError::NoAnswer { .. })), "{answer:?}");
}

/// P-9.3: no two events are sealed alike, and all but the data stays as it is.
#[tokio::test]
async fn encrypted_data_is_sealed_anew_each_time() {
    let server = Server::plain().await;
    let master_key = MasterKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let encryption_master_key = Some(master_key.clone());
    let publisher = Publisher::with_options(PublisherOptions { encryption_master_key, ..options(server.url.clone(), &server.tls) });
    let mut publication = Publication::new(["private-encrypted-a"], "told", "secret");
    publication.socket_id = Some("1.2".into());
    let mut sealed = Vec::new();
    for _ in 0..2 {
        let (seen, answer) = tokio::join!(serve(&server, 200, "{}"), publisher.publish(&publication));
        answer.unwrap();
        let mut body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let data = body["data"].take().as_str().unwrap().to_owned();
        assert_eq!(master_key.shared_secret("private-encrypted-a").open(&data).unwrap(), "secret");
        assert_eq!(body.to_string(), r#"{"channels":["private-encrypted-a"],"data":null,"name":"told","socket_id":"1.2"}"#);
        sealed.push(data);
    }
    assert_ne!(sealed[0], sealed[1]);
}

/// What breaks a rule is refused here: the address is one where nobody listens.
#[tokio::test]
async fn what_breaks_a_rule_is_not_sent() {
    let (_socket, url) = nowhere();
    let publisher = publisher(url, &Tls::new());
    let refused = [
        publisher.publish(&Publication::default()).await.map(drop),
        publisher.publish(&Publication::new(["news", "private-encrypted-a"], "a", "1")).await.map(drop),
        publisher.publish(&Publication::new(["private-encrypted-a"], "a", "1")).await.map(drop),
        publisher.publish_to_user("a b", "a", "1").await.map(drop),
        publisher.publish_batch(&[]).await.map(drop),
        publisher.publish_batch(&[BatchEvent::new("a b", "a", "1")]).await.map(drop),
        publisher.channel("a/b", &[]).await.map(drop),
        publisher.users("news").await.map(drop),
        publisher.terminate_connections("").await,
        publisher.get("channels", &[]).await.map(drop),
        publisher.post("events", &1).await.map(drop),
    ];
    for answer in refused {
        assert!(matches!(answer, Err(PublishError::Bad(_))), "{answer:?}");
    }
    let error = publisher.users("a b").await.unwrap_err();
    assert!(matches!(&error, PublishError::Bad(BadCall::Channel { channel, .. }) if channel == "a b"), "{error:?}");
}

/// P-10.1: one connection serves call after call.
#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::plain().await;
    let publisher = publisher(server.url.clone(), &server.tls);
    let serve = async {
        let service = service_fn(|request: Request<Incoming>| async {
            request.into_body().collect().await?;
            Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("{}"))))
        });
        let stream = TokioIo::new(server.accept().await.unwrap());
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
    };
    let publish = async {
        for _ in 0..3 {
            publisher.publish(&publication()).await.unwrap();
        }
    };
    tokio::select! {
        ended = serve => panic!("{ended:?}"),
        () = publish => {}
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let server = Server::plain().await;
    let request_timeout = Duration::from_millis(20);
    let publisher = Publisher::with_options(PublisherOptions { request_timeout, ..options(server.url.clone(), &server.tls) });
    let error = publisher.publish(&publication()).await.unwrap_err();
    assert!(matches!(&error, PublishError::NoAnswer { reason, .. } if reason == "it took longer than 20ms"), "{error:?}");
}

#[test]
fn a_cluster_has_an_address() {
    let options = |cluster| PublisherOptions::cluster(cluster, AppId::new("1"), Key { key: "key".into(), secret: "secret".into() });
    assert_eq!(options("eu").unwrap().url.to_string(), "https://api-eu.pusher.com:443");
    for cluster in ["", "eu.pusher.com", "eu/x", "eu:1", "a b", "é"] {
        assert_eq!(options(cluster).unwrap_err().cluster, cluster);
    }
}

/// Handlers of web servers run on any thread.
#[test]
fn calls_can_move_between_threads() {
    fn check(_: impl Send) {}
    let publisher = publisher("http://localhost".parse().unwrap(), &Tls::new());
    let (publication, batch) = (publication(), [BatchEvent::default()]);
    check(publisher.publish(&publication));
    check(publisher.publish_to_user("u", "a", "1"));
    check(publisher.publish_batch(&batch));
    check(publisher.channels("", &[]));
    check(publisher.channel("a", &[]));
    check(publisher.users("presence-a"));
    check(publisher.terminate_connections("u"));
    check(publisher.get("/channels", &[]));
    check(publisher.post("/events", &publication));
}
