# SPDX-License-Identifier: Apache-2.0
"""The exporter's five pages as a WSGI application: metrics, landing page, healthy, ready, and "not found".

The exporter's main makes one and gives it to a `server.Server`. Content comes from callables, which are
called from several threads at once. Nothing is imported while a request is served: by then the exporter may
not be able to read Python's files. How pages look is the business of `page` and `landing`, what a client
accepts that of `formats`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from probed.exporter import formats
from probed.exporter.family import Family
from probed.exporter.landing import CONTENT_SECURITY_POLICY, Landing, render
from probed.exporter.page import Page
from probed.exporter.seldom import Seldom

_METHODS = ("GET", "HEAD")
_PLAIN_TEXT = "text/plain; charset=utf-8"
_MOST_PARAMETERS = 1000

_Environ = dict[str, Any]
_StartResponse = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True, slots=True)
class _Response:
    status: str
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Application:
    """Answers requests (PEP 3333).

    `telemetry_path` is where the metrics are; `scrape` gives the families of this moment; `readiness` gives
    the reason why the exporter is not ready, empty when it is; `landing` gives what the landing page tells.
    An exception in one of them costs the request (status 500) and a log line, nothing else.
    """

    def __init__(
        self,
        telemetry_path: str,
        scrape: Callable[[], Iterable[Family]],
        readiness: Callable[[], str],
        landing: Callable[[], Landing],
    ) -> None:
        self._scrape = scrape
        self._readiness = readiness
        self._landing = landing
        self._page = Page()
        self._seldom = Seldom(logging.getLogger("exporter"))
        self._routes: dict[str, Callable[[_Environ], _Response]] = {
            "/": self._front,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            # PEP 3333 hands paths over as bytes in the clothes of latin-1.
            telemetry_path.encode().decode("latin-1"): self._metrics,
        }

    def __call__(self, environ: _Environ, start_response: _StartResponse) -> list[bytes]:
        """Answer one request."""
        response = self._respond(environ)
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("X-Content-Type-Options", "nosniff"),
            *response.headers,
        ]
        start_response(response.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _respond(self, environ: _Environ) -> _Response:
        route = self._routes.get(environ["PATH_INFO"])
        if route is None:
            return _text("404 Not Found", "not found; the pages of probed are listed at /")
        if environ["REQUEST_METHOD"] not in _METHODS:
            allow = ", ".join(_METHODS)
            return _text("405 Method Not Allowed", f"method not allowed; use {allow}", ("Allow", allow))
        try:
            return route(environ)
        except Exception as error:  # the border around one request: whatever is wrong costs only this page
            return self._failed(environ["PATH_INFO"], error)

    def _failed(self, path: str, error: Exception) -> _Response:
        fact = f"cannot make the page {path}: {type(error).__name__}: {error}"
        self._seldom.log(logging.ERROR, fact)
        return _text("500 Internal Server Error", " ".join(fact.split()))

    def _metrics(self, environ: _Environ) -> _Response:
        try:
            names = _names(environ.get("QUERY_STRING", ""))
        except ValueError as error:
            return _text("400 Bad Request", f"cannot read the query string: {error}")
        chosen = formats.choose(environ.get("HTTP_ACCEPT", ""))
        body = self._page.render(self._scrape(), openmetrics=chosen.openmetrics, names=names)
        vary = ("Vary", "Accept, Accept-Encoding")
        if not formats.accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            return _Response("200 OK", chosen.content_type, body, (vary,))
        return _Response("200 OK", chosen.content_type, formats.compress(body), (vary, ("Content-Encoding", "gzip")))

    def _front(self, _: _Environ) -> _Response:
        body = render(self._landing())
        policy = ("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return _Response("200 OK", "text/html; charset=utf-8", body, (policy,))

    def _healthy(self, _: _Environ) -> _Response:
        return _text("200 OK", "ok")

    def _ready(self, _: _Environ) -> _Response:
        reason = self._readiness()
        return _text("503 Service Unavailable", reason) if reason else _text("200 OK", "ok")


def _text(status: str, line: str, *headers: tuple[str, str]) -> _Response:
    return _Response(status, _PLAIN_TEXT, f"{line}\n".encode(errors="replace"), headers)


def _names(query: str) -> frozenset[str] | None:
    """Read the parameters ``name[]``; None when there is none. Raises ValueError when there are too many."""
    names = parse_qs(query, max_num_fields=_MOST_PARAMETERS).get("name[]")
    return None if names is None else frozenset(names)
