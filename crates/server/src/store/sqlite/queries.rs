//! The questions of the store's front, each carried to a connection that reads.

use super::{Sqlite, apps, personal, reads, registrations, subscriptions};
use crate::store::error::StoreError;
use crate::store::row::{Aliases, AppRow, Counts, EventRow, Family, RegistrationRow, SessionRow, SettingsRow, SubscriptionRow};
use tidings_hub::AppId;

impl Sqlite {
    pub(in crate::store) async fn channel_events(
        &self,
        app: &AppId,
        channel: Option<&str>,
        skip: u32,
        count: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let (app, channel) = (app.clone(), channel.map(str::to_owned));
        self.readers.read(move |connection| reads::channel_events(connection, &app, channel.as_deref(), skip, count)).await
    }

    pub(in crate::store) async fn personal_events(
        &self,
        app: &AppId,
        user_id: &str,
        skip: u32,
        count: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let (app, user_id) = (app.clone(), user_id.to_owned());
        self.readers.read(move |connection| personal::personal_events(connection, &app, &user_id, skip, count)).await
    }

    pub(in crate::store) async fn aliases(&self, app: &AppId, user_id: &str, max: usize) -> Result<Aliases, StoreError> {
        let (app, user_id) = (app.clone(), user_id.to_owned());
        self.readers.read(move |connection| subscriptions::aliases(connection, &app, &user_id, max)).await
    }

    pub(in crate::store) async fn subscriptions(
        &self,
        app: &AppId,
        user_id: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Vec<SubscriptionRow>, StoreError> {
        let (app, user_id, channel) = (app.clone(), user_id.map(str::to_owned), channel.map(str::to_owned));
        self.readers.read(move |connection| subscriptions::list(connection, &app, user_id.as_deref(), channel.as_deref())).await
    }

    pub(in crate::store) async fn registrations(
        &self,
        app: &AppId,
        family: Family,
        target: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Vec<RegistrationRow>, StoreError> {
        let (app, target, channel) = (app.clone(), target.map(str::to_owned), channel.map(str::to_owned));
        self.readers.read(move |connection| registrations::list(connection, &app, family, target.as_deref(), channel.as_deref())).await
    }

    pub(in crate::store) async fn apps(&self) -> Result<Vec<AppRow>, StoreError> {
        self.readers.read(apps::list).await
    }

    pub(in crate::store) async fn apps_version(&self) -> Result<u64, StoreError> {
        self.readers.read(apps::version).await
    }

    pub(in crate::store) async fn app_settings(&self, ident: &AppId) -> Result<Option<SettingsRow>, StoreError> {
        let ident = ident.clone();
        self.readers.read(move |connection| apps::settings(connection, &ident)).await
    }

    pub(in crate::store) async fn session(&self, token_hash: [u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        self.readers.read(move |connection| apps::session(connection, &token_hash)).await
    }

    pub(in crate::store) async fn counts(&self) -> Result<Counts, StoreError> {
        self.readers.read(registrations::counts).await
    }
}
