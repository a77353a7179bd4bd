"""What strangers and bad networks send: nothing ends the server, and the next is answered."""

import asyncio
import base64
import io
import json
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import quote

import psutil
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from served import Client, serving, shapes_workspace

from csa.serving.app import application
from csa.serving.guard import Door, Guard
from csa.serving.measured import Measured
from csa.serving.patience import configured

pytestmark = pytest.mark.usefixtures("local_registry")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    ws = shapes_workspace(tmp_path_factory.mktemp("faults") / "repo", ({"score": "canonical"},))
    with serving(ws.root) as client:
        client.ws = ws
        yield client


def png(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


SMALL = base64.b64encode(png(8, 8)).decode()
PATHS = ("embed", "score", "search", "classify")
WORDS = st.sampled_from(
    [
        *("text", "image", "items", "pairs", "query", "like", "labels", "top", "into", "split"),
        *("pair", "view", "alpha", "templates", "red-circle", "a red circle", "{label}", "{", ""),
        SMALL,
    ]
)
LEAVES = (
    WORDS
    | st.text(max_size=20)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.lists(st.floats(), max_size=3)
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["items", "pairs", "query", "like", "labels", "top", "into", "alpha"])
CELLS = st.lists(st.sampled_from(["a red circle", SMALL, "x", [1.0] * 384]), max_size=3)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "items": st.dictionaries(st.sampled_from(["text", "image", "no"]), CELLS, max_size=3),
        "query": st.dictionaries(st.sampled_from(["text", "image", "no"]), CELLS, max_size=2),
        "pairs": st.lists(st.fixed_dictionaries({"text": LEAVES, "image": LEAVES}), max_size=2),
        "like": st.fixed_dictionaries({"pair": WORDS, "view": WORDS}),
        "labels": st.lists(WORDS, max_size=4),
        "templates": st.lists(WORDS, max_size=2),
        "top": st.integers(-1, 300),
        "into": WORDS,
        "split": WORDS,
        "label": st.text(max_size=5),
        "alpha": st.floats(),
    },
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(PATHS), NEARLY | ANYTHING | st.dictionaries(KEYS, ANYTHING, max_size=3))
def test_any_body_gets_an_answer_or_one_sentence(served, path, body):
    raw = json.dumps(body).encode("utf-8", "surrogatepass")
    status, told, _ = served.ask(f"/v1/{path}", raw=raw)
    assert status in (200, 400, 422), (status, told)
    assert set(told) == {"error"} if status != 200 else told["version"] in (1, 2)
    assert served.process.poll() is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=60), st.binary(max_size=200))
def test_any_bytes_get_an_answer(served, path, content):
    for line in (f"GET /{path!a} HTTP/1.1".encode(), b"POST /v1/embed HTTP/1.1", content):
        head = line + b"\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(content)
        with socket.create_connection(address_of(served), timeout=30) as sent:
            sent.sendall(head + content)
            sent.shutdown(socket.SHUT_WR)
            while sent.recv(65536):
                pass
    assert served.ask("/healthz")[0] == 200


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(["image", "text", "no", ".."]) | st.text(max_size=9),
    st.sampled_from(["picture", "sound", "path"]),
    WORDS | st.sampled_from(["../../params.yaml", "/etc/passwd", "red-circle\0"]) | st.text(),
)
def test_any_item_is_an_item_or_one_sentence(served, view, kind, pair):
    path = "/".join(quote(part, errors="surrogatepass") for part in (view, kind, pair))
    status, told, headers = served.ask(f"/v1/items/{path}")
    assert status in (200, 404, 422), (status, told)
    if status == 200:
        assert headers["Content-Type"] == "image/jpeg" and (view, kind) == ("image", "picture")
    else:
        assert set(told) == {"error"}
    assert served.process.poll() is None


def address_of(client):
    host, _, port = client.address.removeprefix("http://").rpartition(":")
    return host, int(port)


