# SPDX-License-Identifier: Apache-2.0
"""States of probes, and listening sockets; no test starts a process."""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from probed.errors import REASONS, HostError, LoadError
from probed.ipc import loader_process
from probed.ipc.channel import Channel
from probed.ipc.exporter_messages import FROM_EXPORTER, FromExporter, Status, ToExporter
from probed.ipc.loader_messages import LoadRequest, ObjectFile, Text, Wanted
from probed.ipc.loader_process import ProbeHandle
from probed.ipc.manifest import FdName, LoadedProbe, ResolvedMetric
from probed.supervisor import listeners
from probed.supervisor.probe_states import FIRST_RETRY, LAST_RETRY, Probes
from probed.supervisor.systemd import listen_fds
from probed.webconfig.listen_address import Address

NONE = Text("", "")


def wanted(name: str, fingerprint: str = "1", digest: str = "") -> Wanted:
    found = ObjectFile(f"{name}.bpf.o", digest) if digest else None
    return Wanted(f"The probe {name}.", LoadRequest(name, NONE, None, NONE, NONE, NONE, "", fingerprint, found))


def held(name: str, fingerprint: str = "1", metric: str | None = None) -> ProbeHandle:
    of = ResolvedMetric(metric or f"probed_{name}_total", "counter", "Help.", ("m",), {}, (), None, 1.0, ())
    loaded = LoadedProbe(name, fingerprint, None, 0, (), (of,), (FdName("stats"), FdName("program", "on_x")))
    reader, writer = os.pipe()
    return ProbeHandle(loaded, {FdName("stats"): reader, FdName("program", "on_x"): writer})


def is_open(one: ProbeHandle) -> bool:
    try:
        os.fstat(one.fds[FdName("stats")])
    except OSError:
        return False
    return True


@pytest.fixture
def probes() -> Iterator[Probes]:
    """Probes `a` and `b`, both up."""
    probes = Probes()
    probes.want({name: wanted(name) for name in "ab"})
    for name in "ab":
        probes.came_up(name, held(name))
    yield probes
    probes.close()


def test_everything_is_to_be_loaded_at_first() -> None:
    assert Probes().want({name: wanted(name) for name in "ab"}) == (["a", "b"], [])


def test_what_is_unchanged_is_left_alone(probes: Probes) -> None:
    before = probes.handles()
    assert probes.want({name: wanted(name) for name in "ab"}) == ([], [])
    assert probes.handles() == before


def test_only_what_changed_is_loaded_and_runs_on_until_then(probes: Probes) -> None:
    assert probes.want({"a": wanted("a"), "b": wanted("b", "2")}) == (["b"], [])
    assert [each.loaded.fingerprint for each in probes.handles()] == ["1", "1"]


def test_an_object_of_the_same_sources_renews_a_probe_that_runs(probes: Probes) -> None:
    a, _ = probes.handles()
    names, _ = probes.want({"a": wanted("a", digest="d"), "b": wanted("b", "2", digest="d"), "c": wanted("c")})
    assert names == ["a", "b", "c"]
    assert probes.renewed(names) == {"a": a}


def test_a_source_of_a_probe_that_came_from_an_object_is_another_version(probes: Probes) -> None:
    a = held("a")
    probes.came_up("a", ProbeHandle(replace(a.loaded, object="d"), a.fds))
    names, _ = probes.want({"a": wanted("a"), "b": wanted("b")})
    assert names == ["a"]
    assert probes.renewed(names) == {}


