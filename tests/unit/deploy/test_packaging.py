# SPDX-License-Identifier: Apache-2.0
"""The package describes the program: man pages, completion, dependencies, version."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from probed import __main__, __version__, memory_order
from probed.commands import json_schemas
from probed.config.declaration.columns import OF_COLUMNS
from support.running_daemon import ROOT

PACKAGING = ROOT / "packaging"
DEBIAN = PACKAGING / "debian"
PROGRAM = Path(sys.executable).parent / "probed"
PAGES = sorted((PACKAGING / "man").iterdir())
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z.-]*[a-z]")

ONLY_TO_BUILD = {"python3-venv", "python3-setuptools", "python3-wheel"}
"""Packages of `make run` only."""


def commands() -> Mapping[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    actions = __main__.command_parser()._actions
    return next(action.choices for action in actions if isinstance(action, argparse._SubParsersAction))


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Return a parser's long options."""
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")}


def all_options() -> set[str]:
    return set[str]().union(*map(options, commands().values()))


def choices() -> list[tuple[str, str, list[str]]]:
    """Return the options with a choice of words: command, option, words."""
    pairs = ((name, action) for name, parser in commands().items() for action in parser._actions)
    return [(name, action.option_strings[0], list(action.choices)) for name, action in pairs if action.choices]


