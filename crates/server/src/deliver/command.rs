//! One request to an endpoint that answers a command, and its answer. It goes where the operator says, so it is not guarded as webhooks are, and
//! it is never repeated.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Posts commands; keeps connections for the next.
pub(crate) struct CommandPoster {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl CommandPoster {
    pub(crate) fn new() -> Self {
        // It fails only if a provider is installed already, which serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// The status and the body of the answer; redirects are not followed. `headers` are beside the type, which is JSON.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(crate) async fn post(&self, url: &str, headers: &[(&str, String)], body: Vec<u8>, max: usize) -> Result<(u16, Bytes), String> {
        let mut request = Request::builder().method(Method::POST).uri(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), max).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}
