"""The server of the page, over real HTTP on this machine, with a stand-in for the network."""

import errno
import http.client
import itertools
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import pytest
import uvicorn

from peclr_jax.errors import MachineError, UserError
from peclr_jax.pages import server


class StandIn:
    """Answers what it is asked, and knows how many asked at a time."""

    def __init__(self):
        self.asked, self.at_a_time, self.most = [], 0, 0
        self.was_asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, content, name, handedness):
        self.at_a_time += 1
        self.most = max(self.most, self.at_a_time)
        self.asked.append((content, name, handedness))
        self.was_asked.set()
        self.goes_on.wait()
        self.at_a_time -= 1
        if content == b"fault":
            raise ZeroDivisionError
        if content == b"broken":
            raise UserError("it is broken")
        return {"bytes": len(content), "name": name, "handedness": handedness}


class Announcing(uvicorn.Server):
    """Says when it has started, and gives back what it was asked with."""

    def __init__(self, config):
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.is_up.set()


@contextmanager
def serving(predict, monkeypatch) -> Iterator[int]:
    """Serves the page as the command does, on any free port, which is yielded."""
    made = []

    def make(config):
        made.append(Announcing(config))
        return made[0]

    monkeypatch.setattr(uvicorn, "Server", make)
    with server.listen(0) as listener:
        app = server.application(predict)
        thread = threading.Thread(target=server.serve, args=(app, listener))
        thread.start()
        try:
            while not made:
                thread.join(0.01)
            made[0].is_up.wait()
            yield listener.getsockname()[1]
        finally:
            made[0].should_exit = True
            thread.join()


@pytest.fixture
def network():
    return StandIn()


@pytest.fixture
def ask(network, monkeypatch):
    """Sends a request; returns status, headers and the JSON or text of the answer."""
    with serving(network, monkeypatch) as port:

        def request(path="/predict", body=b"a photo", method="POST", **headers):
            connection = http.client.HTTPConnection(server.HOST, port, timeout=60)
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers["Content-Type"] == "application/json"
            connection.close()
            return answer.status, answer.headers, json.loads(text) if is_json else text

        request.port = port
        yield request
        network.goes_on.set()


def test_a_photo_is_predicted_under_its_name(ask, network):
    status, _, answer = ask("/predict?name=C%3A%5Chands%5Cmy%20hand%07.jpg&handedness=left")
    assert (status, answer["name"], answer["handedness"]) == (200, "my hand?.jpg", "left")
    assert network.asked == [(b"a photo", "my hand?.jpg", "left")]
    assert ask()[2]["name"] == "photo"


@pytest.mark.parametrize("path", ["/", "/serve.js", "/serve.css", "/skeleton.js"])
def test_the_page_loads_nothing_from_elsewhere(ask, path):
    status, headers, text = ask(path, None, "GET")
    assert status == 200
    assert "://" not in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_has_nothing_inline(ask):
    text = ask("/", None, "GET")[2]
    assert not re.search(r"<[^>]*\s(style|on\w+)=", text)
    assert text.count("<script") == text.count("<script src=")


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"body": b""}, 400, "no photo was sent"),
        ({"body": b"broken"}, 422, "it is broken"),
        ({"body": b"fault"}, 500, "the terminal shows it"),
        ({"path": "/predict?handedness=both"}, 400, "auto or right or left"),
        ({"Content_Type": "multipart/form-data; boundary=B"}, 415, "--data-binary @photo.jpg"),
        ({"method": "GET", "body": None}, 405, "Method Not Allowed"),
        ({"method": "PUT"}, 405, "Method Not Allowed"),
        ({"path": "/other"}, 404, "Not Found"),
        ({"path": "/../pyproject.toml", "method": "GET", "body": None}, 404, "Not Found"),
        ({"path": "/..%2f..%2fpyproject.toml", "method": "GET", "body": None}, 404, "Not Found"),
        ({"path": "//etc/passwd", "method": "GET", "body": None}, 404, "Not Found"),
    ],
)
def test_what_cannot_be_answered_is_told_in_one_sentence(ask, request_, status, said):
    found, headers, answer = ask(**request_)
    assert found == status
    assert list(answer) == ["error"]
    assert said in answer["error"]
    assert "Content-Security-Policy" in headers
    assert ask()[0] == 200  # and the next one is


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""]
)
@pytest.mark.parametrize("path", ["/", "/predict"])
def test_other_names_of_this_machine_are_refused(ask, network, host, path):
    status, _, answer = ask(path, Host=host)
    assert status == 403
    assert "127.0.0.1 or localhost" in answer["error"]
    assert not network.asked


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1"])
def test_the_port_may_be_that_of_a_tunnel(ask, host):
    assert ask(Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"]
)
def test_other_sites_are_refused(ask, network, origin):
    status, _, answer = ask(Origin=origin.format(port=ask.port))
    assert status == 403
    assert "other sites" in answer["error"]
    assert not network.asked


