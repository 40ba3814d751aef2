# SPDX-License-Identifier: Apache-2.0
"""Programs at USDT probes of a workload count exactly, with arguments, at several places and behind a semaphore."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kernel_fixtures import OWN_PROBES, Install, Start
from support.running_daemon import PROBES, Page, run_to_its_end, site

TIMES = 10_007


class Marks:
    """The probe marks for a copy of the workload that only this test runs, by one loader or the other."""

    def __init__(self, folder: Path, workload: Path) -> None:
        self.probes, self.program = folder / "probes", folder / "program"
        shutil.copy(workload, self.program)
        shutil.copytree(OWN_PROBES / "marks", self.probes / "marks")
        shutil.copytree(PROBES / "include", self.probes / "include", ignore=shutil.ignore_patterns("*.bpf.o"))
        self.declaration = self.probes / "marks" / "marks.yaml"
        self.declare("/usr/bin/marks", str(self.program))

    def declare(self, old: str, new: str) -> None:
        self.declaration.write_text(self.declaration.read_text().replace(old, new))

    def build(self) -> None:
        subprocess.run([sys.executable, "-m", "probed", "build", self.probes], check=True, stdout=subprocess.DEVNULL)

    def site(self, loader: str) -> dict[str, Any]:
        return site({"marks": None}, [self.probes], loader=loader)

    def run(self, times: int = TIMES) -> int:
        """Run the workload; return how often the semaphore let it pass."""
        told = subprocess.run([self.program, str(times)], check=True, capture_output=True, text=True)
        return int(told.stdout)


@pytest.fixture
def marks(install: Install) -> Iterator[Marks]:
    """The probe in a folder that every user can read, as /usr/bin: the loader gives up root's rights."""
    with tempfile.TemporaryDirectory(prefix="probed-") as folder:
        Path(folder).chmod(0o755)
        yield Marks(Path(folder), install("marks"))


def sums(page: Page, metric: str = "probed_marks_total") -> dict[str, float]:
    return {name: value for name, value in page.by("sum", metric).items() if value}


def marked(*times: int) -> dict[str, float]:
    """Return the sums after runs of the workload: `twice` has two places, and its numbers begin at 0."""
    runs, numbers = sum(times), sum(n * (n - 1) // 2 for n in times)
    return {
        "twice": 2 * runs, "numbers": 2 * numbers, "negatives": 2 * numbers,
        "guarded": runs, "doubles": 2 * numbers,
        "sevens": 7 * runs, "three_hundreds": 300 * runs,
        "odd": runs, "odd_numbers": numbers,
    }  # fmt: skip


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_usdt_probes_are_counted_with_arguments_at_each_place_and_behind_a_semaphore(
    start: Start, marks: Marks, loader: str
) -> None:
    assert marks.run(101) == 0
    if loader == "core":
        marks.build()
    daemon = start(marks.site(loader))
    assert marks.run() == TIMES
    page = daemon.scrape()
    assert page.value("probed_probe_info", probe="marks", loader=loader) == 1
    assert sums(page) == marked(TIMES)
    by_parity = page.by("odd", "probed_odd_marks_total", comm=marks.program.name)
    assert by_parity == {"0": TIMES // 2 + 1, "1": TIMES // 2}
    assert page.accounted("marks") == page.emitted("marks") == TIMES


@pytest.mark.parametrize("loader", ["bcc", "core"])
def test_a_second_probe_at_the_same_places_has_the_same_arguments(start: Start, marks: Marks, loader: str) -> None:
    second = marks.probes / "second"
    second.mkdir()
    for name in ("marks.yaml", "marks.bpf.c"):
        text = (marks.probes / "marks" / name).read_text().replace("_marks_total", "_second_total")
        (second / name.replace("marks", "second")).write_text(text)
    if loader == "core":
        marks.build()
    daemon = start(site({"marks": None, "second": None}, [marks.probes], loader=loader))
    marks.run()
    page = daemon.scrape()
    assert sums(page) == sums(page, "probed_second_total") == marked(TIMES)


def test_a_process_that_runs_already_passes_the_semaphore_only_while_the_probe_is_attached(
    start: Start, marks: Marks
) -> None:
    with subprocess.Popen([marks.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout

        def run(times: int) -> int:
            assert process.stdin and process.stdout
            print(times, file=process.stdin, flush=True)
            return int(process.stdout.readline())

        assert run(7) == 0
        daemon = start(marks.site("bcc"))
        assert run(1_009) == 1_009
        assert sums(daemon.scrape()) == marked(1_009)
        daemon.stop()
        assert run(11) == 0
        process.stdin.close()


def test_a_reload_from_bcc_to_an_object_loses_no_mark(start: Start, marks: Marks) -> None:
    daemon = start(marks.site("bcc"))
    marks.run(101)
    marks.build()
    with subprocess.Popen([marks.program, "100003"], stdout=subprocess.PIPE, text=True) as running:
        page = daemon.reload(marks.site("core"))
        assert page.value("probed_probe_info", probe="marks", loader="core") == 1
        assert running.communicate()[0] == "100003\n"
    assert sums(daemon.scrape()) == marked(101, 100_003)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("name: twice", "name: twicf", "has no USDT probe 'known.twicf'; near names: known.twice"),
        ("name: twice", "name: thrice", "probes there: known.constants, known.guarded, known.odd, known.twice"),
        (", arguments: 1", "", "cannot read argument 1 of the USDT probe 'known.odd', which is at '8f@%xmm0'"),
        ("arguments: 1", "arguments: 3", "'known.odd' has 2 arguments at 0x"),
    ],
)
def test_check_names_the_probes_of_the_file_and_arguments_that_programs_cannot_read(
    marks: Marks, right: str, wrong: str, said: str
) -> None:
    marks.declare(right, wrong)
    status, text = run_to_its_end("check", "--loader", "bcc", str(marks.probes / "marks"))
    assert status == 1
    assert re.search(rf"{marks.declaration}:\d+: programs\.on_\w+\.usdt: ", text)
    assert said in text


def test_a_program_without_the_probe_is_down_with_the_reason_and_the_others_run(start: Start, marks: Marks) -> None:
    marks.declare(str(marks.program), "/usr/bin/true")
    configuration = site({"marks": None, "notes": None}, [marks.probes, PROBES, OWN_PROBES], loader="bcc")
    daemon = start(configuration)
    page = daemon.scrape()
    assert page.by("probe", "probed_probe_up") == {"notes": 1}
    assert list(page.by("reason", "probed_probe_load_failures_total", probe="marks")) == ["attach_point"]
    assert "'/usr/bin/true' has no USDT probes" in daemon.log()
