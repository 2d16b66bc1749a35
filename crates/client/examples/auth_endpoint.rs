//! The auth endpoints of an application (P-6.6, P-6.7): they say who may subscribe to what, and who somebody is.
//!
//! `TIDINGS_APP=1 TIDINGS_KEY=… TIDINGS_SECRET=… cargo run --example auth_endpoint` listens on 127.0.0.1:3000. Clients are told of it with
//! `channelAuthorization: { endpoint: 'http://…/pusher/auth' }` and `userAuthentication: { endpoint: 'http://…/pusher/user-auth' }`. With
//! `TIDINGS_ENCRYPTION_MASTER_KEY` (`openssl rand -base64 32`) there are encrypted channels too.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::json;
use std::env;
use std::error::Error;
use std::sync::Arc;
use tidings_client::{AppId, ChannelProof, Key, MasterKey, PresenceMember, Publisher, PublisherOptions, SigningError, User, UserProof};
use tokio::net::TcpListener;

/// A refusal: a status, and a sentence for whoever looks for the reason.
type Refusal = (StatusCode, String);

/// What a client sends when it wants to subscribe.
#[derive(Deserialize)]
struct Subscribe {
    socket_id: String,
    channel_name: String,
}

/// What a client sends when it wants to sign in.
#[derive(Deserialize)]
struct SignIn {
    socket_id: String,
}

/// The two endpoints. An application adds them to its own routes.
pub fn routes(publisher: Publisher) -> Router {
    Router::new().route("/pusher/auth", post(authorize)).route("/pusher/user-auth", post(authenticate)).with_state(Arc::new(publisher))
}

async fn authorize(
    State(publisher): State<Arc<Publisher>>,
    headers: HeaderMap,
    Form(request): Form<Subscribe>,
) -> Result<Json<ChannelProof>, Refusal> {
    let user = logged_in(&headers)?;
    if !may_subscribe(user, &request.channel_name) {
        return Err((StatusCode::FORBIDDEN, format!("{user} may not subscribe to this channel")));
    }
    let member = PresenceMember { user_id: user.to_owned(), user_info: Some(json!({ "name": user })) };
    publisher.authorize_channel(&request.socket_id, &request.channel_name, Some(&member)).map(Json).map_err(refusal)
}

async fn authenticate(
    State(publisher): State<Arc<Publisher>>,
    headers: HeaderMap,
    Form(request): Form<SignIn>,
) -> Result<Json<UserProof>, Refusal> {
    let user = User::new(logged_in(&headers)?);
    publisher.authenticate_user(&request.socket_id, &user).map(Json).map_err(refusal)
}

/// Who makes the request. **Anybody can write this header**: an application asks its sessions instead.
fn logged_in(headers: &HeaderMap) -> Result<&str, Refusal> {
    let user = headers.get("x-user").and_then(|user| user.to_str().ok()).filter(|user| !user.is_empty());
    user.ok_or_else(|| (StatusCode::FORBIDDEN, "log in first".to_owned()))
}

/// The application's own rule: a user's private channel is the user's, and all other channels are for all who are logged in.
fn may_subscribe(user: &str, channel: &str) -> bool {
    channel.strip_prefix("private-user-").is_none_or(|owner| owner == user)
}

fn refusal(error: SigningError) -> Refusal {
    let status = match error {
        SigningError::SocketId { .. } | SigningError::Channel { .. } => StatusCode::BAD_REQUEST,
        SigningError::Member(_) | SigningError::User { .. } => StatusCode::FORBIDDEN,
        SigningError::MasterKeyNeeded { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("TIDINGS_URL").unwrap_or_else(|_| "http://127.0.0.1:6001".to_owned()).parse()?;
    let key = Key { key: env::var("TIDINGS_KEY")?, secret: env::var("TIDINGS_SECRET")? };
    let mut options = PublisherOptions::new(url, AppId::new(&env::var("TIDINGS_APP")?), key);
    if let Ok(master_key) = env::var("TIDINGS_ENCRYPTION_MASTER_KEY") {
        options.encryption_master_key = Some(MasterKey::from_base64(&master_key)?);
    }
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, routes(Publisher::with_options(options))).await?;
    Ok(())
}
