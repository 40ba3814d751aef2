# SPDX-License-Identifier: Apache-2.0
"""The web options: listen addresses, paths and limits of the HTTP server. Pure data.

One `WebOptions` travels whole, from the site configuration and the command line through the supervisor to the exporter.
Each field has its flag for `probed run`. CONTRIBUTING.md lists the files that a new option touches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from probed.frozen import frozen
from probed.schema.rules import NOT_EMPTY_LIST, Line, one_line
from probed.schema.structure import Rule, extras, keys
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


def _max_requests(text: str) -> int:
    if re.fullmatch("-?[0-9]+", text) is None:
        raise ValueError(f"expected a whole number from 1 to 1000, found '{text}'")
    return parse_max_requests(int(text))


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


@frozen
class Flag:
    """The flag of a web option on the command line of `probed run`.

    `parse` checks the flag's value and raises ValueError with the remedy;
    without `metavar` and `parse` the flag is a switch.
    """

    name: str
    help: str
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    repeatable: bool = False


@frozen
class WebOptions:
    """The HTTP server's options."""

    listen_addresses: Annotated[
        tuple[ListenAddress, ...],
        "host:port, [IPv6]:port or :port for all interfaces.",
        Flag(
            "--web.listen-address",
            "The address to listen on: HOST:PORT, [IPv6]:PORT, or :PORT for all interfaces. The option may occur "
            "several times.",
            "HOST:PORT",
            parse_address,
            repeatable=True,
        ),
        NOT_EMPTY_LIST,
        Rule(_distinct),
    ] = (Address("127.0.0.1", 9788),)
    telemetry_path: Annotated[
        TelemetryPath,
        "The path of the metrics page.",
        Flag("--web.telemetry-path", "The path of the metrics page.", "PATH", parse_telemetry_path),
    ] = "/metrics"
    config_file: Annotated[
        Line | None,
        "TLS, passwords and headers, in the dialect of Prometheus' exporters; relative to this file.",
        Flag(
            "--web.config.file",
            "TLS, client certificates, passwords and headers, in the dialect of Prometheus' exporters; web.yaml among "
            "the package's examples documents the format. 'probed check' validates the file.",
            "FILE",
            one_line,
        ),
    ] = None
    max_requests: Annotated[
        MaxRequests,
        "Limit of requests that are being answered or wait for an answer; the others get status 503.",
        Flag(
            "--web.max-requests",
            "Limit of requests in progress or waiting; probed answers further requests with 503. The default is 40.",
            "N",
            _max_requests,
        ),
    ] = 40
    enable_lifecycle: Annotated[
        bool,
        "Whether POST /-/reload reads the configuration again.",
        Flag(
            "--web.enable-lifecycle",
            "Let a POST to /-/reload reload all files, as SIGHUP does. The response comes after the reload and "
            "contains the mistakes.",
        ),
    ] = False


def web_flags() -> Mapping[str, Flag]:
    """Return the flag of each web option, by the name of the field in `WebOptions`."""
    every = ((name, extra) for name, hint in keys(WebOptions).items() for extra in extras(hint))
    return {name: extra for name, extra in every if isinstance(extra, Flag)}