def test_a_version_has_the_maps_of_another_if_their_counters_are_one_map(
    probes: Probes, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, other = probes.handles()[0], held("a")
    same = {running.fds[FdName("stats")]: "map_id:7", other.fds[FdName("stats")]: "map_id:7"}
    monkeypatch.setattr(loader_process, "identity", lambda fd: same.get(fd, f"map_id:{fd}"))
    assert probes.with_maps_of(other) is running
    same.clear()
    assert probes.with_maps_of(other) is None
    other.close()


def test_what_is_no_longer_wanted_is_let_go(probes: Probes) -> None:
    _, gone = probes.handles()
    assert probes.want({"a": wanted("a")}) == ([], ["b"])
    assert not is_open(gone)


def test_what_ran_before_a_restart_runs_on_and_only_the_rest_is_loaded() -> None:
    unchanged, changed = held("a"), held("b", "0")
    probes = Probes()
    assert probes.start({name: wanted(name) for name in "abc"}, [unchanged, changed]) == ["b", "c"]
    assert probes.handles() == [unchanged, changed]
    probes.close()


def test_what_ran_before_a_restart_and_is_not_wanted_any_more_is_let_go() -> None:
    gone = held("b")
    probes = Probes()
    assert probes.start({"a": wanted("a")}, [gone]) == ["a"]
    assert not is_open(gone)


@pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
def test_of_two_versions_that_ran_the_wanted_one_stays(order: tuple[str, str]) -> None:
    both = [held("a", fingerprint) for fingerprint in order]
    probes = Probes()
    assert probes.start({"a": wanted("a", "1")}, both) == []
    (kept,) = probes.handles()
    assert kept.loaded.fingerprint == "1"
    assert [is_open(each) for each in both] == [each is kept for each in both]
    probes.close()


def test_a_newer_version_takes_the_older_one_s_place(probes: Probes) -> None:
    old, _ = probes.handles()
    probes.want({"a": wanted("a", "2"), "b": wanted("b")})
    probes.came_up("a", held("a", "2"))
    assert not is_open(old)
    assert [each.loaded.fingerprint for each in probes.handles()] == ["2", "1"]


def test_a_newer_version_that_fails_leaves_the_older_one_up(probes: Probes) -> None:
    probes.want({"a": wanted("a", "2"), "b": wanted("b")})
    probes.failed(LoadError("a", "verifier", "no"), 0.0)
    status = next(iter(probes)).status()
    assert (status.up, status.reason, status.failures["verifier"]) == (True, "", 1)


def test_a_failed_probe_shows_its_reason_and_every_other_at_zero() -> None:
    probes = Probes()
    probes.want({"a": wanted("a")})
    probes.failed(LoadError("a", "compile", "the text"), 0.0)
    status = next(iter(probes)).status()
    assert (status.up, status.reason, status.text) == (False, "compile", "the text")
    assert status.failures == {reason: int(reason == "compile") for reason in REASONS}


def test_a_failed_probe_is_tried_again_ever_more_seldom() -> None:
    probes = Probes()
    probes.want({"a": wanted("a")})
    waits = [probes.failed(LoadError("a", "compile", ""), 0.0) for _ in range(9)]
    assert waits[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert waits[-1] == LAST_RETRY


def test_a_retry_is_due_at_its_time_and_not_while_it_is_tried() -> None:
    probes = Probes()
    probes.want({"a": wanted("a")})
    probes.failed(LoadError("a", "compile", ""), 100.0)
    assert (probes.next_retry(), probes.due(100.0 + FIRST_RETRY - 1), probes.due(100.0 + FIRST_RETRY)) == (
        100.0 + FIRST_RETRY, [], ["a"],
    )  # fmt: skip
    probes.requests(["a"])
    assert (probes.next_retry(), probes.due(1e9)) == (None, [])


def test_a_reload_tries_a_failed_probe_at_once() -> None:
    probes = Probes()
    probes.want({"a": wanted("a")})
    probes.failed(LoadError("a", "compile", ""), 0.0)
    assert probes.due(FIRST_RETRY - 1) == []
    assert probes.want({"a": wanted("a")}) == (["a"], [])


def test_a_reload_tries_a_newer_version_that_failed_at_once(probes: Probes) -> None:
    newer = {"a": wanted("a", "2"), "b": wanted("b")}
    probes.want(newer)
    probes.failed(LoadError("a", "compile", ""), 0.0)
    assert probes.want(newer) == (["a"], [])
    assert probes.outdated() == ["a"]


def test_long_errors_of_several_probes_fit_into_one_message(probes: Probes) -> None:
    text = "\n".join(f"a.yaml:{line}: metrics.m.labels.l: field 'ü' is not in 'struct event'" for line in range(5_000))
    for state in probes:
        probes.failed(LoadError(state.wanted.request.name, "declaration", text), 0.0)
        if state.handle is not None:
            state.handle.close()
            state.handle = None
    status = Status(probes.statuses(), "", True, 0.0, 0)
    ours, theirs = Channel[ToExporter, FromExporter].pair(FROM_EXPORTER)
    with theirs:
        ours.send(status)
    ours.close()
    assert all(re.search(r"\n… lines left out: 4\d{3}$", each.text) for each in status.probes)


def test_a_metric_of_another_probe_is_noticed(probes: Probes) -> None:
    double = held("c", metric="probed_b_total")
    assert probes.other_with_metric_of(double) == "b"
    double.close()


def test_port_zero_is_any_free_port_and_the_url_tells_it() -> None:
    (listener,) = listeners.bind([Address("127.0.0.1", 0)])
    with listener:
        port = listener.getsockname()[1]
        assert listeners.url(listener, "/metrics", "http") == f"http://127.0.0.1:{port}/metrics"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "", "::"])
