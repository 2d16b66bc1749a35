//! Pushy's configuration file as a configuration (Y-2), so that `tidings pushy config.json` can take its place.

use super::DropIn;
use crate::config::Broken;
use crate::config::problem::{Problem, Problems, quoted};
use crate::config::reader::text_toml;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The port of the documentation; the original has no default.
const PORT: u64 = 8123;
/// The secret of the samples.
const SAMPLE_SECRET: &str = "mySuperSecretKey";
/// A shorter secret is warned of (Y-2.3).
const SECRET_CHARS: usize = 16;
/// Numbers of the file, and the settings that they are.
const LIMITS: [(&str, &str); 11] = [
    ("channelName", "channel_name_chars"),
    ("eventName", "event_name_chars"),
    ("presenceData", "presence_data_bytes"),
    ("message", "message_bytes"),
    ("triggerBody", "trigger_body_bytes"),
    ("channels", "subscriptions"),
    ("commandsPerSecond", "commands_per_second"),
    ("commandsBurst", "commands_burst"),
    ("commandCalls", "command_calls"),
    ("replayCache", "replay_cache"),
    ("colonInChannel", "colon_in_channel"),
];

/// A file that is being read: what it says, what is wrong with it, and what was understood otherwise than it stands there.
struct Reader {
    name: String,
    problems: Problems,
    warnings: Vec<Problem>,
    /// Settings, and the keys that they were given as.
    given_as: Vec<(String, String)>,
}

/// An object of the file. What is left in it when it was read is not known.
struct Object {
    path: String,
    members: Map<String, Value>,
}

impl Reader {
    fn about(&self, path: &str, text: impl Into<String>) -> Problem {
        Problem { path: path.to_owned(), place: Some(self.name.clone()), text: text.into() }
    }

    fn problem(&mut self, path: &str, text: impl Into<String>) {
        let problem = self.about(path, text);
        self.problems.add(problem);
    }

    fn warn(&mut self, path: &str, text: impl Into<String>) {
        let warning = self.about(path, text);
        self.warnings.push(warning);
    }

    /// Remembers that what stands at `path` of the file is this setting.
    fn given(&mut self, setting: impl Into<String>, path: &str) {
        self.given_as.push((setting.into(), format!("{}: {path}", self.name)));
    }

    fn take<T>(&mut self, object: &mut Object, key: &str, what: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = object.members.remove(key).filter(|value| !value.is_null())?;
        let read = read(&value);
        if read.is_none() {
            self.problem(&object.at(key), format!("must be {what}"));
        }
        read
    }

    fn text(&mut self, object: &mut Object, key: &str) -> Option<String> {
        self.take(object, key, "a string", |value| value.as_str().map(str::to_owned))
    }

    fn flag(&mut self, object: &mut Object, key: &str) -> Option<bool> {
        self.take(object, key, "true or false", Value::as_bool)
    }

    fn object(&mut self, object: &mut Object, key: &str) -> Option<Object> {
        let path = object.at(key);
        let members = self.take(object, key, "an object", |value| value.as_object().cloned())?;
        Some(Object { path, members })
    }

    /// Unknown keys mean nothing here (Y-2.6).
    fn finish(&mut self, object: Object) {
        let paths: Vec<_> = object.members.keys().map(|key| object.at(key)).collect();
        for path in paths {
            self.warn(&path, "is not known and means nothing");
        }
    }

    /// A delay in milliseconds, as TOML; a small number is meant in seconds, as in the samples (Y-2.5).
    fn delay(&mut self, object: &mut Object, key: &str) -> Option<String> {
        let path = object.at(key);
        let number = self.take(object, key, "a number of milliseconds", Value::as_f64)?;
        if number <= 0.0 {
            self.problem(&path, "must be more than 0");
            return None;
        }
        if number >= 1000.0 {
            return Some(format!("{} ms", number.round()));
        }
        self.warn(&path, format!("{number} is taken for seconds; SockJS reads milliseconds, and the samples mean seconds"));
        Some(format!("{} ms", (number * 1000.0).round()))
    }