def page(name: str) -> str:
    """Return a rendered manual page, in very long lines."""
    done = subprocess.run(
        ["man", "--warnings", "--encoding=UTF-8", "--local-file", PACKAGING / "man" / name],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "1000"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def keys(document: Mapping[str, Any]) -> set[str]:
    """Return the names of all keys of a schema."""
    return {name for each in (document, *document["$defs"].values()) for name in each.get("properties", ())}


def explained(name: str, begin: str, end: str) -> set[str]:
    """Return the words in a page's tags between two headings; `series.budget` gives both words, NAME none."""
    text = (PACKAGING / "man" / name).read_text().partition(begin)[2].partition(end)[0]
    tags = re.findall(r"^\.TP\n\.B(?:R|I)? (.*)$", text, re.MULTILINE)
    return {
        word for tag in tags for word in re.findall(r"[a-z_]+", re.sub(r"\\f.", "", tag).partition("(required)")[0])
    }


def schemas() -> Mapping[str, Any]:
    return {name: json.loads(text) for name, text in json_schemas.schemas().items()}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_manual_page_renders_without_a_warning(path: Any) -> None:
    assert page(path.name)


def test_the_manual_has_every_option_and_no_other() -> None:
    assert set(OPTION.findall(page("probed.8"))) == all_options()


def test_the_manual_has_every_command_and_no_other() -> None:
    synopsis = page("probed.8").partition("SYNOPSIS")[2].partition("DESCRIPTION")[0]
    assert re.findall(r"^ +probed ([a-z]+)", synopsis, re.MULTILINE) == list(commands())


@pytest.mark.parametrize(("command", "option", "words"), choices())
def test_the_manual_has_every_word_that_an_option_takes(command: str, option: str, words: list[str]) -> None:
    paragraphs = re.split(r"\n\n+", page("probed.8"))
    said = [text for text in paragraphs if re.match(rf" +{re.escape(option)} ", text)]
    assert said
    for text in said:  # one for each command with the option
        assert set(words) <= set(re.findall(r"\w+", text))


@pytest.mark.parametrize(
    ("name", "document", "begin", "end"),
    [
        ("probed.yaml.5", "site.schema.json", ".SH DESCRIPTION", ".SH EXAMPLE"),
        ("probed-probe.5", "probe.schema.json", '.SH "THE YAML"', ".SS Decoders"),
    ],
)
def test_a_manual_page_explains_every_key_and_no_other(name: str, document: str, begin: str, end: str) -> None:
    assert explained(name, begin, end) == keys(schemas()[document])


def test_the_manual_explains_every_decoder_and_no_other() -> None:
    decoders = schemas()["probe.schema.json"]["$defs"]["Label"]["properties"]["decoder"]["enum"]
    assert explained("probed-probe.5", ".SS Decoders", '.SH "TRACE PROBES"') == set(decoders)
    assert explained("probed-probe.5", "Decoders of columns only:", ".SH EXAMPLE") == set(OF_COLUMNS)


def completed(*words: str) -> set[str]:
    """Return bash's completions of the last word."""
    script = '. "$1"; compopt() { COMPREPLY=(FILES); }; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _probed; \
        printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-uec", script, "bash", PACKAGING / "completion" / "probed", PROGRAM, *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_every_command() -> None:
    assert completed("") == {*commands(), "--help"}


@pytest.mark.parametrize("command", list(commands()))
def test_bash_completes_every_option(command: str) -> None:
    assert completed(command, "--") == options(commands()[command])


@pytest.mark.parametrize(("command", "option", "words"), choices())
def test_bash_completes_every_word_that_an_option_takes(command: str, option: str, words: list[str]) -> None:
    assert completed(command, option, "") == set(words)


@pytest.mark.parametrize("words", [("check", ""), ("run", "--config.file", "/"), ("list", "--kernel.btf", "")])
def test_bash_completes_files(words: tuple[str, ...]) -> None:
    assert completed(*words) == {"FILES"}


def test_bash_completes_addresses_behind_their_colons() -> None:
    assert completed("run", "--web.listen-address", "127.0.0.1:") == {"9788"}


def test_zsh_completes_every_option_and_no_other() -> None:
    text = (PACKAGING / "completion" / "_probed").read_text()
    assert set(OPTION.findall(text)) == all_options()


def test_zsh_takes_the_completion() -> None:
    subprocess.run(["zsh", "-n", PACKAGING / "completion" / "_probed"], check=True)


def needed(control: str) -> set[str]:
    """Return the Python packages in a field of debian/control, and in those after it."""
    return set(re.findall(r"^ (python3-[a-z0-9-]+),$", control, re.MULTILINE))


def test_the_package_depends_on_or_recommends_the_tested_packages() -> None:
    depends = needed((DEBIAN / "control").read_text().partition("\nDepends:")[2])
    tree = set(
        re.findall(r"^(python3-[a-z0-9-]+)$", (ROOT / "tests/system/harness/packages").read_text(), re.MULTILINE)
    )
    (run,) = re.findall(r"^RUN_PACKAGES := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert depends == tree == set(re.findall(r"python3-[a-z0-9-]+", run)) - ONLY_TO_BUILD


def test_bcc_is_recommended_alone() -> None:
    control = (DEBIAN / "control").read_text()
    assert re.findall(r"^Recommends:\n((?: .*\n)+)", control, re.MULTILINE) == [" python3-bpfcc,\n"]
    assert " libbpf1,\n" in control.partition("\nDepends:")[2].partition("\nRecommends:")[0]


def test_the_package_is_for_the_machines_whose_rings_probed_reads() -> None:
    control = (DEBIAN / "control").read_text()
    named = {"amd64": memory_order.ORDERED, "arm64": memory_order.WITH_BARRIERS}
    (architectures,) = re.findall("^Architecture: (.*)$", control, re.MULTILINE)
    assert [named[each] for each in architectures.split()] == list(memory_order.MACHINES)
    assert " libatomic1 [arm64],\n" in control.partition("\nDepends:")[2].partition("\nRecommends:")[0]


def test_the_package_has_the_version_of_the_program() -> None:
    assert (DEBIAN / "changelog").read_text().startswith(f"probed ({__version__}) ")


UNIT = (ROOT / "packaging/systemd/probed.service").read_text()


def setting(name: str) -> str:
    """Return the value of a setting of the unit."""
    return next(line.partition("=")[2] for line in UNIT.splitlines() if line.startswith(f"{name}="))


def test_the_unit_wants_the_network_that_it_is_ordered_after() -> None:
    assert "network-online.target" in setting("After").split()
    assert "network-online.target" in setting("Wants").split()


def test_restarts_after_failures_stay_below_the_start_limit() -> None:
    assert (setting("StartLimitIntervalSec"), setting("RestartSec")[-1]) == ("1min", "s")
    assert float(setting("RestartSec").rstrip("s")) * int(setting("StartLimitBurst")) > 60


def test_the_unit_restarts_after_any_end_and_lets_the_exporter_confine_itself() -> None:
    lines = (PACKAGING / "systemd" / "probed.service").read_text().splitlines()
    assert "Restart=always" in lines
    allowed = {call for line in lines if line.startswith("SystemCallFilter=") for call in line.split("=")[1].split()}
    assert {"seccomp", "landlock_create_ruleset", "landlock_restrict_self"} <= allowed


def test_the_launcher_takes_no_code_from_the_caller_s_home_or_variables(tmp_path: Path) -> None:
    """`sudo` and `su` may keep HOME and PYTHONPATH of another user."""
    launcher, ran = tmp_path / "probed", tmp_path / "ran"
    text = (DEBIAN / "bin" / "probed").read_text()
    flags = text.splitlines()[0].split()[1:]
    launcher.write_text(text.replace('"/usr/share/probed"', repr(str(ROOT / "daemon"))))
    packages = tmp_path / ".local/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.mkdir(parents=True)
    for name in ("usercustomize", "sitecustomize", "argparse"):
        (packages / f"{name}.py").write_text(f"open({str(ran)!r}, 'w')\n")
    evil = {"HOME": str(tmp_path), "PYTHONPATH": str(packages), "PYTHONUSERBASE": str(tmp_path / ".local")}
    done = subprocess.run(
        [sys.executable, *flags, launcher, "version"], env={**os.environ, **evil}, cwd=packages,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"probed {__version__}\n"
    assert not ran.exists()


def test_the_unit_has_a_larger_share_of_a_busy_machine_than_other_services() -> None:
    default_weight, default_nice = 100, 0
    assert int(setting("CPUWeight")) > default_weight
    assert int(setting("Nice")) < default_nice


def test_the_unit_bounds_memory_and_tasks() -> None:
    assert setting("MemoryMax") == "512M"
    assert int(setting("TasksMax")) == 64
