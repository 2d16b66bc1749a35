"""The official Python server library, `pusher`, against the HTTP API, the signatures and the webhooks."""

import json
import unittest

from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus

from server import Hooks, Server, Subscriber, signature


class WithServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)
        cls.api = cls.server.api()

    def subscriber(self):
        subscriber = Subscriber(self.server)
        self.addCleanup(subscriber.close)
        return subscriber


class Publishing(WithServer):
    def test_trigger(self):
        """P-11.1 P-10.4 P-10.9 P-20.15: text and objects arrive as published, on several channels."""
        reader = self.subscriber()
        reader.subscribe("one")
        reader.subscribe("two")
        self.assertEqual(self.api.trigger(["one", "two"], "App\\Event", {"text": "höher 😀", "n": 1}), {})
        for channel in ("one", "two"):
            message = reader.next("App\\Event")
            self.assertEqual(message["channel"], channel)
            self.assertEqual(json.loads(message["data"]), {"text": "höher 😀", "n": 1})
        self.api.trigger("one", "plain", "just text")
        self.assertEqual(reader.next("plain")["data"], "just text")

    def test_trigger_except(self):
        """P-11.3: the connection named by socket_id is left out."""
        sender, reader = self.subscriber(), self.subscriber()
        for one in (sender, reader):
            one.subscribe("except")
        self.api.trigger("except", "said", "hello", socket_id=sender.socket_id)
        self.api.trigger("except", "fence", "end")
        self.assertEqual(reader.next("said")["data"], "hello")
        sender.next("fence")
        self.assertNotIn("said", [message["event"] for message in sender.kept])

    def test_batch(self):
        """P-11.9 P-11.10: ten events of a batch arrive in order; eleven are refused (P-18.5)."""
        reader = self.subscriber()
        reader.subscribe("batch")
        events = [{"channel": "batch", "name": "e", "data": f"{n}"} for n in range(10)]
        self.assertEqual(self.api.trigger_batch(events), {})
        self.assertEqual([reader.next("e")["data"] for _ in range(10)], [f"{n}" for n in range(10)])
        with self.assertRaises(PusherBadRequest) as refusal:
            self.api.trigger_batch([*events, events[0]])
        self.assertIn("Batch too large (11 > 10)", str(refusal.exception))

    def test_too_much_data(self):
        """P-18.3: one byte over 10,240 is refused with 413."""
        self.api.trigger("big", "e", "x" * 10_240)
        with self.assertRaises(PusherBadStatus) as refusal:
            self.api.trigger("big", "e", "x" * 10_241)
        self.assertIn("413", str(refusal.exception))

    def test_wrong_secret(self):
        """P-10.7: a wrong secret and an unknown app id are 401."""
        for options in ({"secret": "wrong"}, {"app_id": "1"}, {"key": "nobody"}):
            with self.assertRaises(PusherBadAuth):
                self.server.api(**options).trigger("c", "e", "d")


class Asking(WithServer):
    def test_channels_and_users(self):
        """P-11.5 P-11.6 P-11.8 P-10.5: the library signs GET requests with the MD5 of an empty body."""
        first, second = self.subscriber(), self.subscriber()
        for reader, user in ((first, "a"), (second, "b")):
            answer = self.api.authenticate("presence-ask", reader.socket_id, {"user_id": user, "user_info": {"n": user}})
            reader.subscribe("presence-ask", answer)
        first.subscribe("ask-plain")
        self.assertEqual(
            self.api.channels_info("presence-", ["user_count"]), {"channels": {"presence-ask": {"user_count": 2}}}
        )
        self.assertEqual(self.api.channels_info("ask-"), {"channels": {"ask-plain": {}}})
        self.assertEqual(
            self.api.channel_info("presence-ask", ["user_count", "subscription_count"]),
            {"occupied": True, "user_count": 2, "subscription_count": 2},
        )
        self.assertEqual(self.api.channel_info("ask-nobody"), {"occupied": False})
        users = self.api.users_info("presence-ask")["users"]
        self.assertEqual(sorted(user["id"] for user in users), ["a", "b"])

    def test_refusals(self):
        """P-10.12: the wording of a refusal reaches the caller."""
        with self.assertRaises(PusherBadRequest) as refusal:
            self.api.users_info("plain")
        self.assertIn("Users can only be retrieved for presence channels", str(refusal.exception))
        with self.assertRaises(PusherBadRequest):
            self.api.channels_info(None, ["user_count"])