def test_a_bound_address_can_be_connected_to(host: str) -> None:
    (listener,) = listeners.bind([Address(host, 0)])
    with listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5):
        pass


def test_an_ipv6_address_keeps_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    lo = socket.if_nametoindex("lo")
    resolved = ("fe80::1", 9788, 0, lo)
    bound: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET6, 0, 0, "", resolved)])
    monkeypatch.setattr(socket, "create_server", lambda address, **_: bound.append(address))
    listeners.bind([Address("fe80::1%lo", 9788)])
    assert bound == [resolved]
    with socket.socket(socket.AF_INET6) as listener:
        monkeypatch.setattr(socket.socket, "getsockname", lambda _: resolved)
        assert listeners.url(listener, "/", "http") == "http://[fe80::1%25lo]:9788/"


def test_a_kept_socket_that_takes_no_ipv4_is_replaced_where_all_interfaces_are_wanted() -> None:
    kept = socket.create_server(("::", 0), family=socket.AF_INET6)
    port = kept.getsockname()[1]
    (fresh,) = listeners.bind([Address("::", port)], [kept])
    with fresh, socket.create_connection(("127.0.0.1", port), timeout=5):
        assert kept.fileno() == -1


def test_a_kept_socket_is_used_where_its_address_is_wanted_and_else_closed() -> None:
    kept = listeners.bind([Address("127.0.0.1", 0), Address("127.0.0.1", 0)])
    one, other = (each.getsockname()[1] for each in kept)
    (again,) = listeners.bind([Address("127.0.0.1", one)], kept)
    assert again is kept[0]
    assert kept[1].fileno() == -1
    (fresh,) = listeners.bind([Address("127.0.0.1", other)])
    again.close()
    fresh.close()


def test_a_socket_unit_must_have_passed_listening_sockets() -> None:
    (good,) = listeners.bind([Address("127.0.0.1", 0)])
    with good, socket.socket() as idle:
        assert listeners.activated([good]) == [good]
        with pytest.raises(HostError, match="systemd passed no socket"):
            listeners.activated([])
        with pytest.raises(HostError, match="a socket does not listen"):
            listeners.activated([good, idle])


def test_fds_that_systemd_passes_are_told_apart_by_kind_and_name() -> None:
    kept, unit = listeners.bind([Address("127.0.0.1", 0), Address("127.0.0.1", 0)])
    memory = os.memfd_create("memory")
    fds = {os.dup(kept.fileno()): "listener", os.dup(unit.fileno()): "probed.socket", memory: "probe.a.1"}
    sorted_out = listen_fds.sort(fds)
    assert [each.getsockname() for each in sorted_out.kept] == [kept.getsockname()]
    assert [each.getsockname() for each in sorted_out.activated] == [unit.getsockname()]
    assert sorted_out.others == {memory: "probe.a.1"}
    for each in (kept, unit, *sorted_out.kept, *sorted_out.activated):
        each.close()
    os.close(memory)


def test_a_taken_port_says_how_to_find_who_has_it_and_how_to_choose_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(HostError, match=r"cannot listen on .*ss -ltnp.*--web.listen-address"):
            listeners.bind([address])


def test_an_address_that_is_not_ours_is_said_so() -> None:
    with pytest.raises(HostError, match="this machine does not have that address"):
        listeners.bind([Address("192.0.2.1", 9788)])


def test_an_unknown_host_is_said_so() -> None:
    with pytest.raises(HostError, match=r"host 'no\.such\.invalid' is not known"):
        listeners.bind([Address("no.such.invalid", 9788)])
