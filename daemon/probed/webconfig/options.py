# SPDX-License-Identifier: Apache-2.0
"""The web options: listen addresses, paths and limits of the HTTP server. Pure data.

One `WebOptions` travels whole, from the site configuration and the command line through the supervisor to the exporter.
CONTRIBUTING.md lists the files that a new option touches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from probed.schema.rules import NOT_EMPTY_LIST, Line
from probed.schema.structure import Rule
from probed.webconfig.listen_address import Address, parse_address

_OWN_PATHS: Final = "'/' is the landing page and '/-/…' are probed's own pages"


def parse_telemetry_path(text: str) -> str:
    """Check the path of the metrics page: absolute, plain characters, none of probed's own pages.

    Raises ValueError with the expected form.
    """
    if not text.startswith("/"):
        raise ValueError(f"expected a path that starts with '/', found '{text}'; did you mean '/{text}'?")
    if text == "/" or text.startswith("/-/"):
        raise ValueError(f"{_OWN_PATHS}; choose another path, such as /metrics")
    if re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text) is None:
        raise ValueError(f"expected a path of letters, digits, '.', '_', '~', '-' and single '/', found '{text}'")
    return text


def parse_max_requests(number: int) -> int:
    """Check the limit of concurrent requests. Raises ValueError with the permitted range."""
    if not 1 <= number <= 1000:
        raise ValueError(f"expected from 1 to 1000 requests, found {number}; there is always a limit here, 40 is usual")
    return number


def _distinct(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    for index, address in enumerate(addresses):
        for other in addresses[:index]:
            same_host = address.host == other.host or (address.all_interfaces and other.all_interfaces)
            if same_host and address.port == other.port != 0:
                spelled = "" if address == other else f" (as {other})"
                raise ValueError(f"{address} is there twice{spelled}; remove one")
    return addresses


ListenAddress = Annotated[Address, Rule(parse_address, {"examples": ["127.0.0.1:9788", "[::1]:9788"]}, raw=str)]
TelemetryPath = Annotated[str, Rule(parse_telemetry_path, {"pattern": "^(/[A-Za-z0-9._~-]+)+$"})]
MaxRequests = Annotated[int, Rule(parse_max_requests, {"minimum": 1, "maximum": 1000})]


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The HTTP server's options."""

    listen_addresses: Annotated[
        tuple[ListenAddress, ...],
        "host:port, [IPv6]:port or :port for all interfaces.",
        NOT_EMPTY_LIST,
        Rule(_distinct),
    ] = (Address("127.0.0.1", 9788),)
    telemetry_path: Annotated[TelemetryPath, "The path of the metrics page."] = "/metrics"
    config_file: Annotated[
        Line | None,
        "TLS, passwords and headers, in the dialect of Prometheus' exporters; relative to this file.",
    ] = None
    max_requests: Annotated[
        MaxRequests, "Limit of requests that are being answered or wait for an answer; the others get status 503."
    ] = 40
    enable_lifecycle: Annotated[bool, "Whether POST /-/reload reads the configuration again."] = False
