# SPDX-License-Identifier: Apache-2.0
"""Every parser returns a value or raises its own error on any input.

In CI each property takes some hundreds of examples. `make fuzz SECONDS=60` searches for more with atheris, led by
coverage: see ../fuzz.py.
"""

from __future__ import annotations

import json
import math
import mmap
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probed.client.http_config import HttpConfiguration
from probed.commands import live_programs
from probed.commands.top.activity import activity
from probed.commands.top.layout import PollStatus, Terminal, render
from probed.commands.top.readings import PageParser
from probed.commands.top.view import View
from probed.config import site
from probed.config.declaration.probe import parse_declaration
from probed.errors import DeclarationError, HostError
from probed.exporter.bpf.ringbuf import Ring
from probed.exporter.cgroup.attribution import attribute
from probed.exporter.cgroup.pod_names import of_container_link, of_pod_folder
from probed.exporter.exposition import negotiation
from probed.exporter.http_server.basic_auth import BasicAuth
from probed.exporter.http_server.connection import Connection, ConnectionClosed, ConnectionState
from probed.exporter.http_server.messages import REASONS, text
from probed.exporter.http_server.policy import OpenPolicy
from probed.exporter.http_server.token_bucket import TokenBucket
from probed.exporter.http_server.transport import WouldBlock
from probed.ipc.channel import Channel, Closed
from probed.ipc.exporter_messages import FROM_EXPORTER, TO_EXPORTER
from probed.ipc.loader_messages import FROM_LOADER, TO_LOADER
from probed.ipc.manifest import Field, Record
from probed.schema import strict_yaml as yamltext
from probed.schema import structure as shape
from probed.supervisor.watchers.container_names import names_in
from probed.webconfig.file import WebConfiguration
from probed.webconfig.settings import WebSettings
from support.top.storm import storm

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RING_BYTES = 4096
MESSAGES: tuple[type, ...] = (*TO_EXPORTER, *FROM_EXPORTER, *TO_LOADER, *FROM_LOADER, WebSettings)

HTTP_CONFIGURATION = """\
tls_config: {ca_file: a.pem, cert_file: b.pem, key_file: c.pem, server_name: d, insecure_skip_verify: false}
basic_auth: {username: ann, password_file: e}
"""

some = settings(max_examples=200, suppress_health_check=list(HealthCheck))


def seeds(pattern: str) -> list[str]:
    return [path.read_text() for path in sorted(ROOT.glob(pattern))]


@st.composite
def mutated(draw: st.DrawFn, originals: list[str]) -> str:
    """A valid file with some places cut out, doubled or replaced."""
    made = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(made)))
        end = min(len(made), at + draw(st.integers(0, 40)))
        filling = draw(st.one_of(st.text(max_size=20), st.sampled_from(TOKENS), st.just(made[at:end] * 2)))
        made = made[:at] + filling + made[end:]
    return made


TOKENS = (
    ":", "- ", "? ", "[", "]", "{", "}", "&a", "*a", "!!python/object:os.system", "<<: ", "%YAML 1.1\n", "---\n", "|\n",
    "\t", "'", '"', "0o17", "1:30", ".nan", "null", "yes", "\x00", "\ud800", "\ufeff", "#", "~", "1e999", "99999999999",
)  # fmt: skip

yaml_text = st.one_of(st.text(), st.text(alphabet="ab:-?[]{}&*!|>'\"%#@,\n \t0.~"), st.binary().map(bytes.hex))
json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@some
@given(yaml_text)
def test_yaml(written: str) -> None:
    with suppress(DeclarationError):
        yamltext.read(written, "x.yaml")


@some
@given(mutated(seeds("probes/*/*.yaml")))
def test_declarations(written: str) -> None:
    with suppress(DeclarationError):
        parse_declaration(written, "x/x.yaml", "x")


@some
@given(mutated([*seeds("config/probed.yaml"), *seeds("tests/unit/broken/sites/*.yaml")]))
def test_site_configurations(written: str) -> None:
    with suppress(DeclarationError):
        site.parse(written, "probed.yaml")


@some
@given(mutated(seeds("config/web.yaml")))
def test_web_configurations(written: str) -> None:
    with suppress(DeclarationError):
        yamltext.parse(WebConfiguration, written, "web.yaml")


@some
@given(mutated([HTTP_CONFIGURATION]))
def test_http_configurations(written: str) -> None:
    with suppress(DeclarationError):
        yamltext.parse(HttpConfiguration, written, "http.yaml")


@some
@given(mutated([storm(100.0)]))
def test_pages_that_commands_read(written: str) -> None:
    with suppress(HostError):
        live_programs.parse(written)
    with suppress(HostError):
        reading = PageParser().parse(written, 0.0, 0.0)
        found = activity(PageParser().parse(storm(1.0), 0.0, 1.0), reading)
        lines = render(found, View(), PollStatus("", 1.0, ""), Terminal(80, 24))
        assert all(span.text.isprintable() for line in lines for span in line)


def packed(kind: type, data: Any) -> bytes:
    return json.dumps({"kind": kind.__name__, "data": data}).encode()


@some
@given(st.one_of(st.binary(), st.builds(packed, st.sampled_from(MESSAGES), json_data)))
def test_packets(packet: bytes) -> None:
    ours, theirs = Channel[object, object].pair(MESSAGES)
    with theirs:
        theirs.send(packet)
        with suppress(ValueError, Closed, DeclarationError):
            assert isinstance(ours.receive().message, MESSAGES)
    ours.close()


@st.composite
def almost(draw: st.DrawFn) -> tuple[type, Any]:
    """A kind of message, and data with or without its keys."""
    kind = draw(st.sampled_from(MESSAGES))
    keys = dict.fromkeys(shape.keys(kind), json_data)
    return kind, draw(st.one_of(json_data, st.fixed_dictionaries(keys)))


