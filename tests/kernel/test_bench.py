# SPDX-License-Identifier: Apache-2.0
"""A short bench runs every measurement; the test ignores the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from bench.__main__ import MEASUREMENTS
from support.running_daemon import ROOT, free_port

PATIENCE = 360.0


PEER = """
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a 1\\nb 2\\n")
http.server.HTTPServer(("127.0.0.1", PORT), Page).serve_forever()
"""


def test_a_short_bench_measures_everything(tmp_path: Path) -> None:
    result, peer, port = tmp_path / "bench.json", tmp_path / "peer.yaml", free_port()
    command_of_peer = [sys.executable, "-c", PEER.replace("PORT", str(port))]
    peer.write_text(
        yaml.dump({"name": "other", "url": f"http://127.0.0.1:{port}/", "configurations": {"all": command_of_peer}})
    )
    command = [sys.executable, "-m", "bench", "--short", "--json", str(result), "--peer", str(peer)]
    path = f"{ROOT / 'tests'}:{ROOT / 'daemon'}"
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": path}, timeout=PATIENCE, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found = json.loads(result.read_text())
    assert {"kernel", "cpu", "commit", "numpy"} <= set(found["machine"])
    assert set(found["figures"]) == {*MEASUREMENTS, "peer"}
    assert all(found["figures"].values())
    told = {figure["about"] for figure in found["figures"]["peer"]}
    assert {"idle, other", "idle, probed", "memory, PSS, other"} <= told
    assert "getppid, other, all" in {figure["about"] for figure in found["figures"]["hooks"]}
