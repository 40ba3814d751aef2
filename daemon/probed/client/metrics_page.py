# SPDX-License-Identifier: Apache-2.0
"""Requests the metrics page of a running daemon and splits the page into samples, for `list --live` and `top`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlencode

from probed.client import http_config
from probed.client.http_client import Endpoint, fetch, find_endpoint
from probed.config import files
from probed.errors import HostError
from probed.webconfig.listen_address import Address

LONGEST_QUOTE = 200
"""Characters of an answer that an error quotes."""

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
"""Value of the header Accept for the only text format with start timestamps."""

_SERIES = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?", re.DOTALL)
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class PageSeries(NamedTuple):
    """Name and labels of a sample, in the order of the page."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()


class MetricsPage(NamedTuple):
    """The metrics page of one daemon."""

    address: Address
    path: str
    endpoint: Endpoint


def find(config_file: str, address: Address | None, http_config_file: str | None) -> MetricsPage:
    """Return the page of a site's daemon, at the first address of the site configuration unless `address` is given.

    `http_config_file` has TLS and authentication of the client. Raises DeclarationError and HostError.
    """
    configuration, _ = files.read_site(config_file)
    web = configuration.web_options
    endpoint = find_endpoint(web.config_file, http_config.read(http_config_file))
    return MetricsPage(address or web.listen_addresses[0], web.telemetry_path, endpoint)


def request(page: MetricsPage, names: Iterable[str], *, starts: bool = False) -> str:
    """Return the samples with some names; with `starts` in OpenMetrics with start timestamps.

    Raises HostError with the remedy where the daemon does not answer with a page.
    """
    address, path, endpoint = page
    query = urlencode([("name[]", name) for name in names] + [("created", "1")] * starts, safe="[]")
    answer = fetch(address, f"{path}?{query}", endpoint, OPENMETRICS if starts else "")
    if answer is None:
        raise HostError(f"no daemon answers at {address}: start it, or name its address with --web.listen-address")
    if answer.status == 401:
        raise HostError(f"the daemon at {address} demands a password: name one in basic_auth of --http.config.file")
    if answer.status != 200:
        found = f"status {answer.status}" if answer.status else answer.text[:LONGEST_QUOTE]
        raise HostError(
            f"{address}{path} is no readable metrics page ({found}); where the daemon demands TLS or a client's "
            "certificate, name them in tls_config of --http.config.file"
        )
    return answer.text


def samples(page: str) -> Iterator[tuple[str, float]]:
    """Yield series and value of each sample; `parse_series` parses the series. Raises HostError for another text."""
    # Label values hold no raw newline, but may hold other characters at which splitlines() splits.
    for number, line in enumerate(page.split("\n"), 1):
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            try:
                yield series, float(value)
            except ValueError:
                raise HostError(f"line {number} of the metrics page is no sample: {line[:LONGEST_QUOTE]}") from None


def parse_series(text: str) -> PageSeries:
    """Parse a series such as ``name{label="value"}``. Raises HostError for another text."""
    found = _SERIES.fullmatch(text)
    labels = tuple(_LABEL.findall(found[2] or "")) if found else ()
    if found is None or _LABEL.sub("", found[2] or ""):
        raise HostError(f"the metrics page has a series with wrong syntax: {text[:LONGEST_QUOTE]}")
    return PageSeries(found[1], tuple((name, _unescaped(value)) for name, value in labels))


def _unescaped(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], value)
