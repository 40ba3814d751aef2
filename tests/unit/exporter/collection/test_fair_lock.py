# SPDX-License-Identifier: Apache-2.0
"""Threads get the lock in the order of their requests, and a pause serves all that wait."""

from __future__ import annotations

import threading

from probed.exporter.collection.fair_lock import FairLock


def test_a_pause_serves_every_thread_that_waits_in_its_order() -> None:
    lock, served = FairLock(), list[int]()

    def work(number: int) -> None:
        with lock:
            served.append(number)

    with lock:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
        for waiting, thread in enumerate(threads, 2):
            thread.start()
            while lock._next < waiting:
                pass
        lock.pause()
        served.append(5)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 4, 5]


def test_a_pause_of_an_owner_for_whom_no_thread_waits_keeps_the_lock() -> None:
    lock = FairLock()
    with lock:
        lock.pause()
        assert (lock._served, lock._next) == (0, 1)
    with lock:
        assert (lock._served, lock._next) == (1, 2)


def test_an_error_under_the_lock_releases_the_lock() -> None:
    lock = FairLock()
    try:
        with lock:
            raise ValueError
    except ValueError:
        pass
    with lock:
        assert lock._served == 1
