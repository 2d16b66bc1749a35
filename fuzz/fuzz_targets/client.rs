//! What comes to a client, one text per line: messages of a server, envelopes of encrypted events, bodies of webhooks with the right signature
//! and with a wrong one. What we seal ourselves must open again, with the right secret alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_client::{Key, MasterKey, ServerUrl, SharedSecret, Webhook, WebhookHeaders};
use tidings_dialect::auth;
use tidings_dialect::pusher::codec::{ServerMessage, decode_server};

fuzz_target!(|bytes: &[u8]| {
    let master = MasterKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("32 bytes");
    let (secret, other) = (master.shared_secret("private-encrypted-a"), master.shared_secret("private-encrypted-b"));
    let keys = [Key { key: "key".into(), secret: "secret".into() }];
    for line in bytes.split(|byte| *byte == b'\n') {
        let sign = |body: &[u8]| auth::sign("secret", &[body]).to_string();
        for signature in [sign(line), sign(b"another body")] {
            let headers = WebhookHeaders { content_type: "application/json", key: "key", signature: &signature };
            let _ = Webhook::verify(headers, line, &keys);
        }
        let Ok(text) = std::str::from_utf8(line) else { continue };
        if let Ok(message) = decode_server(text) {
            // What is understood can be said again, and means the same.
            if !matches!(message, ServerMessage::SubscriptionSucceeded { .. }) {
                let again = message.encode();
                let again = std::str::from_utf8(&again).expect("a message is text");
                assert_eq!(decode_server(again).as_ref(), Ok(&message));
            }
        }
        let _ = secret.open(text);
        let envelope = secret.seal(line, [7; 24]);
        assert_eq!(secret.open(&envelope).as_deref(), Ok(text));
        assert!(other.open(&envelope).is_err());
        let _ = SharedSecret::from_base64(text);
        let _ = text.parse::<ServerUrl>();
    }
});
