//! What the statistics say, and what they do not.

use super::{list, text, vectors};
use crate::wspush::statistics::{Counts, Memory, vars};
use serde_json::Value;

fn counted(vector: &Value) -> Counts {
    let sample: Value = serde_json::from_str(text(vector, "sample")).unwrap();
    let count = |name: &str| sample[name].as_u64().unwrap();
    Counts {
        sessions_seen: count("sessions_seen"),
        messages_seen: count("messages_seen"),
        successful_deliveries: count("successful_deliveries"),
        redis_connected: true,
        ..Counts::default()
    }
}

fn arguments(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// W-9.1, W-9.3
#[test]
fn the_vector_is_written() {
    let vector = &vectors()["expvar"];
    let body = vars(&arguments("tidings wspush -prefix a\"b"), Memory { alloc: 5, sys: 9 }, &counted(vector));
    let (sample, key) = (text(vector, "sample").trim_end_matches('}'), text(vector, "key"));
    let expected = format!(
        "{{\n\"cmdline\": [\"tidings\",\"wspush\",\"-prefix\",\"a\\\"b\"],\n\
         \"memstats\": {{\"Alloc\":5,\"Sys\":9,\"HeapAlloc\":5,\"NumGC\":0}},\n\
         \"{key}\": {sample}, \"sessions_open\": 0, \"sessions_refused\": 0, \"dropped\": 0, \"closed_slow\": 0, \"invalid_utf8\": 0, \
         \"redis_connected\": 1, \"redis_reconnects\": 0}}\n}}\n"
    );
    assert_eq!(body, expected);
    serde_json::from_str::<Value>(&body).unwrap();
    let places: Vec<_> = list(vector, "fields_in_order").iter().map(|name| body.find(&name.to_string())).collect();
    assert!(places[0].is_some() && places.is_sorted(), "{places:?}");
}

/// W-9.2, W-10.7
#[test]
fn secrets_are_covered() {
    for (given, shown) in [
        ("t -hmac c2Vj -prefix a", "t -hmac *** -prefix a"),
        ("t --hmac c2Vj", "t --hmac ***"),
        ("t -hmac=c2Vj", "t -hmac=***"),
        ("t --hmac-sha256=c2Vj -compat", "t --hmac-sha256=*** -compat"),
        ("t -hmac-sha256 -hmac -hmac c2Vj", "t -hmac-sha256 *** -hmac ***"),
        ("t -hmac", "t -hmac"),
        ("t -redis localhost:6379", "t -redis localhost:6379"),
        ("t -redis rediss://u:p@s@h:1/2", "t -redis rediss://***@h:1/2"),
        ("t -redis=:p@h:1", "t -redis=***@h:1"),
        ("t -redis redis://h:1", "t -redis redis://h:1"),
        ("t -ping a@b", "t -ping a@b"),
        ("", ""),
    ] {
        let body: Value = serde_json::from_str(&vars(&arguments(given), Memory::default(), &Counts::default())).unwrap();
        assert_eq!(body["cmdline"], serde_json::json!(arguments(shown)), "{given}");
    }
}