@some
@given(almost())
def test_messages(drawn: tuple[type, Any]) -> None:
    kind, data = drawn
    with suppress(DeclarationError):
        built: Any = shape.build(kind, data, shape.Source("a message"))
        assert shape.build(kind, json.loads(json.dumps(shape.to_data(built))), shape.Source("again")) == built


@some
@given(st.binary(max_size=RING_BYTES), st.integers(0, 2**60), st.integers(0, RING_BYTES // 8))
def test_ring_records(data: bytes, start: int, ahead: int) -> None:
    """Draining any ring ends and stays within the ring. Only the kernel writes positions."""
    consumer, producer = mmap.mmap(-1, mmap.PAGESIZE), mmap.mmap(-1, mmap.PAGESIZE + 2 * RING_BYTES)
    start -= start % 8
    end = start + 8 * ahead
    consumer[:8], producer[:8] = start.to_bytes(8, "little"), end.to_bytes(8, "little")
    for copy in (0, RING_BYTES):
        producer[mmap.PAGESIZE + copy : mmap.PAGESIZE + copy + len(data)] = data
    ring = Ring(
        consumer, producer, RING_BYTES, Record(20, (Field("number", "u32", 0, 1), Field("text", "char", 4, 16)))
    )
    for _ in range(2 * RING_BYTES // 8):
        events = ring.batch(100)
        assert len(events) <= 100
        if not ring.release() and not len(events):
            break
    assert ring.corrupt >= 0 <= ring.discarded


@some
@given(st.one_of(st.text(), st.from_regex(r"(/[a-z@.:\\x0-9-]{0,80}(\.(slice|scope|service))?){0,9}")))
def test_cgroup_paths(path: str) -> None:
    whose = attribute(path)
    assert whose.unit.isprintable()
    assert whose.pod_uid.isprintable()


class Scripted:
    """A transport that receives these pieces and then the end, and records the sent bytes."""

    shakes_hands = False

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.sent = b""

    def handshake(self) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...
    def has_ended(self) -> bool:
        return not self.pieces

    def fileno(self) -> int:
        return -1

    def receive(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def send(self, data: memoryview) -> int:
        if len(self.sent) % 3 == 1:
            self.sent += b""
        self.sent += bytes(data[:1000])
        return min(1000, len(data))


def statuses(sent: bytes) -> list[int]:
    """Return the statuses of answers; an answer may quote the request."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", sent)]


head = st.lists(
    st.one_of(
        st.binary(max_size=64),
        st.sampled_from([
            b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ",
            b"GET http://x:1/a?b HTTP/1.1\r\nHost: x\r\n\r\n", b"\r", b"\n",
            b"5\r\n\r\n",
            b"\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n",
            b"HTTP/1.1", b"CONNECT x:1 ", b"Upgrade: h2c\r\n", b"X: " + 5000 * b"a", b"0\r\n\r\n", b"ffffffffff\r\n",
            b"\x16\x03\x01",
        ]),
    ),
    max_size=12,
)  # fmt: skip


@some
@given(head)
def test_http(pieces: list[bytes]) -> None:
    """The server answers any bytes of a client with one of its statuses or hangs up, and raises nothing."""
    transport = Scripted([piece for piece in pieces if piece])
    counted: list[int] = []
    client = Connection(transport, b"", OpenPolicy(), counted.append)
    for _ in range(1000):
        try:
            client.advance()
        except ConnectionClosed:
            break
        except WouldBlock as wait:
            pytest.fail(f"nothing here waits: {wait}")
        assert client.state is ConnectionState.WORKING
        assert client.request is not None
        assert client.deadline == math.inf
        client.respond(text(200, client.request.path))
    else:
        pytest.fail("it goes on for ever")
    assert list(statuses(transport.sent))[: len(counted)] == counted
    assert set(counted) <= set(REASONS)


@some
@given(st.text(alphabet=st.characters(max_codepoint=255)), st.text(alphabet=st.characters(max_codepoint=255)))
def test_header_values(accept: str, other: str) -> None:
    negotiation.choose(accept)
    negotiation.accepts_gzip(accept)
    assert BasicAuth({"a": f"$2y$04${53 * '.'}"}).check_cached(other) in (None, False)
    assert TokenBucket(0.0, 0).take()


@some
@given(st.one_of(st.binary(), st.from_regex(rb"\[?\{\"(ID|id)\":\"[0-9a-f]{64}\",\"(Name|names)\":[^\x00]{0,40}\}\]?")))
def test_state_of_container_runtimes(data: bytes) -> None:
    with suppress(ValueError, RecursionError):
        assert all(name.isprintable() and len(number) == len("0" * 64) for number, name in names_in(data).items())


@some
@given(st.one_of(st.text(), st.from_regex(r"[a-z0-9._-]{0,300}_[a-z0-9_.-]{0,300}-[0-9a-f]{60,66}(\.log)?")))
def test_entries_of_kubelets_folders(entry: str) -> None:
    for parse in (of_pod_folder, of_container_link):
        found = parse(entry)
        assert found is None or found[0] in entry


@some
@given(st.lists(st.integers(0, 3), max_size=20))
def test_packets_that_are_cut_short(sizes: list[int]) -> None:
    ours, theirs = Channel[object, object].pair(MESSAGES)
    with theirs:
        for size in sizes:
            theirs.send(b'{"kind":"Serve","data":null}'[:size] or b"{")
        theirs.shutdown(socket.SHUT_WR)
        for _ in sizes:
            with suppress(ValueError):
                ours.receive()
    ours.close()
