# SPDX-License-Identifier: Apache-2.0
"""The landing page: state and links for a person with a browser.

`application` serves the page at ``/`` with `CONTENT_SECURITY_POLICY`: one HTML document without scripts or external
resources. All text is escaped, since names and reasons come from files and from the kernel.
"""

from __future__ import annotations

import time

from probed.frozen import frozen
from probed.ipc.evidence_messages import LatestEvidence
from probed.ipc.exporter_messages import ProbeStatus
from probed.log import MessageId
from probed.terminal import printable

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: bold; padding: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; }
tr { border-bottom: 1px solid #8886; }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace; }
.up { color: #187a32; } .down { color: #c62828; font-weight: bold; }
@media (prefers-color-scheme: dark) { .up { color: #6fcf87; } .down { color: #ff8a80; } }
"""

STYLE_DIGEST = "sha256-fguWrmmRx7kp8jEz6PE3Qto0R0rekaYBvXEW65WOMl0="
"""Base64 SHA-256 of `STYLE`, the only style that the policy allows (Content Security Policy Level 3)."""

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src '{STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
"""The escapes of html.escape; the package `html` would load 0.4 MB of character names."""


@frozen
class Landing:
    """Content of the page: `unready` is the reason why the exporter is not ready, else empty."""

    version: str
    telemetry_path: str
    unready: str
    probes: tuple[ProbeStatus, ...]
    evidence: LatestEvidence | None = None


def render(landing: Landing) -> bytes:
    """Return the page as UTF-8 HTML."""
    return _DOCUMENT.format(
        style=STYLE,
        version=_escape(landing.version),
        readiness=_readiness(landing.unready),
        metrics=_escape(landing.telemetry_path),
        rows="".join(map(_row, landing.probes)) or '<tr><td colspan="5">No probe is configured.</td></tr>\n',
        evidence=_evidence(landing.evidence),
    ).encode()


def _escape(text: str) -> str:
    return printable(text).translate(_ESCAPES)


def _readiness(unready: str) -> str:
    if unready:
        return f'<span class="down">not ready</span>: {_escape(unready)}'
    return '<span class="up">ready</span>'


def _evidence(latest: LatestEvidence | None) -> str:
    """Return the paragraph on the latest evidence; the page never has arguments."""
    if latest is None:
        return "<p>No evidence of a storm since the start.</p>"
    begun = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(latest.time))
    return (
        f"<p>Latest evidence of a storm: {latest.rows} rows of <b>{_escape(latest.unit)}</b>, rule {latest.rule}, "
        f"{begun}. On the host, as root or in the journal's groups:</p>\n"
        f"<pre>journalctl MESSAGE_ID={MessageId.EVIDENCE} {_escape(_shell_word(f'UNIT={latest.unit}'))}</pre>"
    )


def _shell_word(text: str) -> str:
    """Quote a text for a shell; the module `shlex` stays out of the exporter."""
    quoted = text.replace("'", "'\\''")
    return f"'{quoted}'"


def _row(probe: ProbeStatus) -> str:
    state = "up" if probe.up else "down"
    return (
        f'<tr><th scope="row">{_escape(probe.name)}</th><td class="{state}">{state}</td>'
        f"<td>{_escape(probe.loader)}</td><td>{_escape(probe.description)}</td>"
        f'<td class="text">{_escape(": ".join(filter(None, (probe.reason, probe.text))))}</td></tr>\n'
    )


_DOCUMENT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>probed</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>probed</h1>
<p>Version {version}, {readiness}.</p>
<nav aria-label="Pages">
<ul>
<li><a href="{metrics}">Metrics</a></li>
<li><a href="/-/healthy">Healthy</a></li>
<li><a href="/-/ready">Ready</a></li>
</ul>
</nav>
<table>
<caption>Probes</caption>
<thead><tr><th scope="col">Probe</th><th scope="col">State</th><th scope="col">Loader</th>\
<th scope="col">Description</th><th scope="col">Reason</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
{evidence}
</main>
</body>
</html>
"""
