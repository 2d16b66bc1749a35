-- What changes often is counted here, for those who keep a copy.
CREATE TABLE state (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO state VALUES ('apps_version', 1);

-- Apps that were made while the server ran. Those of the configuration have no row.
CREATE TABLE apps (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ident text NOT NULL UNIQUE,
  name text NOT NULL UNIQUE,
  enabled boolean NOT NULL,
  created bigint NOT NULL,
  modified bigint NOT NULL
);
CREATE TABLE app_keys (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ident text NOT NULL,
  key text NOT NULL UNIQUE,
  secret text NOT NULL
);
CREATE INDEX app_keys_of_app ON app_keys (ident);
CREATE TABLE app_settings (
  ident text PRIMARY KEY,
  name text,
  description text,
  meta text,
  apn_sandbox boolean NOT NULL,
  apn_key text,
  apn_cer text,
  vapid_key text,
  vapid_email text,
  smtp_url text,
  created bigint NOT NULL,
  modified bigint NOT NULL
);

-- Begins before the first id, so that the first event has one above that of any subscription made before it.
CREATE SEQUENCE event_ids MINVALUE 0 START 0;
SELECT nextval('event_ids');

-- Gives ids that follow each other, also while other processes take some.
CREATE FUNCTION take_event_ids(count bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  first bigint;
BEGIN
  PERFORM pg_advisory_lock(8370011705);
  first := nextval('event_ids');
  PERFORM setval('event_ids', first + count - 1);
  PERFORM pg_advisory_unlock(8370011705);
  RETURN first;
END
$$;

-- The events of one publish have ids that follow each other; `place` counts them from 0, but is NULL where a channel comes again.
CREATE TABLE events (
  id bigint PRIMARY KEY,
  app text NOT NULL,
  channel text NOT NULL,
  place bigint,
  epoch bigint NOT NULL,
  serial bigint NOT NULL,
  mid bytea NOT NULL,
  owner text,
  at bigint NOT NULL,
  -- Bytes, since a text here cannot hold every character.
  name bytea NOT NULL,
  extras bytea,
  data bytea NOT NULL
);
CREATE INDEX events_of_channel ON events (app, channel, id);
CREATE INDEX events_of_app ON events (app, id);

-- A user is owed the events of the channel with ids above `since` and up to `until`, which is NULL as long as the subscription lasts.
CREATE TABLE subscriptions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  app text NOT NULL,
  user_id text NOT NULL,
  channel text NOT NULL,
  since bigint NOT NULL,
  until bigint,
  created bigint NOT NULL
);
CREATE UNIQUE INDEX subscriptions_open ON subscriptions (app, user_id, channel) WHERE until IS NULL;
CREATE INDEX subscriptions_of_user ON subscriptions (app, user_id, id);
CREATE INDEX subscriptions_of_channel ON subscriptions (app, channel, id);
CREATE INDEX subscriptions_ended ON subscriptions (until) WHERE until IS NOT NULL;

CREATE TABLE registrations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  app text NOT NULL,
  family bigint NOT NULL,
  target text NOT NULL,
  channel text NOT NULL,
  p256dh text,
  auth text,
  created bigint NOT NULL,
  UNIQUE (app, family, target, channel)
);
CREATE INDEX registrations_of_channel ON registrations (app, family, channel, id);

CREATE TABLE sessions (token_hash bytea PRIMARY KEY, app text NOT NULL, mark bytea NOT NULL, expires bigint NOT NULL);
CREATE INDEX sessions_ended ON sessions (expires);

-- A place for deliveries that are owed.
CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind bigint NOT NULL, due bigint NOT NULL, body bytea NOT NULL);
CREATE INDEX outbox_due ON outbox (due);
