# SPDX-License-Identifier: Apache-2.0
"""Finds the user that the exporter becomes when probed runs as root. The loader and `probed check` ask for it."""

from __future__ import annotations

from probed.config.site import Site
from probed.errors import DeclarationError, HostError
from probed.linux import privilege


def exporter_user(configuration: Site) -> privilege.User | None:
    """Return the user that a site names, or the default; None unless this process is root: then the exporter stays.

    Raises DeclarationError at the key of the site configuration for a missing user, and for one with uid 0.
    """
    if not privilege.is_root():
        return None
    try:
        return privilege.exporter_user(configuration.exporter.user)
    except HostError as error:
        raise DeclarationError([configuration.source.problem(("exporter", "user"), str(error))]) from error
