//! What every store does, whichever database is behind it: one suite, run for memory, for a file, and for the PostgreSQL that
//! `TIDINGS_TEST_POSTGRES` names, as `scripts/check` does. Only `TIDINGS_WITHOUT_POSTGRES=1` leaves the latter out.

mod apps;
mod events;
mod files;
mod history;
mod network;
mod people;
mod retention;
mod trouble;

use super::row::{EventRow, NewEvent, Trigger};
use super::{Options, Retention, Store, StoreError, StoreUrl};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tidings_hub::{AppId, ChannelName, UnixTime};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// One kind of store, and the scenes that it is in.
macro_rules! contract {
    ($kind:ident, $($room:ident::$name:ident),* $(,)?) => {
        mod $kind {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bench) = super::Bench::$kind().await {
                    super::$room::$name(bench).await;
                }
            })*
        }
    };
}

/// What lasts beyond the process is in further scenes.
macro_rules! lasting_contract {
    ($kind:ident, $($further:tt)*) => {
        every_contract! { $kind,
            trouble::a_restart_keeps_all,
            trouble::two_stores_see_each_other,
            history::two_runs_at_once_are_both_told,
            trouble::the_past_is_brought_up_to_date,
            trouble::the_future_is_refused,
            trouble::many_may_open_at_once,
            trouble::a_full_store_refuses_and_recovers,
            trouble::commits_that_are_not_safe_are_told,
            $($further)*
        }
    };
}

macro_rules! every_contract {
    ($kind:ident, $($further:tt)*) => {
        contract! { $kind,
            events::what_is_stored_is_found,
            events::dones_come_in_the_order_of_the_calls,
            events::a_barrier_keeps_its_place,
            events::a_bad_job_fails_alone,
            events::publishes_are_whole,
            events::any_text_is_kept,
            events::reading_back_and_forth,
            events::room_ends_at_the_mark,
            people::subscriptions_are_made_once,
            people::what_came_meanwhile_is_owed,
            people::a_publish_is_owed_once,
            people::coming_and_going_leaves_nothing,
            people::a_user_may_follow_very_many,
            people::registrations_come_and_go,
            apps::apps_are_made_and_changed,
            apps::what_is_taken_is_refused,
            apps::settings_are_patched,
            apps::sessions_come_and_go,
            retention::old_events_go,
            retention::too_many_events_go,
            retention::what_nothing_is_left_of_goes,
            history::who_was_away_finds_what_came,
            history::a_history_is_read_page_by_page,
            history::a_history_begins_when_all_is_stored,
            history::a_channel_that_was_cut_says_so,
            history::an_app_whose_events_aged_says_so,
            history::old_runs_are_forgotten,
            trouble::a_closed_store_says_so,
            trouble::a_fault_of_who_waits_harms_nobody,
            trouble::a_healthy_store_is_durable,
            trouble::a_fault_costs_its_group_only,
            trouble::it_may_end_on_its_own_thread,
            $($further)*
        }
    };
}

every_contract! { memory, }
lasting_contract! { file,
    files::a_copy_is_made_while_others_write,
    files::a_copy_goes_into_a_new_file_only,
    files::nobody_else_may_read_the_file,
    files::what_is_no_database_is_refused,
    files::a_lost_connection_is_made_again,
    files::the_journal_stays_small,
    files::the_file_gives_room_back,
}
lasting_contract! { postgres,
    network::a_lost_connection_is_made_again,
    network::a_commit_whose_answer_is_lost_counts,
    network::a_commit_that_never_arrived_does_not_count,
    network::without_a_server_nobody_waits_for_long,
    network::a_url_that_wants_tls_gets_nothing_less,
    network::there_is_a_tool_for_copies,
}

/// A database of its own for one test.
struct Bench {
    url: StoreUrl,
    retention: Retention,
    size_max: u64,
    queue_max: usize,
    _directory: Option<TempDir>,
}

impl Bench {
    async fn memory() -> Option<Self> {
        Some(Self::at(StoreUrl::Memory, None))
    }

    async fn file() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        Some(Self::at(StoreUrl::Sqlite(directory.path().join("tidings.db")), Some(directory)))
    }

    /// In a schema of its own; `None` if somebody wants to do without.
    async fn postgres() -> Option<Self> {
        if std::env::var_os("TIDINGS_WITHOUT_POSTGRES").is_some() {
            return None;
        }
        let url = std::env::var("TIDINGS_TEST_POSTGRES")
            .expect("TIDINGS_TEST_POSTGRES names a server, as in scripts/check; TIDINGS_WITHOUT_POSTGRES=1 leaves its tests out");
        let schema = format!("tidings_{:x}", u128::from_be_bytes(crate::chance::bytes()));
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let carried = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        drop(client);
        carried.await.unwrap().unwrap();
        let mark = if url.contains('?') { '&' } else { '?' };
        // The name tells its connections from those of other tests.
        let url = format!("{url}{mark}options=-csearch_path%3D{schema}&application_name={schema}");
        Some(Self::at(StoreUrl::Postgres(url), None))
    }

    fn at(url: StoreUrl, directory: Option<TempDir>) -> Self {
        // Rounds are made when a test asks for one.
        let retention = Retention { every: Duration::from_secs(3600), ..Retention::default() };
        Self { url, retention, size_max: 0, queue_max: 1000, _directory: directory }
    }

    fn options(&self) -> Options {
        let (url, retention, runtime) = (self.url.clone(), self.retention.clone(), Handle::current());
        Options { url, retention, size_max: self.size_max, queue_max: self.queue_max, runtime }
    }

    fn try_open(&self) -> Result<Store, StoreError> {
        tokio::task::block_in_place(|| Store::open(self.options()))
    }

    fn open(&self) -> Store {
        self.try_open().unwrap()
    }
}

fn app() -> AppId {
    AppId::new("app")
}

fn at(micros: u64) -> UnixTime {
    UnixTime::from_micros(micros)
}

/// A moment that retention does not care about.
fn now() -> UnixTime {
    crate::clock::unix_time()
}

fn event(channel: &str, data: &str) -> NewEvent {
    NewEvent {
        channel: ChannelName::parse(channel).unwrap(),
        epoch: u64::MAX,
        serial: 7,
        mid: u128::from_be_bytes(crate::chance::bytes()),
        name: Arc::from("message"),
        data: Bytes::copy_from_slice(data.as_bytes()),
        extras: None,
    }
}

fn trigger_of(app: &AppId, at: UnixTime, events: impl IntoIterator<Item = NewEvent>) -> Trigger {
    Trigger { app: app.clone(), at, owner: None, events: SmallVec::from_iter(events) }
}

/// One publish of the same data on some channels.
fn trigger(channels: &[&str], data: &str) -> Trigger {
    trigger_of(&app(), now(), channels.iter().map(|channel| event(channel, data)))
}

/// Stores one publish and waits for it.
async fn store(store: &Store, trigger: Trigger) -> Result<(), StoreError> {
    let (sender, done) = oneshot::channel();
    store.append(trigger, Box::new(|result| sender.send(result).unwrap()));
    done.await.unwrap()
}

/// The data of events, in their order.
fn data(events: &[EventRow]) -> Vec<&str> {
    events.iter().map(|event| std::str::from_utf8(&event.data).unwrap()).collect()
}
