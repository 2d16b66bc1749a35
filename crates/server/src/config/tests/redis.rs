//! Where a Redis is: what can be said of it in a section that has one, what is wrong, and that no password is told.

use super::*;

fn with(more: &str) -> String {
    format!("[[listeners]]\naddress = \"127.0.0.1:1\"\ndialects = [\"wspush\"]\n{APP}[[wspush]]\napp = \"1\"\n{more}\n")
}

/// W-2.8
#[test]
fn everything_can_be_said_of_a_redis() {
    let text = with(
        r#"
        redis = "redis://anna:needle@nobody/3"
        sentinels = ["10.0.0.1:1", "rediss://:thread@s.example"]
        sentinel_master = "main"
        redis_protocol = "resp3"
        redis_ca_file = "pem.pem"
        "#,
    );
    let (config, settings) = read_with(Some(&text), &[]).unwrap();
    let redis = &config.wspush[0].redis;
    let login = |user: Option<&str>, password: &str| Some(RedisLogin { user: user.map(str::to_owned), password: password.to_owned() });
    let server = |host: &str, port, tls, login| RedisServer { host: host.to_owned(), port, tls, login };
    let expected = Redis {
        server: server("nobody", 6379, false, login(Some("anna"), "needle")),
        sentinels: vec![server("10.0.0.1", 1, false, None), server("s.example", 26379, true, login(None, "thread"))],
        master: "main".to_owned(),
        database: 3,
        protocol: RedisProtocol::Resp3,
        ca_file: Some("/etc/t/pem.pem".into()),
    };
    assert_eq!(*redis, expected);
    let told = format!("{}{config:?}", effective(&settings));
    assert!(!told.contains("needle") && !told.contains("thread"), "{told}");
    assert!(told.contains("redis://anna:***@nobody:6379/3") && told.contains("rediss://:***@s.example:26379"), "{told}");
    // A password may be in a file.
    let config = right(&with("redis_file = \"redis-url\""), &[]);
    assert_eq!(config.wspush[0].redis.server, server("h", 6379, false, login(None, "in-a-file")));
}

/// W-2.8
#[test]
fn problems_of_a_redis() {
    for (more, problem) in [
        ("redis = \"h\"", "wspush[0].redis: the port is missing"),
        ("redis = \"redis://anna:needle@h/x\"", "wspush[0].redis: behind the host"),
        ("redis = \"h:1\"\nredis_file = \"redis-url\"", "wspush[0].redis: is given twice"),
        ("redis_file = \"none\"", "wspush[0].redis_file: cannot read /etc/t/none"),
        ("redis_file = \"text.pem\"", "wspush[0].redis_file: this is no address"),
        ("sentinels = [\"h:1\"]", "wspush[0].sentinel_master: is missing"),
        ("sentinel_master = \"main\"", "wspush[0].sentinel_master: nobody is asked for it"),
        ("sentinels = [\"h\"]\nsentinel_master = \"main\"", "wspush[0].sentinels: the port is missing"),
        ("redis_protocol = \"resp4\"", "wspush[0].redis_protocol: \"resp4\" is not known"),
        ("redis_ca_file = \"pem.pem\"", "wspush[0].redis_ca_file: no TLS is spoken"),
        ("redis = \"rediss://h\"\nredis_ca_file = \"text.pem\"", "wspush[0].redis_ca_file: /etc/t/text.pem holds no certificate"),
        ("redis = \"rediss://h\"\nredis_ca_file = \"none.pem\"", "wspush[0].redis_ca_file: cannot read /etc/t/none.pem"),
    ] {
        let told = wrong(&with(more), &[]);
        assert!(told.contains(problem) && !told.contains("needle"), "{more}\n{told}");
    }
}
