//! What an app record says of deliveries, and changes to it (I-4.14, I-4.15).

use super::Refusal;
use super::parameters::Record;
use std::collections::BTreeMap;
use std::fmt;

/// What stands in an answer where a secret is.
pub const MASK: &str = "***";
/// The longest setting, in bytes.
const SETTING_BYTES_MAX: usize = 16 * 1024;

/// A setting of an app that is a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Setting {
    /// The private key of Apple's certificate, or a `.p8`.
    ApnKey,
    /// Apple's certificate.
    ApnCertificate,
    /// The id of a `.p8`.
    ApnKeyId,
    /// The team that it belongs to.
    ApnTeamId,
    /// The topic of notifications.
    ApnTopic,
    /// The key for web push.
    VapidKey,
    /// Whom push services may write to.
    VapidEmail,
    /// The server that takes mail.
    SmtpUrl,
}

impl Setting {
    /// All of them, in the order of a record.
    pub const ALL: [Self; 8] = [
        Self::ApnKey,
        Self::ApnCertificate,
        Self::ApnKeyId,
        Self::ApnTeamId,
        Self::ApnTopic,
        Self::VapidKey,
        Self::VapidEmail,
        Self::SmtpUrl,
    ];

    /// Its field in a record.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::ApnKey => "apn_key",
            Self::ApnCertificate => "apn_cer",
            Self::ApnKeyId => "apn_key_id",
            Self::ApnTeamId => "apn_team_id",
            Self::ApnTopic => "apn_topic",
            Self::VapidKey => "vapid_key",
            Self::VapidEmail => "vapid_email",
            Self::SmtpUrl => "smtp_url",
        }
    }

    /// `value` as everybody may see it who has the app's session.
    pub(super) fn masked(self, value: &str) -> String {
        match self {
            Self::ApnKey | Self::VapidKey => MASK.to_owned(),
            Self::SmtpUrl => without_password(value),
            _ => value.to_owned(),
        }
    }
}

/// `url` with its password masked; all of it if it is not clear where the password is.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let (authority, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let Some((user, host)) = authority.rsplit_once('@') else {
        let port = authority.split_once(':').map_or("", |(_, port)| port.trim_end_matches('/'));
        let is_address = port.bytes().all(|byte| byte.is_ascii_digit());
        return if is_address { url.to_owned() } else { format!("{scheme}://{MASK}") };
    };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:{MASK}@{host}{query}"),
        None => url.to_owned(),
    }
}

/// The settings of an app. Their values never show in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AppSettings {
    /// Whether Apple's test service is the one to use.
    pub apn_sandbox: bool,
    /// The texts that are set.
    pub texts: BTreeMap<Setting, String>,
}

impl fmt::Debug for AppSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppSettings").field("apn_sandbox", &self.apn_sandbox).field("set", &self.texts.keys()).finish_non_exhaustive()
    }
}

/// Changes to an app, or the beginnings of one. The values never show in `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AppPatch {
    /// The new name.
    pub name: Option<String>,
    /// Whether Apple's test service is the one to use.
    pub apn_sandbox: Option<bool>,
    texts: BTreeMap<Setting, Option<String>>,
}

impl fmt::Debug for AppPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("AppPatch");
        f.field("name", &self.name).field("apn_sandbox", &self.apn_sandbox).field("changes", &self.texts.keys()).finish_non_exhaustive()
    }
}

impl AppPatch {
    /// Reads the fields that may be changed; all others are passed over.
    pub(super) fn read(record: &Record<'_>) -> Result<Self, Refusal> {
        let mut patch = Self { name: None, apn_sandbox: record.flag("apn_sandbox"), texts: BTreeMap::new() };
        if record.has("name") {
            patch.name =
                Some(record.text("name")?.filter(|name| !name.is_empty()).ok_or_else(|| invalid("name", "value is empty"))?.into());
        }
        for setting in Setting::ALL.into_iter().filter(|setting| record.has(setting.field())) {
            let text = record.text(setting.field())?.filter(|text| !text.is_empty());
            if text.as_ref().is_some_and(|text| text.len() > SETTING_BYTES_MAX) {
                return Err(invalid(setting.field(), "value is too long"));
            }
            patch.texts.insert(setting, text.map(Into::into));
        }
        Ok(patch)
    }

    /// Makes the changes to `settings`. A mask that is written back leaves the value behind it alone.
    ///
    /// # Errors
    /// 400 if a masked password stands in a URL that is another than the one it belongs to; nothing is changed then.
    pub fn apply(&self, settings: &mut AppSettings) -> Result<(), Refusal> {
        let mut changed = settings.clone();
        for (setting, text) in &self.texts {
            match text {
                None => drop(changed.texts.remove(setting)),
                Some(text) if is_mask(*setting, text, changed.texts.get(setting)) => {}
                Some(text) if *setting == Setting::SmtpUrl && text.contains(MASK) => {
                    return Err(invalid(setting.field(), "value holds a masked password"));
                }
                Some(text) => drop(changed.texts.insert(*setting, text.clone())),
            }
        }
        changed.apn_sandbox = self.apn_sandbox.unwrap_or(changed.apn_sandbox);
        *settings = changed;
        Ok(())
    }
}

fn is_mask(setting: Setting, text: &str, current: Option<&String>) -> bool {
    match setting {
        Setting::ApnKey | Setting::VapidKey => text == MASK,
        Setting::SmtpUrl => current.is_some_and(|current| text.contains(MASK) && setting.masked(current) == text),
        _ => false,
    }
}

fn invalid(field: &'static str, text: &'static str) -> Refusal {
    Refusal::invalid(BTreeMap::from([(field, vec![text])]))
}
