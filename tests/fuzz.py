# SPDX-License-Identifier: Apache-2.0
"""Runs the properties of unit/test_fuzz.py under atheris, each for some seconds; see `make fuzz`.

    python fuzz.py SECONDS [NAME…]

atheris keeps the inputs that reach more code. A failing property ends the run with the input in a file `crash-…`.
atheris: https://github.com/google/atheris; its hook in Hypothesis:
https://hypothesis.readthedocs.io/en/latest/extras.html

The longest run (November 2026, atheris 3.0.0, 120 s each, and 180 s for the file of --http.config.file): 2.2 million
inputs, none failing: 357,000 of YAML, 14,000 declarations, 53,000 site, 15,000 web and 59,000 HTTP
configurations, 46,000 messages, 651,000 packets, 293,000 ring records, 200,000 paths of control groups, 155,000 HTTP
heads, 361,000 values of headers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the names of all properties."""
    from unit import test_fuzz

    return [name for name in vars(test_fuzz) if name.startswith("test_")]


def alone(name: str, arguments: list[str]) -> None:
    """Fuzz one property in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["probed", "h11", "yaml"]):
        from unit import test_fuzz

    atheris.Setup([sys.argv[0], *arguments], getattr(test_fuzz, name).hypothesis.fuzz_one_input)
    atheris.Fuzz()


def main(seconds: str = "10", *wanted: str) -> int:
    """Fuzz the properties one after another; return how many failed."""
    if seconds == "alone":
        alone(wanted[0], list(wanted[1:]))
    failed = []
    for name in wanted or names():
        with tempfile.TemporaryDirectory() as corpus:
            limits = (f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", corpus)
            command = [sys.executable, __file__, "alone", name, *limits]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"{name:36} {'ok' if done.returncode == 0 else 'FAILED'} {' '.join(told)}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout, done.stderr, file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent / "daemon")]
    sys.exit(main(*sys.argv[1:]))
