//! The example's auth endpoints, asked as a browser's client asks them, and what they answer shown to a server (P-6.6, P-6.7).

#[path = "../../examples/auth_endpoint.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program itself is not run")]
mod example;

use crate::tidings::Tidings;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tidings_client::{MasterKey, Publisher, PublisherOptions, SharedSecret};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The endpoints, which listen until this is dropped.
pub(crate) struct Application {
    pub(crate) address: String,
    task: JoinHandle<()>,
}

impl Application {
    pub(crate) async fn start(publisher: Publisher) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move { axum::serve(listener, example::routes(publisher)).await.unwrap() });
        Self { address, task }
    }

    /// What `user`, if any, is answered: the status and the body.
    async fn ask(&self, path: &str, user: Option<&str>, form: String) -> (u16, String) {
        let stream = TokioIo::new(TcpStream::connect(&self.address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        let mut request = Request::post(path)
            .header("host", &self.address)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form)))
            .unwrap();
        if let Some(user) = user {
            request.headers_mut().insert("x-user", user.parse().unwrap());
        }
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// An answer that must be 200 and JSON.
    async fn answer(&self, path: &str, user: &str, form: String) -> Value {
        let (status, body) = self.ask(path, Some(user), form).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn subscribe(socket_id: &str, channel: &str) -> String {
    format!("socket_id={socket_id}&channel_name={channel}")
}

/// P-6.7
#[tokio::test]
async fn what_the_endpoints_answer_is_believed() {
    let tidings = Tidings::start("");
    let master_key = MasterKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let options = || PublisherOptions { encryption_master_key: Some(master_key.clone()), ..tidings.publisher_options() };
    let application = Application::start(Publisher::with_options(options())).await;
    let mut ann = tidings.peer().await;
    let id = ann.socket_id.clone();

    for (channel, escaped, members) in [
        ("private-user-ann", "private-user-ann", &["auth"] as &[&str]),
        ("private-a,b;c=d@e", "private-a%2Cb%3Bc%3Dd%40e", &["auth"]),
        ("presence-room", "presence-room", &["auth", "channel_data"]),
        ("private-encrypted-room", "private-encrypted-room", &["auth", "shared_secret"]),
    ] {
        let answer = application.answer("/pusher/auth", "ann", subscribe(&id, escaped)).await;
        assert!(answer.as_object().unwrap().keys().eq(members), "{answer}");
        ann.subscribe(channel, answer).await;
    }
    let publisher = Publisher::with_options(options());
    assert_eq!(publisher.users("presence-room").await.unwrap(), ["ann"]);

    // The secret that the endpoint gave opens what is published.
    let answer = application.answer("/pusher/auth", "ann", subscribe(&id, "private-encrypted-room")).await;
    let secret = SharedSecret::from_base64(answer["shared_secret"].as_str().unwrap()).unwrap();
    publisher.publish(&tidings_client::Publication::new(["private-encrypted-room"], "told", "hello")).await.unwrap();
    assert_eq!(secret.open(ann.next("told").await["data"].as_str().unwrap()).unwrap(), "hello");

    let answer = application.answer("/pusher/user-auth", "ann", format!("socket_id={id}")).await;
    assert_eq!(answer["user_data"], r#"{"id":"ann"}"#);
    ann.say("pusher:signin", answer.clone()).await;
    assert_eq!(ann.next_data("pusher:signin_success").await, json!({ "user_data": answer["user_data"] }));
}

/// P-6.7: refusals are 403, and what no client sends is 400.
#[tokio::test]
async fn who_may_not_is_refused() {
    let tidings = Tidings::start("");
    let application = Application::start(tidings.publisher()).await;
    for (path, user, form, status) in [
        ("/pusher/auth", Some("ann"), subscribe("1.2", "private-user-ann"), 200),
        ("/pusher/auth", Some("bob"), subscribe("1.2", "private-user-ann"), 403),
        ("/pusher/auth", Some(""), subscribe("1.2", "private-user-"), 403),
        ("/pusher/auth", None, subscribe("1.2", "private-a"), 403),
        ("/pusher/auth", Some("ann"), subscribe("1.2%3Aprivate-a", "private-a"), 400),
        ("/pusher/auth", Some("ann"), subscribe("1.2", "private-a%3Ax"), 400),
        ("/pusher/auth", Some("ann"), subscribe("1.2", "private-encrypted-a"), 500),
        ("/pusher/auth", Some("ann"), "socket_id=1.2".to_owned(), 422),
        ("/pusher/user-auth", Some("ann"), "socket_id=1.2".to_owned(), 200),
        ("/pusher/user-auth", None, "socket_id=1.2".to_owned(), 403),
        ("/pusher/user-auth", Some("ann"), "socket_id=1".to_owned(), 400),
        ("/pusher/user-auth", Some(&"u".repeat(201)), "socket_id=1.2".to_owned(), 403),
    ] {
        let (told, body) = application.ask(path, user, form.clone()).await;
        assert_eq!(told, status, "{path} {user:?} {form}: {body}");
    }
}
