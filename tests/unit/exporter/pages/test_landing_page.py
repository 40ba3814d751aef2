# SPDX-License-Identifier: Apache-2.0
"""The landing page shows the state of the probes and escapes all text."""

from __future__ import annotations

import base64
import hashlib
import html
import shlex
from html.parser import HTMLParser

from probed.exporter.pages.landing_page import CONTENT_SECURITY_POLICY, STYLE, STYLE_DIGEST, Landing, render
from probed.ipc.evidence_messages import LatestEvidence
from probed.ipc.exporter_messages import ProbeStatus
from probed.log import MessageId

UP = ProbeStatus("process", "Starts and ends of processes.", True, "", "", {}, "core")
DOWN = ProbeStatus("opens", "Failed opens.", False, "verifier", "line 3: R1 invalid mem access\n<b>", {"verifier": 2})


class Reader(HTMLParser):
    """Text by element and the links; fails on unbalanced elements."""

    VOID = ("meta",)

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.cells: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def _read(*probes: ProbeStatus, unready: str = "", path: str = "/metrics", version: str = "1.2") -> Reader:
    reader = Reader(render(Landing(version, path, unready, probes)))
    assert reader.open == []
    return reader


def test_every_probe_has_its_state_and_reason() -> None:
    assert _read(UP, DOWN).cells[5:] == [
        *("process", "up", "core", "Starts and ends of processes.", ""),
        *("opens", "down", "", "Failed opens.", "verifier: line 3: R1 invalid mem access\n<b>"),
    ]


def test_the_page_links_to_the_others() -> None:
    assert _read(UP, path="/probed/metrics").links == ["/probed/metrics", "/-/healthy", "/-/ready"]


def test_the_page_says_whether_all_is_ready() -> None:
    assert b'<span class="up">ready</span>' in render(Landing("1", "/metrics", "", (UP,)))
    assert b"not ready</span>: draining stopped" in render(Landing("1", "/metrics", "draining stopped", (UP,)))


def test_no_text_can_become_markup() -> None:
    evil = "\"'><script>alert(1)</script>{style}&amp;<a href=//x>"
    strange = ProbeStatus(evil, evil, False, evil, evil, {})
    calm = _read(DOWN, unready="x")
    reader = _read(strange, unready=evil, path="/m\"'><script>", version=evil)
    assert reader.tags == calm.tags
    assert reader.cells[5] == evil


def test_a_path_that_is_not_utf_8_is_shown_with_escapes() -> None:
    odd = ProbeStatus("a", "", False, "compile", "/mnt/caf\udce9/a.bpf.c:3: no", {})
    assert "/mnt/caf\\xe9/a.bpf.c:3: no" in " ".join(_read(odd).cells)


def test_without_probes_the_page_says_so() -> None:
    assert _read().cells[5:] == ["No probe is configured."]


def test_the_policy_allows_the_style_and_nothing_else() -> None:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert f"sha256-{digest}" == STYLE_DIGEST
    assert f"style-src '{STYLE_DIGEST}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert f"<style>{STYLE}</style>".encode() in render(Landing("1", "/metrics", "", ()))


def test_nothing_is_fetched_and_nothing_runs() -> None:
    page = render(Landing("1", "/metrics", "", (UP, DOWN)))
    for forbidden in (
        b"<script",
        b"<link",
        b"<img",
        b"http:",
        b"https:",
        b"@import",
        b"url(",
        b" style=",
        b" onclick",
    ):
        assert forbidden not in page
    assert "lang" in page.decode()[:40]


def test_the_latest_evidence_is_named_with_the_command_that_finds_it() -> None:
    evidence = LatestEvidence("it's<b>.service", "starts", 50, 1_700_000_000.0)
    page = render(Landing("1", "/metrics", "", (UP,), evidence)).decode()
    Reader(page.encode())
    assert "50 rows of <b>it&#x27;s&lt;b&gt;.service</b>, rule starts, 2023-11-14 22:13:20 UTC" in page
    words = shlex.split(html.unescape(page.partition("<pre>")[2].partition("</pre>")[0]))
    assert words == ["journalctl", f"MESSAGE_ID={MessageId.EVIDENCE}", "UNIT=it's<b>.service"]
