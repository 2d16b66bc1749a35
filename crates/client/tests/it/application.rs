//! An auth endpoint of an application, made in the test (P-6.6).

use axum::extract::Form;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tidings_client::{PresenceMember, Publisher, User};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) params: HashMap<String, String>,
}

/// Listens until it is dropped.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Asked {
    pub(crate) fn socket_id(&self) -> &str {
        &self.params["socket_id"]
    }

    /// Empty if it is asked for a user.
    pub(crate) fn channel(&self) -> &str {
        self.params.get("channel_name").map_or("", String::as_str)
    }

    /// The right answer, for whoever asks: on presence channels and for users it is Ann.
    pub(crate) fn signed(&self, publisher: &Publisher) -> Response {
        if self.channel().is_empty() {
            Json(publisher.authenticate_user(self.socket_id(), &User::new("ann")).unwrap()).into_response()
        } else {
            let ann = PresenceMember::new("ann");
            Json(publisher.authorize_channel(self.socket_id(), self.channel(), Some(&ann)).unwrap()).into_response()
        }
    }
}

impl Endpoint {
    /// An endpoint that answers as told.
    pub(crate) async fn start<A: Future<Output = Response> + Send>(answer: impl Fn(Asked) -> A + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/pusher/auth", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let note = Arc::clone(&asked);
        let routes = Router::new().fallback(async move |headers: HeaderMap, Form(params): Form<HashMap<String, String>>| {
            let request = Asked { headers, params };
            note.lock().unwrap().push(request.clone());
            answer(request).await
        });
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, asked, task }
    }

    /// An endpoint that signs everything.
    pub(crate) async fn signing(publisher: Publisher) -> Self {
        let publisher = Arc::new(publisher);
        Self::start(move |asked| std::future::ready(asked.signed(&publisher))).await
    }

    /// All that it was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}
