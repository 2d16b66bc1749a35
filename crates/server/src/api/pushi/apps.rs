//! Apps over the REST API: those of the configuration and those that were made (I-4.11 to I-4.15).

use super::{Caller, failed, records};
use crate::http::response::Answer;
use crate::node::AppHandle;
use crate::store::{AppRow, CreateError, NewApp, SettingsPatch, SettingsRow};
use tidings_dialect::pushi::api::{AppPatch, AppSettings, Refusal, Setting, answer, records as shown};
use tidings_hub::{AppId, Key, UnixTime};

impl Caller<'_> {
    pub(super) async fn create_app(&self, patch: &AppPatch) -> Result<Answer, Refusal> {
        let mut settings = AppSettings::default();
        patch.apply(&mut settings)?;
        let now = crate::clock::unix_time();
        let name = patch.name.clone().unwrap_or_default();
        if self.node.apps().iter().any(|app| app.app.name == name) {
            return Err(Refusal::value_duplicate("name"));
        }
        let key = Key { key: crate::chance::hex64(), secret: crate::chance::hex64() };
        let app = NewApp { ident: AppId::new(&crate::chance::hex64()), name, key, settings: stored(None, &settings) };
        let row = self.store()?.create_app(app, now).await.map_err(|error| create_failed(&error))?;
        self.node.reload_stored_apps().await.map_err(|error| failed(&error))?;
        Ok(Answer::json(record_of_row(&row, &settings)))
    }

    pub(super) async fn list_apps(&self, app: &AppHandle) -> Result<Answer, Refusal> {
        let app = self.known(app).await?;
        Ok(Answer::json(shown::list([app.record()])))
    }

    pub(super) async fn show_app(&self, app: &AppHandle, ident: &str) -> Result<Answer, Refusal> {
        if ident != app.app.id.as_str() {
            return Err(Refusal::app_not_found());
        }
        let app = self.known(app).await?;
        Ok(Answer::json(shown::one(&app.record())))
    }

    pub(super) async fn update_app(&self, app: &AppHandle, ident: &str, patch: &AppPatch) -> Result<Answer, Refusal> {
        if ident != app.app.id.as_str() {
            return Err(Refusal::app_not_found());
        }
        let mut known = self.known(app).await?;
        if patch.name.as_ref().is_some_and(|name| *name != known.name && self.node.apps().iter().any(|other| other.app.name == *name)) {
            return Err(Refusal::value_duplicate("name"));
        }
        patch.apply(&mut known.settings)?;
        let change = stored(patch.name.clone(), &known.settings);
        let put = self.store()?.put_settings(&app.app.id, change, crate::clock::unix_time()).await;
        let row = put.map_err(|error| create_failed(&error))?;
        self.node.reload_stored_apps().await.map_err(|error| failed(&error))?;
        known.name = patch.name.clone().unwrap_or(known.name);
        known.modified = row.modified;
        Ok(Answer::json(shown::one(&known.record())))
    }

    pub(super) async fn vapid_key(&self, app: &AppHandle) -> Result<Answer, Refusal> {
        let known = self.known(app).await?;
        let key = known.settings.texts.get(&Setting::VapidKey).map(String::as_str);
        answer::vapid_key(key).map(Answer::json)
    }

    /// An app with what the store has of it.
    async fn known<'a>(&self, app: &'a AppHandle) -> Result<Known<'a>, Refusal> {
        let store = self.store()?;
        let settings = store.app_settings(&app.app.id).await.map_err(|error| failed(&error))?.unwrap_or_default();
        let rows = store.apps().await.map_err(|error| failed(&error))?;
        let row = rows.into_iter().find(|row| row.ident == app.app.id);
        // An app of the configuration is as old as the server that read it.
        let (id, created) = row.as_ref().map_or((0, self.node.started), |row| (row.id, row.created));
        let key = &app.app.keys[0];
        let name = settings.name.clone().unwrap_or_else(|| app.app.name.clone());
        let modified = settings.modified.max(row.map_or(created, |row| row.modified));
        Ok(Known { id: &app.app.id, number: id, name, key, settings: shown_settings(&settings), created, modified })
    }
}

/// An app, whether the configuration has it or the store.
struct Known<'a> {
    id: &'a AppId,
    number: i64,
    name: String,
    key: &'a Key,
    settings: AppSettings,
    created: UnixTime,
    modified: UnixTime,
}

impl Known<'_> {
    fn record(&self) -> shown::AppRecord<'_> {
        shown::AppRecord {
            base: records::base(self.id, self.number, self.created, self.modified),
            name: &self.name,
            key: &self.key.key,
            secret: shown::Secret(&self.key.secret),
            settings: &self.settings,
            masked: true,
        }
    }
}

fn record_of_row(row: &AppRow, settings: &AppSettings) -> bytes::Bytes {
    let known = Known {
        id: &row.ident,
        number: row.id,
        name: row.name.clone(),
        key: &row.keys[0],
        settings: settings.clone(),
        created: row.created,
        modified: row.modified,
    };
    shown::one(&known.record())
}

fn shown_settings(row: &SettingsRow) -> AppSettings {
    let texts = [
        (Setting::ApnKey, &row.apn_key),
        (Setting::ApnCertificate, &row.apn_cer),
        (Setting::ApnKeyId, &row.apn_key_id),
        (Setting::ApnTeamId, &row.apn_team_id),
        (Setting::ApnTopic, &row.apn_topic),
        (Setting::VapidKey, &row.vapid_key),
        (Setting::VapidEmail, &row.vapid_email),
        (Setting::SmtpUrl, &row.smtp_url),
    ];
    let texts = texts.into_iter().filter_map(|(setting, text)| text.clone().map(|text| (setting, text))).collect();
    AppSettings { apn_sandbox: row.apn_sandbox, texts }
}

fn stored(name: Option<String>, settings: &AppSettings) -> SettingsPatch {
    let text = |setting| Some(settings.texts.get(&setting).cloned());
    SettingsPatch {
        name,
        apn_sandbox: Some(settings.apn_sandbox),
        apn_key: text(Setting::ApnKey),
        apn_cer: text(Setting::ApnCertificate),
        apn_key_id: text(Setting::ApnKeyId),
        apn_team_id: text(Setting::ApnTeamId),
        apn_topic: text(Setting::ApnTopic),
        vapid_key: text(Setting::VapidKey),
        vapid_email: text(Setting::VapidEmail),
        smtp_url: text(Setting::SmtpUrl),
        ..SettingsPatch::default()
    }
}

fn create_failed(error: &CreateError) -> Refusal {
    match error {
        CreateError::NameTaken => Refusal::value_duplicate("name"),
        CreateError::IdentTaken => Refusal::value_duplicate("ident"),
        CreateError::KeyTaken => Refusal::value_duplicate("key"),
        CreateError::Store(error) => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-4.14: the store keeps every setting that an app may have, each in its place.
    #[test]
    fn every_setting_is_kept() {
        let texts = Setting::ALL.iter().map(|setting| (*setting, setting.field().to_owned())).collect();
        let settings = AppSettings { apn_sandbox: true, texts };
        let mut row = SettingsRow::default();
        stored(None, &settings).apply(&mut row, crate::clock::unix_time());
        assert!(shown_settings(&row) == settings);
        stored(None, &AppSettings::default()).apply(&mut row, crate::clock::unix_time());
        assert!(shown_settings(&row) == AppSettings::default());
    }
}
