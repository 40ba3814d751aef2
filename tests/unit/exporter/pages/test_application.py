# SPDX-License-Identifier: Apache-2.0
"""The pages, requested like the server does."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from probed.exporter.exposition.family import Family
from probed.exporter.exposition.negotiation import OPENMETRICS, PROTOBUF, TEXT
from probed.exporter.exposition.protobuf_page import ProtobufPage
from probed.exporter.exposition.renderer import Page
from probed.exporter.http_server.messages import Peer, Request, Response
from probed.exporter.pages.application import Application
from probed.exporter.pages.landing_page import CONTENT_SECURITY_POLICY, Landing

FORKS = Family("probed_forks_total", "counter", "Forks.", (), [()], np.array([7], np.uint64))
EXECS = Family("probed_execs_total", "counter", "Execs.", ("comm",), [("ä",)], np.array([8], np.uint64))
UNREADY = "the drain loop does not move"


class Client:
    """Sends requests to one application; `unready` and `families` are the results of its callables."""

    def __init__(self, telemetry_path: str = "/metrics", reload: Callable[[], str] | None = None) -> None:
        self.unready = ""
        self.families: Iterable[Family] = [FORKS, EXECS]
        self.scrapers: list[Peer | None] = []
        self.application = Application(
            telemetry_path,
            self._scrape,
            lambda: self.unready,
            lambda: Landing("1.2.3", telemetry_path, self.unready, ()),
            reload,
        )

    def _scrape(self, scraper: Peer | None) -> Iterable[Family]:
        self.scrapers.append(scraper)
        return self.families

    def ask(self, path: str, method: str = "GET", query: str = "", **headers: str) -> Response:
        return self.application(Request(method, path, query, headers))


@pytest.fixture
def client() -> Client:
    return Client()


def test_metrics_are_the_page(client: Client) -> None:
    answer = client.ask("/metrics")
    vary = ("Vary", "Accept, Accept-Encoding")
    assert answer == Response(200, TEXT.content_type, Page().render([FORKS, EXECS]), (vary,))


def test_a_request_with_the_header_of_scrapers_is_its_connection_s(client: Client) -> None:
    connection = Peer()
    header = {"x-prometheus-scrape-timeout-seconds": "10"}
    client.application(Request("GET", "/metrics", "", header, connection))
    client.application(Request("HEAD", "/metrics", "", header, connection))
    client.application(Request("GET", "/metrics", "", {}, connection))
    assert client.scrapers == [connection, None, None]


def test_only_a_client_that_asks_gets_openmetrics(client: Client) -> None:
    answer = client.ask("/metrics", accept="application/openmetrics-text;version=1.0.0")
    assert answer.content_type == OPENMETRICS.content_type
    assert answer.body == Page().render([FORKS, EXECS], openmetrics=True)


def test_only_a_client_that_asks_gets_protobuf(client: Client) -> None:
    accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
    answer = client.ask("/metrics", query="name[]=probed_forks_total", accept=f"text/plain;q=0.5,{accept}")
    assert answer.content_type == PROTOBUF.content_type
    assert answer.body == ProtobufPage().render([FORKS])
    packed = client.ask("/metrics", **{"accept": accept, "accept-encoding": "gzip"})
    assert gzip.decompress(packed.body) == ProtobufPage().render([FORKS, EXECS])


@pytest.mark.parametrize(("query", "created"), [("created=1", True), ("created=0", False), ("created", False)])
def test_openmetrics_has_start_timestamps_when_the_query_asks(client: Client, query: str, created: bool) -> None:
    client.families = [replace(FORKS, starts=np.array([1.5]))]
    answer = client.ask("/metrics", query=query, accept="application/openmetrics-text;version=1.0.0")
    assert (b"probed_forks_created 1.5\n" in answer.body) == created


def test_only_a_client_that_asks_gets_gzip(client: Client) -> None:
    answer = client.ask("/metrics", **{"accept-encoding": "gzip"})
    assert dict(answer.headers)["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.body) == Page().render([FORKS, EXECS])


def test_names_restrict_the_page_and_other_parameters_do_not(client: Client) -> None:
    query = "x=1&name%5B%5D=probed_forks_total&name[]=probed_no_such&name=probed_execs_total"
    assert client.ask("/metrics", query=query).body == Page().render([FORKS])
    assert client.ask("/metrics", query="x=1&name[]=&=&;").body == Page().render([FORKS, EXECS])


def test_too_many_parameters_are_refused(client: Client) -> None:
    assert client.ask("/metrics", query="&".join(["name[]=x"] * 1001)).status == 400


def test_the_telemetry_path_may_be_another_one() -> None:
    client = Client("/probed/numbers")
    assert client.ask("/probed/numbers").status == 200
    assert client.ask("/metrics").status == 404


@pytest.mark.parametrize("path", ["", "//", "/metrics/", "/-/", "/-/reload/", "/favicon.ico", "*", "/METRICS"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_anything_else_is_not_found(client: Client, path: str, method: str) -> None:
    answer = client.ask(path, method)
    assert answer.status == 404
    assert answer.body == b"not found; the pages of probed are listed at /\n"


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_told_which_are_allowed(client: Client, path: str, method: str) -> None:
    answer = client.ask(path, method)
    assert answer.status == 405
    assert dict(answer.headers)["Allow"] == "GET, HEAD"


def test_the_landing_page_has_its_policy(client: Client) -> None:
    answer = client.ask("/")
    assert answer.content_type == "text/html; charset=utf-8"
    assert dict(answer.headers)["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert b"1.2.3" in answer.body


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_reload_is_refused_where_it_is_not_enabled(client: Client, method: str) -> None:
    assert client.ask("/-/reload", method).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_reload_tells_how_it_ended(method: str) -> None:
    wrong = [""]
    client = Client(reload=lambda: wrong[0])
    assert client.ask("/-/reload", method).status == 200
    wrong[0] = "probed.yaml:3: unknown key"
    answer = client.ask("/-/reload", method)
    assert (answer.status, answer.body.endswith(b"\nprobed.yaml:3: unknown key\n")) == (500, True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_reload_is_not_had_by_looking(method: str) -> None:
    def refuse() -> str:
        raise AssertionError(f"{method} reloads")

    answer = Client(reload=refuse).ask("/-/reload", method)
    assert (answer.status, dict(answer.headers)["Allow"]) == (405, "POST, PUT")


def test_healthy_is_ok_even_when_nothing_is_ready(client: Client) -> None:
    client.unready = UNREADY
    answer = client.ask("/-/healthy")
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_ready_gives_the_reason_when_it_is_not(client: Client) -> None:
    assert client.ask("/-/ready").status == 200
    client.unready = UNREADY
    answer = client.ask("/-/ready")
    assert (answer.status, answer.body) == (503, f"{UNREADY}\n".encode())


def _broken() -> Iterator[Family]:
    yield FORKS
    raise OSError(9, "Bad file descriptor\nin map 'calls'")


def test_an_error_in_a_scrape_costs_that_scrape_and_a_log_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.families = _broken()
    answer = client.ask("/metrics")
    assert answer.status == 500
    assert answer.body == (b"cannot make the page /metrics: OSError: [Errno 9] Bad file descriptor in map 'calls'\n")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    client.families = [FORKS]
    assert client.ask("/metrics").status == 200


def test_a_label_that_is_no_text_costs_that_scrape(client: Client) -> None:
    client.families = [Family("x", "gauge", "X.", ("comm",), [("\ud800",)], np.zeros(1))]
    answer = client.ask("/metrics")
    assert answer.status == 500
    assert answer.body.count(b"\n") == 1
