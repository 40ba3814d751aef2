# SPDX-License-Identifier: Apache-2.0
r"""Names of Kubernetes' pods and containers, from the names of kubelet's log folders.

kubelet makes ``/var/log/pods/NAMESPACE_POD_UID`` before the control group of a pod's first container, and
``/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`` after the runtime has started a container. All users may list
both, so no credential and no privilege is needed. Only names are read, never a file.

The kernel keeps a note of each new entry (`inotify`) until `hear` takes it, also of an entry that is gone by then. So a
pod has its name however short it lives. A container has none before kubelet has made its link: `found_missed` tells
when that has come. A container without a link, as the pod's sandbox, has no name, nor has one with a link that
kubelet cut at 255 characters.

Names of present and of removed entries are kept apart, each up to a bound: 600 bytes for an entry with a usual name, at
most 1.2 KB. So 330 containers of 110 pods take 0.3 MB, and full tables 13 MB.

Sources: Kubernetes pkg/kubelet/kuberuntime, kuberuntime_sandbox.go and kuberuntime_container.go (startContainer).
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from probed.exporter.cgroup import inotify
from probed.exporter.cgroup.bounded_names import BoundedNames, MissedKeys
from probed.exporter.cgroup.inotify import Inotify, Note
from probed.exporter.cgroup.pod_names import NAMELESS, Parse, PodNames, of_container_link, of_pod_folder

LOG = logging.getLogger("exporter")

MOST_LISTED: Final = 1 << 14
"""Most entries of a folder that a listing reads."""

MOST_READS: Final = 16
"""Reads of notes at once: some 5,000 notes. The kernel keeps 16,384 (fs.inotify.max_queued_events)."""

RETRY_SECONDS: Final = 10.0
"""A folder that is not there, or cannot be watched, is tried again at most this often."""


class _Folder:
    """One of the two folders: names by pod uid or container id."""

    def __init__(self, path: Path, parse: Parse) -> None:
        self.path = path
        self._parse = parse
        self.names = BoundedNames[PodNames]()

    def read(self) -> dict[str, PodNames]:
        """Return the names of the entries that are there now, by key. Raises OSError."""
        with os.scandir(self.path) as entries:
            found = (self._parse(entry.name) for entry in islice(entries, MOST_LISTED))
            return dict(each for each in found if each)

    def change(self, note: Note) -> str | None:
        """Take over one note; return the key of the entry that came or went."""
        found = self._parse(note.name)
        if found is None:
            return None
        key, names = found
        if note.mask & (inotify.DELETED | inotify.MOVED_FROM):
            self.names.remove(key)
        else:
            self.names.keep(key, names)
        return key


Listing = Mapping[int, _Folder]
"""The folders that a listing reads, by the number of the watch."""


class KubeletLogs:
    """Names by pod uid and container id. Not thread-safe: `collector` holds its lock, except around `read`."""

    def __init__(self, root: Path = Path("/"), clock: Callable[[], float] = time.monotonic) -> None:
        """Touch nothing: the folders are watched from the first listing on."""
        self._clock = clock
        self._folders = (
            _Folder(root / "var/log/pods", of_pod_folder),
            _Folder(root / "var/log/containers", of_container_link),
        )
        self._inotify: Inotify | None = None
        self._watches: dict[int, _Folder] = {}
        self._missed = MissedKeys()
        self._is_listing = False
        self._is_stale = False
        self._tried_at = clock() - RETRY_SECONDS
        self._logged = set[Path]()
        self.is_wanted = False
        """Whether a label shows the names."""

    def names(self, pod_uid: str, container_id: str) -> PodNames:
        """Return the names of a container by its id, else those of its pod; a missing one is noted."""
        pods, containers = self._folders
        found = containers.names.get(container_id)
        if found is None:
            self._missed.add(container_id)
            found = pods.names.get(pod_uid)
        if found is None:
            self._missed.add(pod_uid)
        return found or NAMELESS

    def found_missed(self) -> bool:
        """Say once whether a pod or container without a name may have one now."""
        return self._missed.was_found()

    def hear(self) -> None:
        """Take the kernel's notes on the folders. During a listing they wait, since they may be newer."""
        if self._inotify is None or self._is_listing:
            return
        for _ in range(MOST_READS):
            notes = self._inotify.read()
            if not notes:
                return
            for note in notes:
                self._take(note)

    def _take(self, note: Note) -> None:
        if note.mask & inotify.OVERFLOWED:
            self._is_stale = True
        folder = self._watches.get(note.watch)
        if folder is None:
            return
        if note.mask & (inotify.IGNORED | inotify.DELETED_SELF | inotify.MOVED_SELF):
            del self._watches[note.watch]
        elif key := folder.change(note):
            self._missed.find(key)

    @property
    def wants_listing(self) -> bool:
        """Whether a folder is not watched yet, or notes were lost, and the last attempt was long enough ago."""
        if not self.is_wanted or self._is_listing or self._clock() - self._tried_at < RETRY_SECONDS:
            return False
        return self._is_stale or len(self._watches) < len(self._folders)

    def begin_listing(self) -> Listing:
        """Watch both folders; return those to list: all where notes were lost, else those that are new."""
        self._tried_at = self._clock()
        before = {} if self._is_stale else dict(self._watches)
        self._is_listing, self._is_stale = True, False
        for folder in self._folders:
            if folder not in self._watches.values():
                try:
                    self._inotify = self._inotify or Inotify()
                    self._watches[self._inotify.add(str(folder.path))] = folder
                except OSError as error:
                    self._log(folder.path, error)
        return {watch: folder for watch, folder in self._watches.items() if watch not in before}

    def read(self, listing: Listing) -> dict[int, dict[str, PodNames]]:
        """Return the names in the folders of a listing, by watch, without a folder that cannot be read.

        Needs no lock.
        """
        found = {}
        for watch, folder in listing.items():
            try:
                found[watch] = folder.read()
            except OSError as error:
                self._log(folder.path, error)
        return found

    def end_listing(self, listing: Listing, found: Mapping[int, Mapping[str, PodNames]]) -> None:
        """Take over the names that a listing found."""
        self._is_listing = False
        for watch, names in found.items():
            listing[watch].names.replace(names)
            for key in names:
                self._missed.find(key)

    def _log(self, path: Path, error: OSError) -> None:
        """Log once why names are missing; a host without the folders runs no kubelet."""
        if error.errno not in (errno.ENOENT, errno.ENOTDIR) and path not in self._logged:
            self._logged.add(path)
            LOG.warning("%s cannot be watched: %s; labels may have no names of pods or containers", path, error)
