-- What Apple's token keys need beside the key itself.
ALTER TABLE app_settings ADD COLUMN apn_key_id TEXT;
ALTER TABLE app_settings ADD COLUMN apn_team_id TEXT;
ALTER TABLE app_settings ADD COLUMN apn_topic TEXT;