def test_the_page_itself_is_not(ask):
    assert ask(Origin=f"http://127.0.0.1:{ask.port}")[0] == 200


def test_too_large_photos_are_refused(ask, network, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 1_000_000)
    assert ask(body=bytes(1_000_000))[0] == 200
    status, _, answer = ask(body=bytes(1_000_001))
    assert (status, answer["error"]) == (413, "a photo may have 1 MB at most; shrink it")
    assert ask(body=iter([bytes(500_000)] * 3))[0] == 413  # in chunks, without a length
    assert len(network.asked) == 1


def test_what_never_ends_is_not_read_to_its_end(ask, network, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 1000)
    with pytest.raises(OSError, match=r"reset|Broken pipe|closed|aborted"):
        ask(body=itertools.repeat(bytes(1000)))
    assert ask(body=b"a photo")[0] == 200
    assert len(network.asked) == 1


def test_photos_take_turns(ask, network):
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: ask(body=bytes(n)), range(1, 7)))
    assert [(status, said["bytes"]) for status, _, said in answers] == [
        (200, n) for n in range(1, 7)
    ]
    assert network.most == 1


def test_not_too_many_wait(ask, network):
    network.goes_on.clear()
    with ThreadPoolExecutor(server.MOST_WAITING + 1) as pool:
        asked = [pool.submit(ask) for _ in range(server.MOST_WAITING + 1)]
        refused = next(as_completed(asked, timeout=60))
        network.goes_on.set()
    assert refused.result()[0] == 429
    assert "waiting already" in refused.result()[2]["error"]
    assert sorted(f.result()[0] for f in asked) == [200] * server.MOST_WAITING + [429]


def test_what_waits_at_the_end_is_no_fault(network, monkeypatch, caplog):
    monkeypatch.setattr(server, "_AT_THE_END_S", 0)
    network.goes_on.clear()
    with serving(network, monkeypatch) as port:
        connection = http.client.HTTPConnection(server.HOST, port, timeout=60)
        connection.request("POST", "/predict", b"a photo")
        network.was_asked.wait()
    network.goes_on.set()
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)) == (503, {"error": "the program has ended"})
    assert not [record for record in caplog.records if record.exc_info]


def test_a_photo_that_is_cut_off_leaves_the_server_alive(ask, network):
    with socket.create_connection((server.HOST, ask.port)) as connection:
        head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head.encode() + b"half")
    assert ask()[0] == 200
    assert [content for content, _, _ in network.asked] == [b"a photo"]


def test_only_this_machine_is_listened_to():
    with server.listen(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_port_in_use_is_one_sentence():
    with server.listen(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(MachineError, match=rf"port {port} of 127.0.0.1 is in use: name"):
            server.listen(port)


def test_another_fault_of_a_port_is_one_sentence(monkeypatch):
    def refuse(_):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(MachineError, match=r"port 80 .* cannot be opened \(Permission denied\)"):
        server.listen(80)
