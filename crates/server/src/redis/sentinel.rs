//! Where the master is now: the sentinels are asked in turn, and the server is asked whether it knows of it.

use super::Fault;
use super::dial::{AnyLink, Manner, ask, dial};
use crate::config::{Redis, RedisProtocol, RedisServer};
use redis::{Value, cmd};

/// More than any answer of a sentinel to what it is asked here.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A connection to the master, and where it is.
pub(super) async fn find(redis: &Redis, manner: &Manner<'_>) -> Result<(AnyLink, String), Fault> {
    let mut fault = Fault::NoMaster;
    for sentinel in &redis.sentinels {
        match through(sentinel, redis, manner).await {
            Ok(found) => return Ok(found),
            // Why the last one could not help is as good as why another could not.
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

async fn through(sentinel: &RedisServer, redis: &Redis, manner: &Manner<'_>) -> Result<(AnyLink, String), Fault> {
    let plain = Manner { protocol: RedisProtocol::Resp2, database: 0, ca_file: manner.ca_file, value_bytes_max: ANSWER_BYTES_MAX };
    let mut link = dial(sentinel, &plain).await?;
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(&redis.master);
    let (host, port) = place(ask(&mut link, "SENTINEL", &question).await?).ok_or(Fault::NoMaster)?;
    let master = RedisServer { host, port, ..redis.server.clone() };
    let mut link = dial(&master, manner).await?;
    match ask(&mut link, "ROLE", &cmd("ROLE")).await {
        Ok(role) if !is_master(&role) => Err(Fault::NoMaster),
        // A user may not be allowed to ask.
        Ok(_) | Err(Fault::Refused { .. }) => Ok((link, master.address())),
        Err(fault) => Err(fault),
    }
}

/// Nothing if the sentinel knows of no such master.
fn place(answer: Value) -> Option<(String, u16)> {
    let (host, port): (String, u16) = redis::from_redis_value(answer).ok()?;
    Some((host, port))
}

fn is_master(role: &Value) -> bool {
    matches!(role, Value::Array(parts) if matches!(parts.first(), Some(Value::BulkString(role)) if role == b"master"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let value = |text: &[u8]| redis::parse_redis_value(text).unwrap();
        let found = place(value(b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n"));
        assert_eq!(found, Some(("127.0.0.1".to_owned(), 6379)));
        assert_eq!(place(value(b"*-1\r\n")), None);
        assert_eq!(place(value(b"*2\r\n$1\r\nh\r\n$5\r\n65536\r\n")), None);
        assert!(is_master(&value(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")));
        assert!(!is_master(&value(b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$7\r\nconnect\r\n:0\r\n")));
    }
}
