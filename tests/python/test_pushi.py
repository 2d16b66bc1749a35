"""Pushi's own Python library, `pushi`, unmodified: every call of its REST client."""

import json
import os
import unittest

os.environ["HTTP_CLIENT"] = "legacy"  # else it would install an HTTP client while it runs

import appier
import pushi

from server import HOST, Server, Subscriber

HOOK = "https://hook.example/x"
PUSH = "https://push.example/1"
VAPID = (
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmPhEQwCf/kmoJ7YN\n"
    "wBZyYJRYJ9wFQ9sInk9Owt3dHlShRANCAAT5XhTgV0/gPUnN5R/6WPh5EValWs1x\n"
    "9QNB8VlspS0MfyM8nRMKou7ZRptBrG0SXYwIGMT89pqtQQ3V/L49E+qP\n"
    "-----END PRIVATE KEY-----\n"
)


class Pushi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(pushi=True)
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.api = self.client()

    def client(self, **options):
        server = self.server
        options = {"app_id": server.app_id, "app_key": server.key, "app_secret": server.secret, **options}
        return pushi.API(base_url=f"http://{HOST}:{server.port}/", **options)

    def subscriber(self):
        subscriber = Subscriber(self.server, f"/{self.server.key}")
        self.addCleanup(subscriber.close)
        return subscriber

    def refused(self, code, call, *args, **options):
        with self.assertRaises(appier.HTTPError) as caught:
            call(*args, **options)
        self.assertEqual(caught.exception.code, code)

    def test_login_comes_by_itself(self):
        """I-4.4 I-4.5 I-4.6 I-7.6: calls log in when they have to, and again after a logout."""
        self.assertIsNone(self.api.token)
        self.assertEqual(self.api.trigger_event("global", "a"), {"result": "success"})
        token = self.api.token
        self.assertRegex(token, "^[0-9a-f]{64}$")
        self.api.logout()
        self.assertEqual(self.api.trigger_event("global", "b"), {"result": "success"})
        self.refused(403, self.client(app_secret="wrong").login)
        self.refused(403, self.client(app_id="nobody").login)

    def test_trigger(self):
        """I-4.18 I-4.20 I-1.9 I-2.14 I-2.15: texts and objects, one channel and several, stored or not, with what else is said."""
        reader = self.subscriber()
        reader.subscribe("news")
        reader.subscribe("sport")
        for data, text in [("höher 😀", "höher 😀"), ({"a": [1, "é"]}, None), (5, "5"), (True, "true")]:
            self.api.trigger_event("news", data)
            message = reader.next("message")
            self.assertEqual(message["data"] if text else json.loads(message["data"]), text or data)
            self.assertEqual((message["channel"], message["persist"]), ("news", True))
            self.assertIn("mid", message)
        self.api.trigger_event(["sport", "news", "sport"], "both", event="two", persist=False, push="short")
        message = reader.next("two")
        self.assertEqual((message["channel"], message["push"], message["persist"]), ("sport", "short", False))
        self.assertNotIn("mid", message)
        self.api.trigger_event("news", "last")
        self.assertEqual(reader.next("message")["data"], "last")
        self.assertEqual([one for one in reader.kept if one["event"] == "two"], [], "once")
        self.refused(400, self.api.trigger_event, "news", "")
        self.refused(400, self.api.trigger_event, "news", "x", event="pusher:subscribe")
        self.refused(400, self.api.trigger_event, "#x", "x")

    def test_authenticate(self):
        """I-2.2 I-7.6: the library's signatures open channels."""
        reader = self.subscriber()
        for channel in ("private-a", "presence-a", "personal-u", "peer-a:u&v", "private-café"):
            record = reader.subscribe(channel, {"auth": self.api.authenticate(channel, reader.socket_id)})
            self.assertEqual((record["name"], record["events"]), (channel, []))

    def test_subscriptions(self):
        """I-2.9 I-3.2 I-3.6 I-4.22 I-4.23 I-4.24: what a user follows reaches it at once, and is kept for it while it is away."""
        record = self.api.subscribe("u1", "private-vip")
        self.assertEqual((record["user_id"], record["event"]), ("u1", "private-vip"))
        self.assertEqual(self.api.subscribe("u1", "private-vip")["id"], record["id"], "once")
        self.api.trigger_event("private-vip", "away")
        reader = self.subscriber()
        channel = "personal-u1"
        told = reader.subscribe(channel, {"auth": self.api.authenticate(channel, reader.socket_id)})
        self.assertEqual(told["alias"], ["private-vip"])
        self.assertEqual([event["data"]["data"] for event in told["events"]], ["away"])
        self.api.subscribe("u1", "later")
        self.api.trigger_event("later", "here")
        self.assertEqual(reader.next("message")["channel"], "later")
        self.assertEqual(self.api.unsubscribe("u1", "later")["event"], "later")
        self.api.trigger_event(["later", "private-vip"], "there")
        self.assertEqual(reader.next("message")["channel"], "private-vip")

    def test_apps(self):
        """I-4.11 I-4.14 I-4.15 I-4.38: apps are made, serve at once, and change; a key for web push tells its public half."""
        made = self.api.create_app("shop")
        other = pushi.API(
            app_id=made["ident"], app_key=made["key"], app_secret=made["secret"], base_url=f"http://{HOST}:{self.server.port}/"
        )
        self.assertEqual(other.trigger_event("global", "first"), {"result": "success"})
        self.refused(400, self.api.create_app, "shop")
        self.refused(400, other.get_vapid_public_key)
        changed = other.update_app(vapid_key=VAPID, vapid_email="ops@example.org")
        self.assertEqual((changed["vapid_key"], changed["vapid_email"], changed["ident"]), ("***", "ops@example.org", made["ident"]))
        self.assertRegex(other.get_vapid_public_key()["vapid_public_key"], "^B[A-Za-z0-9_-]{86}$")
        reader = self.subscriber()
        reader.subscribe("global")
        other.trigger_event("global", "not for us")
        self.api.trigger_event("global", "for us")
        self.assertEqual(reader.next("message")["data"], "for us")

    def test_webs(self):
        """I-4.31 I-4.33 I-4.34 I-4.36: hooks are registered, for channels that need it with a signature, and removed by their URL as it is."""
        self.assertEqual(self.api.create_web(HOOK, "news")["url"], HOOK)
        self.refused(400, self.api.create_web, HOOK, "private-a")
        auth = self.api.authenticate("private-a", HOOK)
        self.assertEqual(self.api.create_web(HOOK, "private-a", auth=auth, unsubscribe=False)["event"], "private-a")
        self.assertEqual(self.api.delete_web(HOOK, "news")["event"], "news")
        self.assertEqual(self.api.delete_web(HOOK, "news"), {"result": "success"})
        self.assertEqual(self.api.delete_web(HOOK, "private-a")["event"], "private-a")
        self.refused(400, self.api.create_web, "ftp://x", "news")

    def test_devices_and_addresses(self):
        """I-4.30 I-4.32 I-4.34 I-4.35: the same for devices and addresses; a new registration takes the place of the old ones."""
        for create, delete, delete_all, listed, field, target in (
            (self.api.create_apn, self.api.delete_apn, self.api.delete_apns, self.api.list_apns, "token", "aabbccdd"),
            (self.api.create_smtp, self.api.delete_smtp, self.api.delete_smtps, self.api.list_smtps, "email", "a@example.org"),
        ):
            create(target, "one")
            create(target, "two")
            found = listed(**{field: target})["subscriptions"]
            self.assertEqual([(one[field], one["event"]) for one in found], [(target, "two")], "the first has gone")
            create(target, "three", unsubscribe=False)
            self.assertEqual(delete(target, "two")["event"], "two")
            self.assertEqual(delete(target, "two"), {"result": "success"})
            self.refused(404, delete, target, "two", force=True)
            self.assertEqual([one["event"] for one in delete_all(target)["subscriptions"]], ["three"])
            self.assertEqual(listed()["subscriptions"], [])

    def test_web_pushes(self):
        """I-4.37: browsers."""
        self.assertEqual(self.api.create_web_push(PUSH, "P", "A", "news")["p256dh"], "P")
        self.assertEqual(len(self.api.list_web_pushes(endpoint=PUSH)["subscriptions"]), 1)
        self.assertEqual(self.api.delete_web_push(PUSH, "news")["endpoint"], PUSH)
        self.api.create_web_push(PUSH, "P", "A", "news")
        self.assertEqual(len(self.api.delete_web_pushes(PUSH)["subscriptions"]), 1)

    def test_nothing_is_sent_to_devices_yet(self):
        """Direct messages are answered 501 until there is somebody who sends them."""
        self.refused(501, self.api.send_messaging, ["webhook"], data={"a": 1}, webhook_urls=[HOOK])
        self.refused(501, self.api.send_messaging_apn, ["aa"], "m")
        self.refused(501, self.api.send_messaging_email, "a@example.org", "s", "b")
        self.refused(501, self.api.send_messaging_webhook, [HOOK], {"a": 1})
        self.refused(501, self.api.send_messaging_web_push, message="m", endpoint=PUSH, p256dh="P", auth="A")


if __name__ == "__main__":
    unittest.main()
