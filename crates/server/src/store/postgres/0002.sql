-- What Apple's token keys need beside the key itself.
ALTER TABLE app_settings ADD COLUMN apn_key_id text;
ALTER TABLE app_settings ADD COLUMN apn_team_id text;
ALTER TABLE app_settings ADD COLUMN apn_topic text;