def test_bombs_are_refused_and_take_no_memory(served):
    bomb = base64.b64encode(png(8000, 7000)).decode()  # 168 MB of pixels in some 160 KB
    status, told, _ = served.ask("/v1/embed", {"items": {"image": [bomb]}})
    assert status == 422 and "pixels" in told["error"]
    large = base64.b64encode(png(3000, 3000)).decode()  # 27 MB each, 1.7 GB together
    process = psutil.Process(served.process.pid)
    peak, ended = [process.memory_info().rss], threading.Event()

    def watch():
        while not ended.wait(0.01):
            peak.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    status, told, _ = served.ask("/v1/embed", {"items": {"image": [large] * 64}})
    ended.set()
    watcher.join()
    assert status == 200 and len(told["vectors"]["image"]) == 64
    assert max(peak) - peak[0] < 600 << 20
    for wrong in (b"GIF89a" + bytes(1000), png(8, 8)[:40], b"RIFF\xff\xff\xff\xffWEBP", b"<svg/>"):
        body = {"items": {"image": [base64.b64encode(wrong).decode()]}}
        assert served.ask("/v1/embed", body)[0] == 422


class Now:
    """Stands for a follower where nobody asks the model anything."""

    now = SimpleNamespace(number=1, encoders={})
    trouble, taken_over = None, 0

    def end(self):
        """Nothing is followed."""


@pytest.fixture
def impatient():
    """The real application and connections, with little patience and little room."""
    door = Door(seconds=0.3, body=1 << 20)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)
        server = uvicorn.Server(configured(application(Now(), door), door.seconds))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = listening.getsockname()[1]
        yield Client(f"http://127.0.0.1:{port}")
        server.should_exit = True
        thread.join()


def said(sent):
    """All that the server says until it closes."""
    parts = []
    try:
        while part := sent.recv(65536):
            parts.append(part)
    except ConnectionResetError:  # it closed while something of ours was on its way
        pass
    return b"".join(parts)


def test_slow_clients_are_told_so_and_leave(impatient):
    address = address_of(impatient)
    with socket.create_connection(address, timeout=30) as silent:
        assert said(silent) == b""
    with socket.create_connection(address, timeout=30) as slow:  # a head that never ends
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
        assert said(slow) == b""
    with socket.create_connection(address, timeout=30) as slow:  # a body that never ends
        slow.sendall(b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = said(slow)
        assert answer.startswith(b"HTTP/1.1 408") and b"did not arrive whole" in answer
    with socket.create_connection(address, timeout=30) as chunked:  # a length that nobody told
        chunked.sendall(b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(17):
                chunked.sendall(piece)
            assert said(chunked)[:12] in (b"", b"HTTP/1.1 413")
        except (BrokenPipeError, ConnectionResetError):
            assert said(chunked)[:12] in (b"", b"HTTP/1.1 413")
    assert impatient.ask("/healthz")[0] == 200


def test_many_connections_keep_nobody_out(impatient):
    idle = [socket.create_connection(address_of(impatient), timeout=30) for _ in range(600)]
    assert impatient.ask("/healthz")[0] == 200
    for one in idle:
        assert said(one) == b""  # closed, as it said nothing
        one.close()
    assert impatient.ask("/healthz")[0] == 200


async def asked_of(guard, parts):
    """The status of a POST whose body comes in parts; a part may be a future of one."""
    statuses, left = [], list(parts)

    async def receive():
        part = left.pop(0)
        part = part if isinstance(part, bytes) else await part
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": "/v1/embed", "headers": []}
    await guard(scope, receive, send)
    return statuses


def test_bodies_together_take_no_more_than_their_room():
    async def answers(scope, receive, send):
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": len(body) // 1000, "headers": []})

    async def work():
        guard = Guard(answers, Door(body=1_000_000, bodies=1_500_000), Measured())
        rest = asyncio.get_running_loop().create_future()
        held = [asyncio.create_task(asked_of(guard, [b"x" * 600_000, rest])) for _ in range(2)]
        await asyncio.sleep(0)
        assert await asked_of(guard, [b"x" * 600_000]) == [429]
        rest.set_result(b"")
        assert await asyncio.gather(*held) == [[600], [600]]
        assert await asked_of(guard, [b"x" * 700_000]) == [700]  # there is room again
        assert await asked_of(guard, [b"x" * 600_000, b"x" * 600_000]) == [413]

    asyncio.run(work())
