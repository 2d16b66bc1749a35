-- Runs of servers: the number in the positions that they gave out, and the last event before them.
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL UNIQUE, last INTEGER NOT NULL) STRICT;

-- Of which channels of an app every event is stored, and since when: an id that no event has.
CREATE TABLE histories (app INTEGER PRIMARY KEY, channels TEXT NOT NULL, since INTEGER NOT NULL) STRICT;

-- The last event of a channel that was removed because there were too many, and, as channel 0, the last one of the app that was too old.
CREATE TABLE removed (app INTEGER NOT NULL, channel INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (app, channel)) STRICT, WITHOUT ROWID;

-- Who was at which position of a channel. Events of channels without a history have no run.
CREATE INDEX events_of_position ON events (channel, epoch, serial) WHERE epoch <> 0;
