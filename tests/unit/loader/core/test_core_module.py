# SPDX-License-Identifier: Apache-2.0
"""An object's maps get sizes and flags that this machine and its kernel take, its constants the loader's values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from probed.errors import LoadError
from probed.linux.bpf import BPF_F_NO_PREALLOC
from probed.loader.common.host import MOST_PROCESSES, Host
from probed.loader.core.core_module import CPU_ENTRIES, PROCESSES, CoreModule

HASH, RING = 1, 27
OTHER_FLAG = 1 << 10
CPUS, THREADS = 3, 20_011


class FakeTypes:
    """The object's types, without a constant."""

    def variables(self, _section: str) -> dict[str, tuple[int, int]]:
        return {}


@dataclass
class FakeMap:
    """struct bpf_map of libbpf."""

    type: int
    max_entries: int
    flags: int = 0

    def set_max_entries(self, entries: int) -> None:
        self.max_entries = entries

    def set_flags(self, flags: int) -> None:
        self.flags = flags


def prepared(on_demand: bool, **maps: FakeMap) -> dict[str, FakeMap]:
    """Prepare maps for a machine with 3 CPUs and 20,011 threads."""
    module, host = CoreModule.__new__(CoreModule), Host(Path("absent"), CPUS, "x86_64", THREADS)
    module._maps = maps  # type: ignore[assignment]
    host.allocates_on_demand = on_demand
    module.prepare({}, host, 8192)
    return maps


@pytest.mark.parametrize(("on_demand", "flags"), [(True, BPF_F_NO_PREALLOC | OTHER_FLAG), (False, OTHER_FLAG)])
def test_entries_are_allocated_on_demand_where_any_program_can(on_demand: bool, flags: int) -> None:
    maps = prepared(on_demand, notes=FakeMap(HASH, 10, BPF_F_NO_PREALLOC | OTHER_FLAG), others=FakeMap(HASH, 10))
    assert (maps["notes"].flags, maps["others"].flags) == (flags, 0)


def test_sizes_are_those_of_the_machine() -> None:
    maps = prepared(
        True,
        ring=FakeMap(RING, 0), cpus=FakeMap(HASH, CPU_ENTRIES), processes=FakeMap(HASH, PROCESSES),
        ended=FakeMap(HASH, PROCESSES // 4), own=FakeMap(HASH, MOST_PROCESSES),
    )  # fmt: skip
    assert [each.max_entries for each in maps.values()] == [8192, CPUS, THREADS, THREADS // 4, MOST_PROCESSES]


def test_an_object_by_another_version_s_header_is_an_error_with_the_remedy() -> None:
    module, host = CoreModule.__new__(CoreModule), Host(Path("absent"), CPUS, "x86_64", THREADS)
    module._probe, module._btf = "copied", FakeTypes()  # type: ignore[assignment]
    with pytest.raises(LoadError, match="beside the probe is another version's core"):
        module.prepare({"probed_cpus": CPUS}, host)
