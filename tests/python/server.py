"""The binary under test and what stands around it: a bare subscriber and a receiver of webhooks."""

import hashlib
import hmac
import http.server
import json
import os
import pathlib
import queue
import random
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import websocket
from pusher import Pusher

HOST = "127.0.0.1"
DEADLINE = 20
ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = os.environ.get("TIDINGS_BIN", str(TARGET / "debug" / "tidings"))


def free_port():
    """A port below the range that the kernel gives to outgoing connections, so nothing takes it before the server does."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue


class Server:
    """A running server with one app; `settings` are further lines of its `[[apps]]` table. With `pushi` it speaks Pushi alone."""

    def __init__(self, settings="", pushi=False):
        self.port = free_port()
        self.app_id = secrets.token_hex(32) if pushi else str(random.randrange(1_000, 1_000_000_000))
        self.key = secrets.token_hex(32 if pushi else 10)
        self.secret = secrets.token_hex(16)
        dialects = '"pushi", "pushi-api"' if pushi else '"pusher"'
        more = '[store]\nurl = "memory:"\n[[pushi]]\nopen_apps = true\n' if pushi else ""
        self.folder = tempfile.TemporaryDirectory(prefix="tidings-")
        configuration = pathlib.Path(self.folder.name, "tidings.toml")
        configuration.write_text(
            f'[[listeners]]\naddress = "{HOST}:{self.port}"\ndialects = [{dialects}]\n\n{more}'
            f'[[apps]]\nid = "{self.app_id}"\nkey = "{self.key}"\nsecret = "{self.secret}"\nclient_events = true\n{settings}\n',
            encoding="utf-8",
        )
        self.log = open(pathlib.Path(self.folder.name, "log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [BINARY, "--config", str(configuration)], cwd=self.folder.name, stdout=self.log, stderr=subprocess.STDOUT
        )
        self._ready()

    def _ready(self):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{HOST}:{self.port}/ready", timeout=DEADLINE):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.02)
        self.log.seek(0)
        text = self.log.read()
        self.stop()
        raise RuntimeError(f"the server was not ready:\n{text}")

    def api(self, **options):
        """The library of the field, pointed at this server."""
        options = {"app_id": self.app_id, "key": self.key, "secret": self.secret, **options}
        return Pusher(host=HOST, port=self.port, ssl=False, **options)

    def stop(self):
        """Drains the server; one that does not end is killed and reported."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()
            self.folder.cleanup()


class Subscriber:
    """A connection that keeps what it reads until somebody asks for it."""

    def __init__(self, server, path=None):
        self.server = server
        path = path or f"/app/{server.key}?protocol=7&client=python&version=1"
        self.socket = websocket.create_connection(f"ws://{HOST}:{server.port}{path}", timeout=DEADLINE)
        self.kept = []
        self.socket_id = json.loads(self.next("pusher:connection_established")["data"])["socket_id"]

    def next(self, event):
        """The next message with this event name; others wait for their turn."""
        for place, message in enumerate(self.kept):
            if message["event"] == event:
                return self.kept.pop(place)
        while True:
            text = self.socket.recv()
            if not text:
                raise AssertionError(f"closed while waiting for {event}; kept: {self.kept}")
            message = json.loads(text)
            if message["event"] == event:
                return message
            self.kept.append(message)

    def send(self, event, data):
        self.socket.send(json.dumps({"event": event, "data": data}))

    def subscribe(self, channel, answer=None):
        """Subscribes with the answer of an auth endpoint, and returns the confirmation's data."""
        self.send("pusher:subscribe", {"channel": channel, **(answer or {})})
        return json.loads(self.next("pusher_internal:subscription_succeeded")["data"])

    def signin(self, answer):
        self.send("pusher:signin", answer)
        return self.next("pusher:signin_success")

    def close_code(self):
        """Reads up to the close frame of the server and returns its code."""
        while True:
            opcode, frame = self.socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(frame[:2], "big")

    def close(self):
        self.socket.close()


class Hooks:
    """Takes webhooks on a port of its own."""

    def __init__(self):
        self.requests = requests = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                requests.put((self.headers, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.http.server_address[1]}/hooks"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def next(self):
        return self.requests.get(timeout=DEADLINE)

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def signature(secret, text):
    """Lower-case hex HMAC-SHA256 (P-6.1), computed apart from the library under test."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
