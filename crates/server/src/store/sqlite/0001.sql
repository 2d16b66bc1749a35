-- What changes often is counted here, for those who keep a copy.
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO state VALUES ('apps_version', 1);

-- Apps that were made while the server ran. Those of the configuration have no row.
CREATE TABLE apps (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ident TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  enabled INTEGER NOT NULL,
  created INTEGER NOT NULL,
  modified INTEGER NOT NULL
) STRICT;
CREATE TABLE app_keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ident TEXT NOT NULL,
  key TEXT NOT NULL UNIQUE,
  secret TEXT NOT NULL
) STRICT;
CREATE INDEX app_keys_of_app ON app_keys (ident);
CREATE TABLE app_settings (
  ident TEXT PRIMARY KEY,
  name TEXT,
  description TEXT,
  meta TEXT,
  apn_sandbox INTEGER NOT NULL,
  apn_key TEXT,
  apn_cer TEXT,
  vapid_key TEXT,
  vapid_email TEXT,
  smtp_url TEXT,
  created INTEGER NOT NULL,
  modified INTEGER NOT NULL
) STRICT;

-- Numbers for all apps that store something, wherever they are made.
CREATE TABLE app_numbers (number INTEGER PRIMARY KEY, ident TEXT NOT NULL UNIQUE) STRICT;

-- Numbers for all channels that something is kept of. A number is never given again, so that nobody mistakes one channel for another.
CREATE TABLE channels (id INTEGER PRIMARY KEY AUTOINCREMENT, app INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (app, name)) STRICT;

-- The events of one publish have ids that follow each other; `place` counts them from 0, but is NULL where a channel comes again.
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  app INTEGER NOT NULL,
  channel INTEGER NOT NULL,
  place INTEGER,
  epoch INTEGER NOT NULL,
  serial INTEGER NOT NULL,
  mid BLOB NOT NULL,
  owner TEXT,
  at INTEGER NOT NULL,
  name TEXT NOT NULL,
  extras BLOB,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX events_of_channel ON events (channel);
CREATE INDEX events_of_app ON events (app);
-- So that the first event has an id above that of any subscription made before it.
INSERT INTO sqlite_sequence VALUES ('events', 0);

-- A user is owed the events of the channel with ids above `since` and up to `until`, which is NULL as long as the subscription lasts.
CREATE TABLE subscriptions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  app INTEGER NOT NULL,
  user_id TEXT NOT NULL,
  channel INTEGER NOT NULL,
  since INTEGER NOT NULL,
  until INTEGER,
  created INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX subscriptions_open ON subscriptions (app, user_id, channel) WHERE until IS NULL;
CREATE INDEX subscriptions_of_user ON subscriptions (app, user_id);
CREATE INDEX subscriptions_of_channel ON subscriptions (channel);
CREATE INDEX subscriptions_ended ON subscriptions (until) WHERE until IS NOT NULL;

CREATE TABLE registrations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  app INTEGER NOT NULL,
  family INTEGER NOT NULL,
  target TEXT NOT NULL,
  channel TEXT NOT NULL,
  p256dh TEXT,
  auth TEXT,
  created INTEGER NOT NULL,
  UNIQUE (app, family, target, channel)
) STRICT;
CREATE INDEX registrations_of_channel ON registrations (app, family, channel);

CREATE TABLE sessions (token_hash BLOB PRIMARY KEY, app TEXT NOT NULL, mark BLOB NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_ended ON sessions (expires);

-- A place for deliveries that are owed.
CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, due INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX outbox_due ON outbox (due);