    /// A number of bytes, or one with K or M behind it (Y-2.4).
    fn size(&mut self, object: &mut Object, key: &str) -> Option<u64> {
        let path = object.at(key);
        let read = |value: &Value| match value {
            Value::String(text) => sized(text).map(|size| (size, true)),
            value => value.as_u64().map(|size| (size, false)),
        };
        let (size, is_text) = self.take(object, key, "a number of bytes, such as 131072 or \"128K\"", read)?;
        if is_text {
            self.warn(&path, format!("is {size} bytes; the original compares with the text, which limits nothing"));
        }
        Some(size)
    }
}

impl Object {
    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn sized(text: &str) -> Option<u64> {
    let (digits, factor) = match text.trim().to_ascii_uppercase() {
        text if text.ends_with('K') => (text[..text.len() - 1].to_owned(), 1 << 10),
        text if text.ends_with('M') => (text[..text.len() - 1].to_owned(), 1 << 20),
        text => (text, 1),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// The configuration that a file of Pushy amounts to. `name` is the file's, `json` what it holds.
///
/// # Errors
/// [`Broken`] with all problems.
pub(in crate::config) fn document(name: &str, json: &str) -> Result<DropIn, Broken> {
    let mut reader = Reader { name: name.to_owned(), problems: Problems::default(), warnings: Vec::new(), given_as: Vec::new() };
    let mut root = match serde_json::from_str(json) {
        Ok(Value::Object(members)) => Object { path: String::new(), members },
        Ok(_) => return Err(refused(reader, "must be a JSON object")),
        Err(error) => return Err(refused(reader, &format!("is no JSON: {error}"))),
    };
    let mut text = format!("# What {name} amounts to.\n\n");
    listener(&mut reader, &mut root, &mut text);
    let secret = secret(&mut reader, &mut root);
    let _ = write!(text, "\n[[apps]]\nid = \"pushy\"\nkey = \"pushy\"\nsecret = {}\n\n[[pushy]]\napp = \"pushy\"\n", text_toml(&secret));
    settings(&mut reader, &mut root, &mut text);
    if let Some(sockjs) = reader.object(&mut root, "sockjs") {
        text.push_str("\n[pushy.sockjs]\n");
        self::sockjs(&mut reader, sockjs, &mut text);
    }
    commands(&mut reader, &mut root, &mut text);
    reader.finish(root);
    if !reader.problems.is_empty() {
        return Err(reader.problems.into_broken());
    }
    Ok(DropIn { text, name: reader.name, file: None, given_as: reader.given_as, warnings: reader.warnings })
}

fn refused(mut reader: Reader, why: &str) -> Broken {
    reader.problem("", why);
    reader.problems.into_broken()
}

fn listener(reader: &mut Reader, root: &mut Object, text: &mut String) {
    let port = reader.take(root, "port", "a port", |value| value.as_u64().filter(|port| u16::try_from(*port).is_ok())).unwrap_or(PORT);
    let host = reader.text(root, "host").unwrap_or_else(|| "0.0.0.0".to_owned());
    let host = if host == "localhost" { "127.0.0.1".to_owned() } else { host };
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    reader.given("listeners[0].address", "host");
    let _ = writeln!(text, "[[listeners]]\naddress = {}\ndialects = [\"pushy\"]", text_toml(&format!("{host}:{port}")));
    let (certificate, key) = (reader.text(root, "sslCert"), reader.text(root, "sslKey"));
    match (reader.flag(root, "ssl").unwrap_or(false), certificate, key) {
        (true, Some(certificate), Some(key)) => {
            reader.given("listeners[0].tls.certificate", "sslCert");
            reader.given("listeners[0].tls.key", "sslKey");
            let _ = writeln!(text, "tls = {{ certificate = {}, key = {} }}", text_toml(&certificate), text_toml(&key));
        }
        (true, ..) => {
            let why = "the original never serves HTTPS, whatever this says; here it does, and needs the paths of a certificate and a key in PEM: \
                       `sslCert` and `sslKey`";
            reader.problem("ssl", why);
        }
        (false, None, None) => {}
        (false, ..) => reader.warn("ssl", "is off, so sslCert and sslKey mean nothing"),
    }
}

fn secret(reader: &mut Reader, root: &mut Object) -> String {
    if root.members.get("secretKey").is_none_or(Value::is_null) {
        reader.problem("secretKey", "is missing; the original would sign with the text `undefined`");
    }
    reader.given("apps[0].secret", "secretKey");
    // One that is no text has been told already.
    let Some(secret) = reader.text(root, "secretKey") else { return String::new() };
    if secret.is_empty() {
        reader.problem("secretKey", "is empty; make one with `openssl rand -hex 32`");
    } else if secret == SAMPLE_SECRET {
        reader.warn("secretKey", "is that of the sample, which everybody knows");
    } else if secret.chars().count() < SECRET_CHARS {
        reader.warn("secretKey", format!("has less than {SECRET_CHARS} characters; make one with `openssl rand -hex 32`"));
    }
    secret
}

fn settings(reader: &mut Reader, root: &mut Object, text: &mut String) {
    for (key, name) in
        [("channelNames", "channel_names"), ("presence", "presence"), ("authData", "auth_data"), ("triggerSecretKey", "trigger_secret_key")]
    {
        if let Some(value) = reader.text(root, key) {
            reader.given(format!("pushy[0].{name}"), key);
            let _ = writeln!(text, "{name} = {}", text_toml(&value));
        }
    }
    for (key, name) in [("honorSocketId", "honor_socket_id"), ("phpCompat", "php_compat")] {
        if let Some(value) = reader.flag(root, key) {
            let _ = writeln!(text, "{name} = {value}");
        }
    }
    let Some(mut limits) = reader.object(root, "limits") else { return };
    for (key, name) in LIMITS {
        let what = "a number, or true or false for colonInChannel";
        let value = reader.take(&mut limits, key, what, |value| match value {
            Value::Bool(flag) if key == "colonInChannel" => Some(flag.to_string()),
            Value::Bool(_) => None,
            value => value.as_u64().filter(|_| key != "colonInChannel").map(|number| number.to_string()),
        });
        if let Some(value) = value {
            reader.given(format!("pushy[0].{name}"), &limits.at(key));
            let _ = writeln!(text, "{name} = {value}");
        }
    }
    reader.finish(limits);
}

fn sockjs(reader: &mut Reader, mut object: Object, text: &mut String) {
    for key in ["prefix", "sockjs_url", "base_url", "response_limit", "heartbeat_delay", "disconnect_delay"] {
        reader.given(format!("pushy[0].sockjs.{key}"), &object.at(key));
    }
    for key in ["prefix", "sockjs_url", "base_url"] {
        if let Some(value) = reader.text(&mut object, key) {
            let _ = writeln!(text, "{key} = {}", text_toml(&value));
        }
    }
    for key in ["websocket", "jsessionid", "disable_cors"] {
        if let Some(value) = reader.flag(&mut object, key) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    if let Some(size) = reader.size(&mut object, "response_limit") {
        let _ = writeln!(text, "response_limit = {size}");
    }
    for key in ["heartbeat_delay", "disconnect_delay"] {
        if let Some(delay) = reader.delay(&mut object, key) {
            let _ = writeln!(text, "{key} = {}", text_toml(&delay));
        }
    }
    let texts = |value: &Value| value.as_array()?.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    for (key, name, what) in [("transports", "transports", "a list of names"), ("allowedOrigins", "allowed_origins", "a list of origins")] {
        if let Some(list) = reader.take(&mut object, key, what, texts) {
            reader.given(format!("pushy[0].sockjs.{name}"), &object.at(key));
            let list: Vec<_> = list.iter().map(|one| text_toml(one)).collect();
            let _ = writeln!(text, "{name} = [{}]", list.join(", "));
        }
    }
    reader.finish(object);
}

fn commands(reader: &mut Reader, root: &mut Object, text: &mut String) {
    let Some(mut commands) = reader.object(root, "commands") else { return };
    let names: Vec<String> = commands.members.keys().cloned().collect();
    for (index, name) in names.into_iter().enumerate() {
        reader.given(format!("pushy[0].commands[{index}].name"), &commands.at(&name));
        let Some(mut command) = reader.object(&mut commands, &name) else { continue };
        for key in ["url", "timeout"] {
            reader.given(format!("pushy[0].commands[{index}].{key}"), &command.at(key));
        }
        let _ = writeln!(text, "\n[[pushy.commands]]\nname = {}", text_toml(&name));
        match reader.text(&mut command, "url") {
            Some(url) => {
                let _ = writeln!(text, "url = {}", text_toml(&url));
            }
            None => reader.problem(&command.at("url"), format!("the command {} needs the URL of its endpoint", quoted(&name))),
        }
        if let Some(timeout) = reader.take(&mut command, "timeout", "a number of milliseconds", Value::as_u64) {
            let _ = writeln!(text, "timeout = \"{timeout} ms\"");
        }
        reader.finish(command);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts_to(json: &str) -> Result<(String, Vec<String>), String> {
        let drop_in = document("config.json", json).map_err(|broken| broken.to_string())?;
        let warnings = drop_in.warnings.iter().map(Problem::to_string).collect();
        Ok((drop_in.text.trim_start_matches("# What config.json amounts to.\n\n").to_owned(), warnings))
    }

    /// Y-2.1, Y-2.4, Y-2.5: the published sample means what its author meant.
    #[test]
    fn the_sample_is_understood() {
        let sample = r#"{"port":8234,"secretKey":"mySuperSecretKey","ssl":false,"sockjs":{"sockjs_url":"http://cdn.sockjs.org/sockjs-0.3.min.js",
            "prefix":"/pushy/socket","websocket":true,"response_limit":"128K","jsessionid":false,"heartbeat_delay":25,"disconnect_delay":5}}"#;
        let (text, warnings) = amounts_to(sample).unwrap();
        let expected = "[[listeners]]\naddress = \"0.0.0.0:8234\"\ndialects = [\"pushy\"]\n\n\
                        [[apps]]\nid = \"pushy\"\nkey = \"pushy\"\nsecret = \"mySuperSecretKey\"\n\n[[pushy]]\napp = \"pushy\"\n\n\
                        [pushy.sockjs]\nprefix = \"/pushy/socket\"\nsockjs_url = \"http://cdn.sockjs.org/sockjs-0.3.min.js\"\n\
                        websocket = true\njsessionid = false\nresponse_limit = 131072\nheartbeat_delay = \"25000 ms\"\ndisconnect_delay = \"5000 ms\"\n";
        assert_eq!(text, expected);
        let told = [
            "secretKey: is that of the sample",
            "response_limit: is 131072 bytes",
            "heartbeat_delay: 25 is taken for",
            "disconnect_delay: 5 is",
        ];
        assert_eq!(warnings.len(), told.len(), "{warnings:?}");
        for (warning, told) in warnings.iter().zip(told) {
            assert!(warning.starts_with("config.json: ") && warning.contains(told), "{warning}");
        }
    }

    /// Y-2.6, Y-6.12, Y-9.2, Y-11.1
    #[test]
    fn keys_of_our_own_are_known() {
        let (text, warnings) = amounts_to(
            r#"{"host":"::1","secretKey":"0123456789abcdef","presence":"any","channelNames":"lower","honorSocketId":false,"phpCompat":true,
                "triggerSecretKey":"other","limits":{"channelName":50,"colonInChannel":false,"else":1},"colour":"red",
                "commands":{"Chat":{"url":"http://127.0.0.1:9/chat","timeout":500},"*":{"url":"https://app.example/c"}},
                "sockjs":{"heartbeat_delay":1000,"transports":["websocket"],"allowedOrigins":["https://a.example"],"response_limit":4096}}"#,
        )
        .unwrap();
        for part in [
            "address = \"[::1]:8123\"",
            "presence = \"any\"\n",
            "channel_names = \"lower\"\n",
            "honor_socket_id = false\nphp_compat = true\n",
            "trigger_secret_key = \"other\"\n",
            "channel_name_chars = 50\ncolon_in_channel = false\n",
            "[[pushy.commands]]\nname = \"*\"\nurl = \"https://app.example/c\"\n",
            "[[pushy.commands]]\nname = \"Chat\"\nurl = \"http://127.0.0.1:9/chat\"\ntimeout = \"500 ms\"\n",
            "heartbeat_delay = \"1000 ms\"\ntransports = [\"websocket\"]\nallowed_origins = [\"https://a.example\"]\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(
            warnings,
            ["config.json: limits.else: is not known and means nothing", "config.json: colour: is not known and means nothing"]
        );
    }

    /// Y-2.2, Y-2.3, Y-2.5: what the original would serve with, and should not.
    #[test]
    fn what_cannot_be_right_is_refused() {
        for (json, expected) in [
            ("", "is no JSON"),
            ("[]", "must be a JSON object"),
            ("{}", "secretKey: is missing"),
            (r#"{"secretKey":""}"#, "secretKey: is empty"),
            (r#"{"secretKey":5}"#, "secretKey: must be a string"),
            (r#"{"secretKey":null}"#, "secretKey: is missing"),
            (r#"{"secretKey":"0123456789abcdef","ssl":true}"#, "ssl: the original never serves HTTPS"),
            (r#"{"secretKey":"0123456789abcdef","port":70000}"#, "port: must be a port"),
            (r#"{"secretKey":"0123456789abcdef","sockjs":{"heartbeat_delay":0}}"#, "sockjs.heartbeat_delay: must be more than 0"),
            (r#"{"secretKey":"0123456789abcdef","sockjs":{"disconnect_delay":-5}}"#, "sockjs.disconnect_delay: must be more than 0"),
            (r#"{"secretKey":"0123456789abcdef","sockjs":{"response_limit":"128Q"}}"#, "sockjs.response_limit: must be a number of bytes"),
            (r#"{"secretKey":"0123456789abcdef","commands":{"chat":{}}}"#, "commands.chat.url: the command \"chat\" needs"),
            (r#"{"secretKey":"0123456789abcdef","limits":{"channelName":true}}"#, "limits.channelName: must be a number"),
        ] {
            let broken = amounts_to(json).unwrap_err();
            assert!(broken.contains(expected), "{json}: {broken}");
        }
    }
    /// What is wrong with the document is told by the keys of the file.
    #[test]
    fn problems_of_the_document_are_told_by_what_was_given() {
        let json = r#"{"secretKey":"0123456789abcdef","channelNames":"all","limits":{"channelName":0},"sockjs":{"prefix":"x"},
            "commands":{"subscribe":{"url":"ftp://x"}}}"#;
        let document = document("config.json", json).unwrap();
        let told = |path: &str| {
            let mut problems = Problems::default();
            problems.add(Problem { path: path.to_owned(), place: Some("config.json:33".to_owned()), text: "is wrong".to_owned() });
            document.explained(&problems.into_broken()).problems()[0].to_string()
        };
        for (path, expected) in [
            ("listeners[0].address", "config.json: host: is wrong"),
            ("apps[0].secret", "config.json: secretKey: is wrong"),
            ("pushy[0].channel_names", "config.json: channelNames: is wrong"),
            ("pushy[0].channel_name_chars", "config.json: limits.channelName: is wrong"),
            ("pushy[0].sockjs.prefix", "config.json: sockjs.prefix: is wrong"),
            ("pushy[0].commands[0].name", "config.json: commands.subscribe: is wrong"),
            ("pushy[0].commands[0].url", "config.json: commands.subscribe.url: is wrong"),
        ] {
            assert_eq!(told(path), expected);
        }
    }
}
