# SPDX-License-Identifier: Apache-2.0
"""systemd's side: notifications, passed sockets, the fd store."""
