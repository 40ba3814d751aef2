# SPDX-License-Identifier: Apache-2.0
"""Web options: each check, and the path from site configuration and command line to the exporter."""

from __future__ import annotations

import ast
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import probed
from probed.config import site
from probed.errors import DeclarationError
from probed.ipc.loader_messages import Files, Settings
from probed.schema import structure
from probed.supervisor.options import Options
from probed.webconfig.listen_address import Address
from probed.webconfig.options import WebOptions, parse_telemetry_path

PACKAGE = Path(probed.__file__).parent
CARRIERS = {"config/site.py", "loader/__main__.py", "supervisor/options.py", "ipc/manifest.py"}
"""Modules between the configuration and the places that use an option."""

OTHER = WebOptions((Address("::1", 9789), Address("", 9790)), "/m", "/etc/probed/web.yaml", 7, True)


@pytest.mark.parametrize("path", ["/metrics", "/a/b.c_d~e-f", "/-"])
def test_a_telemetry_path_is_any_but_probeds_own(path: str) -> None:
    assert parse_telemetry_path(path) == path


@pytest.mark.parametrize("path", ["", "metrics", "/", "/-/healthy", "/-/ready", "//", "/a/", "/ü", "/a?b", "/a b"])
def test_other_telemetry_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError):
        parse_telemetry_path(path)


def test_web_options_go_through_json_unchanged() -> None:
    data = json.loads(json.dumps(structure.to_data(OTHER)))
    assert data["listen_addresses"] == ["[::1]:9789", ":9790"]
    assert structure.build(WebOptions, data, structure.Source("")) == OTHER


@pytest.mark.parametrize("name", [field.name for field in fields(WebOptions)])
def test_the_command_line_precedes_the_site_configuration(name: str) -> None:
    settings = Settings(WebOptions(), None, "info", "logfmt", {})
    value: Any = getattr(OTHER, name)
    web = Options(Files("", ""), web={name: value}).apply_to(settings).web
    assert {
        field.name for field in fields(WebOptions) if getattr(web, field.name) != getattr(WebOptions(), field.name)
    } == {name}
    assert Options(Files("", "")).apply_to(settings) == settings


def test_the_path_of_the_web_configuration_is_relative_to_the_site_configuration() -> None:
    text = "probe_directories: [probes]\nprobes: {process: }\nweb: {config_file: web.yaml}\n"
    assert site.parse(text, "/etc/probed/probed.yaml").web_options.config_file == "/etc/probed/web.yaml"


@pytest.mark.parametrize("addresses", ["[':9788', '[::]:9788']", "['127.0.0.1:9788', '[127.0.0.1]:9788']"])
def test_two_spellings_of_one_address_are_refused(addresses: str) -> None:
    text = f"probe_directories: [probes]\nprobes: {{process: }}\nweb: {{listen_addresses: {addresses}}}\n"
    with pytest.raises(DeclarationError, match=r"there twice.*remove one"):
        site.parse(text, "probed.yaml")


def test_the_modules_that_carry_web_options_name_none_of_them() -> None:
    """So a new option touches its class, its use, its flag and its documents (CONTRIBUTING.md)."""
    naming: dict[str, set[str]] = {
        name: set() for name in ("enable_lifecycle", "listen_addresses", "max_requests", "telemetry_path")
    }
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in naming:
                naming[node.attr].add(path.relative_to(PACKAGE).as_posix())
    assert all(naming.values())
    assert {name: paths & CARRIERS for name, paths in naming.items()} == {name: set() for name in naming}
