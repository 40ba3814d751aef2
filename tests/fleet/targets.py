# SPDX-License-Identifier: Apache-2.0
"""One small HTTP server plays a whole fleet: /host/NUMBER/metrics is the page of one host.

Every scrape of a host shows its page a scrape interval later, so counters rise as recorded. The server makes and
compresses each page once for all hosts, since Prometheus is to be measured, not the server.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from fleet.formats import native_protobuf
from fleet.pages import Recording
from probed.exporter.exposition.negotiation import PROTOBUF, TEXT, Format, compress

MIX = ("busy", *["idle"] * 9)
"""Recordings of an ordinary fleet: one host in ten is busy."""

AHEAD = 61
"""Most scrapes by which one host is ahead of another, so that hosts show different pages."""


Encoding = tuple[Format, Callable[[bytes], bytes]]
"""A format, and a function that makes its page from a recorded text page."""

CLASSIC: Encoding = (TEXT, bytes)
NATIVE: Encoding = (PROTOBUF, native_protobuf)


class Targets:
    """A fleet on a port of the loopback, as a context."""

    def __init__(self, mix: Sequence[str], interval: float, encoding: Encoding = CLASSIC) -> None:
        """Hosts show the recordings of `mix` in turn; `interval` seconds of their lives pass between two scrapes."""
        self._mix = mix
        self._format, self._encode = encoding
        self._recordings = {name: Recording.load(name) for name in mix}
        self._interval = interval
        self._scrapes: Counter[int] = Counter()
        self._page = lru_cache(maxsize=1024)(self._compressed)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Targets:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def scrape(self, host: int) -> bytes:
        """Return the next page of a host, compressed with gzip."""
        step = self._scrapes[host]
        self._scrapes[host] += 1
        return self._page(self._mix[host % len(self._mix)], step + host % AHEAD)

    def _compressed(self, recording: str, step: int) -> bytes:
        return compress(self._encode(self._recordings[recording].at(step * self._interval)))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        scrape, content_type = self.scrape, self._format.content_type

        class Host(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = scrape(int(self.path.split("/")[2]))
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(ConnectionError):  # a stopping Prometheus does not read the answer
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log no scrape."""

        return Host
