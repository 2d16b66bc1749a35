-- Runs of servers: the number in the positions that they gave out, and the last event before them.
CREATE TABLE runs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, epoch bigint NOT NULL UNIQUE, last bigint NOT NULL);

-- Of which channels of an app every event is stored, and since when: an id that no event has.
CREATE TABLE histories (app text PRIMARY KEY, channels text NOT NULL, since bigint NOT NULL);

-- The last event of a channel that was removed because there were too many, and, as channel '', the last one of the app that was too old.
CREATE TABLE removed (app text NOT NULL, channel text NOT NULL, id bigint NOT NULL, PRIMARY KEY (app, channel));

-- Who was at which position of a channel. Events of channels without a history have no run.
CREATE INDEX events_of_position ON events (app, channel, epoch, serial) WHERE epoch <> 0;