class Users(WithServer):
    def test_send_to_user_and_terminate(self):
        """P-15.1 P-15.6 P-11.15 P-11.16: the library terminates by a path without the app."""
        user, other = self.subscriber(), self.subscriber()
        user.signin(self.api.authenticate_user(user.socket_id, {"id": "u1", "user_info": {"name": "Una"}}))
        other.signin(self.api.authenticate_user(other.socket_id, {"id": "u2"}))
        user.subscribe("#server-to-user-u1")
        self.api.send_to_user("u1", "note", {"a": 1})
        self.assertEqual(json.loads(user.next("note")["data"]), {"a": 1})
        self.assertEqual(self.api.terminate_user_connections("u1"), {})
        self.assertEqual(user.next("pusher:error")["data"]["code"], 4009)
        self.assertEqual(user.close_code(), 4009)
        other.subscribe("still-here")


class Signing(WithServer):
    def test_channels(self):
        """P-6.3 P-7.3: what the library signs opens private and presence channels."""
        reader = self.subscriber()
        reader.subscribe("private-signed", self.api.authenticate("private-signed", reader.socket_id))
        answer = self.api.authenticate("presence-signed", reader.socket_id, {"user_id": "u", "user_info": {"name": "ö"}})
        presence = reader.subscribe("presence-signed", answer)["presence"]
        self.assertEqual(presence, {"ids": ["u"], "hash": {"u": {"name": "ö"}}, "count": 1})

    def test_forged(self):
        """P-5.8 P-5.9: what another secret signs does not."""
        reader = self.subscriber()
        answer = self.server.api(secret="other").authenticate("private-forged", reader.socket_id)
        reader.send("pusher:subscribe", {"channel": "private-forged", **answer})
        self.assertEqual(reader.next("pusher:subscription_error")["data"]["status"], 401)
        self.assertIsNone(reader.next("pusher:error")["data"]["code"])

    def test_encrypted(self):
        """P-9.1 P-9.3: an encrypted event passes as it was sealed."""
        master = "VGhpcyBpcyBhIHRlc3Qga2V5IG9mIDMyIGJ5dGVzISE="
        api = self.server.api(encryption_master_key_base64=master)
        reader = self.subscriber()
        answer = api.authenticate("private-encrypted-vault", reader.socket_id)
        reader.subscribe("private-encrypted-vault", {"auth": answer["auth"]})
        api.trigger("private-encrypted-vault", "sealed", {"pin": 1234})
        sealed = json.loads(reader.next("sealed")["data"])
        self.assertEqual(sorted(sealed), ["ciphertext", "nonce"])


class Webhooks(unittest.TestCase):
    def test_validate_webhook(self):
        """P-12.1 P-12.2 P-12.3 P-12.4: the library takes a webhook of the server and refuses it spoiled."""
        hooks = Hooks()
        self.addCleanup(hooks.stop)
        server = Server(f'webhook_private_targets = true\nwebhooks = [{{ url = "{hooks.url}", events = ["channel_occupied"] }}]')
        self.addCleanup(server.stop)
        reader = Subscriber(server)
        self.addCleanup(reader.close)
        reader.subscribe("hooked")
        headers, body = hooks.next()
        self.assertEqual(headers["X-Pusher-Signature"], signature(server.secret, body))
        key, sign = headers["X-Pusher-Key"], headers["X-Pusher-Signature"]
        hook = server.api().validate_webhook(key, sign, body)
        self.assertEqual(hook["events"], [{"name": "channel_occupied", "channel": "hooked"}])
        self.assertIsNone(server.api().validate_webhook(key, sign, body.replace("hooked", "forged")))
        self.assertIsNone(server.api(secret="other").validate_webhook(key, sign, body))


if __name__ == "__main__":
    unittest.main()
