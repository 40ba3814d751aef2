# SPDX-License-Identifier: Apache-2.0
"""Attack a server on a loopback and print the client's scrapes. Run from the folder of the tests:

python -m attacks http://127.0.0.1:9788                   # each for three seconds
python -m attacks http://127.0.0.1:9788 30 flood          # 10,000 requests a second for 30 s
python -m attacks https://127.0.0.1:9788                  # attacks on HTTP through TLS, then on TLS
python -m attacks --identity client.pem https://127.0.0.1:9788
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import time

from attacks import http, tls
from attacks.scraping import attacking, scrape_until, scraper
from attacks.target import Target

ATTACKS = {attack.__name__: attack for attack in (*http.ATTACKS, *tls.ATTACKS)}
LONGEST = 60.0
"""Most seconds of an attack."""


def _alone(attack: str, target: Target, seconds: float) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    signal.alarm(int(LONGEST) + 5)
    ATTACKS[attack](target, time.monotonic() + seconds)


def main() -> None:
    parser = argparse.ArgumentParser("attacks", description="Attack a server on a loopback.")
    parser.add_argument("--alone", action="store_true", help="attack only")
    parser.add_argument("--identity", default="", help="a client's certificate and key, as one PEM file")
    parser.add_argument("url")
    parser.add_argument("seconds", nargs="?", type=float, default=3.0)
    parser.add_argument("attack", nargs="?", choices=list(ATTACKS))
    given = parser.parse_args()
    target, seconds = Target(given.url, given.identity), min(given.seconds, LONGEST)
    if given.alone:
        _alone(given.attack, target, seconds)
        return
    every = ATTACKS if given.url.startswith("https:") else [attack.__name__ for attack in http.ATTACKS]
    for name in [given.attack] if given.attack else every:
        with attacking(name, target, seconds) as process:
            print(f"{name:18} {scrape_until(scraper(target), process)}", flush=True)


if __name__ == "__main__":
    os.nice(5)
    main()
