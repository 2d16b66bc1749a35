//! Registrations of hooks, devices, addresses and browsers (I-4.30 to I-4.37).

use super::{Caller, failed, records};
use crate::http::response::Answer;
use crate::node::AppHandle;
use crate::store::{self, RegistrationRow};
use tidings_dialect::pushi::api::{Family, Refusal, Registration, Which, answer, prove, records as shown};

impl Caller<'_> {
    pub(super) async fn list_registrations(
        &self,
        app: &AppHandle,
        family: Family,
        id: Option<&str>,
        event: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let rows = self.store()?.registrations(&app.app.id, records::family(family), id, event).await;
        Ok(listed(app, family, &rows.map_err(|error| failed(&error))?))
    }

    pub(super) async fn register(&self, app: &AppHandle, registration: Registration) -> Result<Answer, Refusal> {
        prove(&app.app, &registration)?;
        let Registration { family, id, event, p256dh, auth, unsubscribe, .. } = registration;
        let key = |text: String| (family == Family::WebPushes).then_some(text);
        let row = store::Registration {
            family: records::family(family),
            target: id,
            channel: event.to_string(),
            p256dh: key(p256dh),
            auth: key(auth),
        };
        let made = self.store()?.register(&app.app.id, row, unsubscribe, crate::clock::unix_time()).await;
        let made = made.map_err(|error| failed(&error))?;
        Ok(Answer::json(shown::one(&records::registration(&app.app.id, family, &made))))
    }

    pub(super) async fn unregister(&self, app: &AppHandle, family: Family, which: Which, force: bool) -> Result<Answer, Refusal> {
        let store = self.store()?;
        let remove = async |id: &str, event: Option<&str>| {
            let removed = store.unregister(&app.app.id, records::family(family), id, event).await;
            removed.map_err(|error| failed(&error))
        };
        let removed = match &which {
            Which::All { id } => return Ok(listed(app, family, &remove(id, None).await?)),
            Which::One { id, event } => remove(id, Some(event)).await?,
            Which::Either { id, event, whole } => {
                let one = remove(id, Some(event)).await?;
                if one.is_empty() {
                    let all = remove(whole, None).await?;
                    if !all.is_empty() {
                        return Ok(listed(app, family, &all));
                    }
                }
                one
            }
        };
        match removed.first() {
            Some(row) => Ok(Answer::json(shown::one(&records::registration(&app.app.id, family, row)))),
            None if force => Err(family.not_found()),
            None => Ok(Answer::json(answer::success())),
        }
    }
}

fn listed(app: &AppHandle, family: Family, rows: &[RegistrationRow]) -> Answer {
    Answer::json(shown::list(rows.iter().map(|row| records::registration(&app.app.id, family, row))))
}
