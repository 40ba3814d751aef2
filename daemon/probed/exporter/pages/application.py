# SPDX-License-Identifier: Apache-2.0
"""The exporter's pages: metrics, landing page, healthy, ready, reload where enabled, and "not found".

The exporter's main creates an `Application` and passes it to a `server.Server`. Callables supply the content; several
page threads call them concurrently. A request imports no module: the exporter may no longer be able to read Python's
files. `renderer`, `protobuf_page` and `landing_page` render the pages; `negotiation` chooses format and compression.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from probed.exporter.exposition import negotiation
from probed.exporter.exposition.family import Family
from probed.exporter.exposition.protobuf_page import ProtobufPage
from probed.exporter.exposition.renderer import Page
from probed.exporter.http_server.messages import Peer, Request, Response, text
from probed.exporter.pages.landing_page import CONTENT_SECURITY_POLICY, Landing, render
from probed.exporter.series.scrapers import SCRAPER_HEADER
from probed.log_limiter import REPEATABLE

LOG = logging.getLogger("exporter")

_READ = ("GET", "HEAD")
_RELOAD = ("POST", "PUT")
_MOST_PARAMETERS = 1000


class Application:
    """Responds to requests.

    `telemetry_path` is the path of the metrics. `scrape` returns the families of this moment, for the connection of a
    scraper or for another client (None). `readiness` returns the reason why the exporter is not ready, empty when
    ready. `landing` returns the content of the landing page. `reload` has the supervisor read the configuration again
    and returns the faults, empty for none; without `reload`, reloads by HTTP are refused. An exception in one of these
    costs one request (status 500) and a log line.
    """

    def __init__(
        self,
        telemetry_path: str,
        scrape: Callable[[Peer | None], Iterable[Family]],
        readiness: Callable[[], str],
        landing: Callable[[], Landing],
        reload: Callable[[], str] | None = None,
    ) -> None:
        self._scrape = scrape
        self._readiness = readiness
        self._landing = landing
        self._reload = reload
        self._text_page = Page()
        self._protobuf_page = ProtobufPage()
        self._routes: dict[str, tuple[tuple[str, ...], Callable[[Request], Response]]] = {
            "/": (_READ, self._landing_page),
            "/-/healthy": (_READ, self._healthy),
            "/-/ready": (_READ, self._ready),
            "/-/reload": (_RELOAD, self._reloaded),
            telemetry_path: (_READ, self._metrics),
        }

    def __call__(self, request: Request) -> Response:
        """Respond to one request."""
        methods, route = self._routes.get(request.path, ((), None))
        if route is None:
            return text(404, "not found; the pages of probed are listed at /")
        if request.path == "/-/reload" and self._reload is None:
            return text(
                403, "reloading by HTTP is not enabled; start probed with --web.enable-lifecycle, or send SIGHUP"
            )
        if request.method not in methods:
            allow = ", ".join(methods)
            return text(405, f"method not allowed; use {allow}", ("Allow", allow))
        try:
            return route(request)
        except Exception as error:  # the border around one request: whatever is wrong costs only this page
            return self._failed(request.path, error)

    def _failed(self, path: str, error: Exception) -> Response:
        fact = f"cannot make the page {path}: {type(error).__name__}: {error}"
        LOG.error("%s", fact, exc_info=True, extra=REPEATABLE)
        return text(500, " ".join(fact.split()))

    def _metrics(self, request: Request) -> Response:
        try:
            names, created = _parameters(request.query)
        except ValueError as error:
            return text(400, f"cannot read the query string: {error}")
        chosen = negotiation.choose(request.headers.get("accept", ""))
        families = self._scrape(_scraper(request))
        if chosen.syntax == "protobuf":
            body = self._protobuf_page.render(families, names=names)
        else:
            openmetrics = chosen.syntax == "openmetrics"
            body = self._text_page.render(families, openmetrics=openmetrics, created=created, names=names)
        vary = ("Vary", "Accept, Accept-Encoding")
        if not negotiation.accepts_gzip(request.headers.get("accept-encoding", "")):
            return Response(200, chosen.content_type, body, (vary,))
        return Response(200, chosen.content_type, negotiation.compress(body), (vary, ("Content-Encoding", "gzip")))

    def _landing_page(self, _: Request) -> Response:
        body = render(self._landing())
        policy = ("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return Response(200, "text/html; charset=utf-8", body, (policy,))

    def _healthy(self, _: Request) -> Response:
        return text(200, "ok")

    def _reloaded(self, _: Request) -> Response:
        assert self._reload is not None
        wrong = self._reload()
        return text(500, f"the configuration was not fully reloaded:\n{wrong}") if wrong else text(200, "reloaded")

    def _ready(self, _: Request) -> Response:
        reason = self._readiness()
        return text(503, reason) if reason else text(200, "ok")


def _scraper(request: Request) -> Peer | None:
    """Return the connection of a scraper; None for another client, and for a HEAD request."""
    return request.peer if request.method == "GET" and SCRAPER_HEADER in request.headers else None


def _parameters(query: str) -> tuple[frozenset[str] | None, bool]:
    """Return the parameters ``name[]`` (None without any), and whether ``created=1`` asks for start timestamps.

    Raises ValueError for too many parameters.
    """
    parameters = parse_qs(query, max_num_fields=_MOST_PARAMETERS)
    names = parameters.get("name[]")
    return None if names is None else frozenset(names), parameters.get("created") == ["1"]
