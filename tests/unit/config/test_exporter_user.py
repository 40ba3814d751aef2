# SPDX-License-Identifier: Apache-2.0
"""A site's user of the exporter has to be there, and to be an ordinary one."""

from __future__ import annotations

import pwd
from types import SimpleNamespace
from typing import Any

import pytest

from probed.config import site
from probed.config.exporter_user import exporter_user
from probed.errors import DeclarationError
from probed.linux import privilege
from probed.linux.privilege import User

USERS = {"root": (0, 0), "probed": (101, 103), "nobody": (107, 109)}


def named(user: str | None, *there: str, monkeypatch: pytest.MonkeyPatch, is_root: bool = True) -> User | None:
    """Look up the user of a site, on a machine with these users."""

    def look_up(name: str) -> Any:
        if name not in there:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=USERS[name][0], pw_gid=USERS[name][1])

    monkeypatch.setattr(pwd, "getpwnam", look_up)
    monkeypatch.setattr(privilege, "is_root", lambda: is_root)
    text = "probe_directories: [probes]\nprobes: {process: {}}\n" + (f"exporter:\n  user: {user}\n" if user else "")
    return exporter_user(site.parse(text, "probed.yaml"))


@pytest.mark.parametrize(
    ("user", "there", "found"),
    [
        (None, ("probed", "nobody"), User(101, 103)), (None, ("nobody",), User(107, 109)),
        ("nobody", ("probed", "nobody"), User(107, 109)),
    ],
)  # fmt: skip
def test_the_exporter_becomes_the_named_user_or_probed_or_nobody(
    monkeypatch: pytest.MonkeyPatch, user: str | None, there: tuple[str, ...], found: User
) -> None:
    assert named(user, *there, monkeypatch=monkeypatch) == found


@pytest.mark.parametrize(
    ("user", "there", "said"),
    [
        ("probed", ("nobody",), "probed.yaml:4: exporter.user: no such user: probed; create it"),
        ("root", ("root",), "probed.yaml:4: exporter.user: 'root' has uid 0"),
        (None, (), "exporter.user: no such user: probed or nobody; create it"),
    ],
)
def test_a_missing_user_and_root_are_errors_of_the_site(
    monkeypatch: pytest.MonkeyPatch, user: str | None, there: tuple[str, ...], said: str
) -> None:
    with pytest.raises(DeclarationError) as error:
        named(user, *there, monkeypatch=monkeypatch)
    assert said in str(error.value)


def test_without_root_the_exporter_stays_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named("no-such-user", monkeypatch=monkeypatch, is_root=False) is None
