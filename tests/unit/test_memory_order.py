# SPDX-License-Identifier: Apache-2.0
"""Barriers by machine: none where loads stay in order, libatomic's on arm64, an error on machines without support."""

from __future__ import annotations

import ctypes

import pytest

from probed import memory_order
from probed.errors import HostError
from probed.memory_order import barrier


def test_x86_64_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_order, "LIBATOMIC", "libmissing.so.1")
    barrier("x86_64")()


def test_arm64_calls_libatomic(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []

    class Library:
        def __init__(self, name: str) -> None:
            assert name == "libatomic.so.1"

        @staticmethod
        def atomic_thread_fence(order: int) -> None:
            called.append(order)

    monkeypatch.setattr(ctypes, "CDLL", Library)
    barrier("aarch64")()
    assert called == [4]


def test_arm64_without_libatomic_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_order, "LIBATOMIC", "libmissing.so.1")
    with pytest.raises(HostError, match="apt install libatomic1"):
        barrier("aarch64")


def test_another_machine_is_refused() -> None:
    with pytest.raises(HostError, match="x86_64 and aarch64 only, this is riscv64"):
        barrier("riscv64")
