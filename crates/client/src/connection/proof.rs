//! Who signs for channels and users (section 6): we ourselves, an endpoint, or nobody.

use crate::authorize::{self, Endpoint};
use crate::options::{presence_member, user_id};
use crate::{AuthorizeError, BadOptions, ChannelProof, MasterKey, Options, SubscriptionError, UserProof};
use futures_util::future::{BoxFuture, FutureExt};
use std::process;
use tidings_dialect::pusher::name::Kind;
use tidings_hub::ChannelName;

/// Signs, or knows who does.
pub(super) enum Signer {
    /// With the app's secret.
    Ourselves { key: String, secret: String, channel_data: String, user_data: Option<String>, master_key: Option<MasterKey> },
    /// Over HTTP.
    Endpoints { channels: Option<Endpoint>, users: Option<Endpoint> },
}

/// What was signed elsewhere. The ticket tells it from what was asked for the same channel before.
pub(super) enum Signed {
    Channel {
        ticket: u64,
        channel: ChannelName,
        proof: Result<ChannelProof, AuthorizeError>,
    },
    User {
        ticket: u64,
        proof: Result<UserProof, AuthorizeError>,
    },
    /// The time is over in which the server is to confirm a sign-in.
    Unconfirmed {
        ticket: u64,
    },
}

impl Signer {
    pub(super) fn new(options: &Options) -> Result<Self, BadOptions> {
        Ok(match &options.secret {
            Some(secret) => Self::Ourselves {
                key: options.key.clone(),
                secret: secret.clone(),
                channel_data: options.channel_data.clone().unwrap_or_else(|| format!(r#"{{"user_id":"process-{}"}}"#, process::id())),
                user_data: options.user_data.clone(),
                master_key: options.encryption_master_key.clone(),
            },
            None => {
                let (channels, users) = options.endpoints()?;
                Self::Endpoints { channels, users }
            }
        })
    }

    /// Whether we sign ourselves.
    pub(super) fn is_us(&self) -> bool {
        matches!(self, Self::Ourselves { .. })
    }

    /// Whether somebody signs for channels that need it.
    pub(super) fn signs_channels(&self) -> bool {
        matches!(self, Self::Ourselves { .. } | Self::Endpoints { channels: Some(_), .. })
    }

    /// Whether somebody signs for users.
    pub(super) fn signs_users(&self) -> bool {
        matches!(self, Self::Ourselves { user_data: Some(_), .. } | Self::Endpoints { users: Some(_), .. })
    }

    /// A proof for `channel` on the connection called `socket_id` (P-6.3), if we sign ourselves.
    pub(super) fn channel(&self, channel: &ChannelName, socket_id: &str) -> Option<ChannelProof> {
        let Self::Ourselves { key, secret, channel_data, master_key, .. } = self else { return None };
        let kind = Kind::of(channel.as_str());
        let channel_data = (kind == Kind::Presence).then(|| channel_data.clone());
        let auth = authorize::sign_channel(key, secret, socket_id, channel.as_str(), channel_data.as_deref());
        let sealed = master_key.as_ref().filter(|_| kind == Kind::PrivateEncrypted);
        Some(ChannelProof { auth, channel_data, shared_secret: sealed.map(|key| key.shared_secret(channel.as_str())) })
    }

    /// The same, asked of the endpoint, if there is one.
    pub(super) fn ask_channel(&self, ticket: u64, channel: ChannelName, socket_id: &str) -> Option<BoxFuture<'static, Signed>> {
        let Self::Endpoints { channels: Some(endpoint), .. } = self else { return None };
        let (endpoint, socket_id) = (endpoint.clone(), socket_id.to_owned());
        let signed = async move {
            let proof = endpoint.channel(&socket_id, channel.as_str()).await;
            Signed::Channel { ticket, channel, proof }
        };
        Some(signed.boxed())
    }

    /// A proof for the user who signs in on the connection called `socket_id` (P-6.5), if we sign ourselves.
    pub(super) fn user(&self, socket_id: &str) -> Option<UserProof> {
        let Self::Ourselves { key, secret, user_data: Some(user_data), .. } = self else { return None };
        Some(UserProof { auth: authorize::sign_user(key, secret, socket_id, user_data), user_data: user_data.clone() })
    }

    /// The same, asked of the endpoint, if there is one.
    pub(super) fn ask_user(&self, ticket: u64, socket_id: &str) -> Option<BoxFuture<'static, Signed>> {
        let Self::Endpoints { users: Some(endpoint), .. } = self else { return None };
        let (endpoint, socket_id) = (endpoint.clone(), socket_id.to_owned());
        Some(async move { Signed::User { ticket, proof: endpoint.user(&socket_id).await } }.boxed())
    }
}

/// The member that a proof shows, if it shows one (P-7.1).
pub(super) fn shown(proof: &ChannelProof) -> Result<Option<String>, SubscriptionError> {
    let member = proof.channel_data.as_deref().map(presence_member).transpose().map_err(SubscriptionError::Member)?;
    Ok(member.map(|member| member.user_id.to_string()))
}

/// The user that a proof signs in.
pub(super) fn signed_in(proof: &UserProof) -> Option<String> {
    user_id(&proof.user_data)
}
