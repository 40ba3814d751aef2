# SPDX-License-Identifier: Apache-2.0
"""A confined process: allowed and refused calls, each tried in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("seccomp", reason="python3-seccomp is not installed")

DAEMON = Path(__file__).parents[3] / "daemon"

PREAMBLE = """
import ctypes, errno, fcntl, mmap, os, socket, struct, sys, threading
sys.path.insert(0, {daemon!r})
from probed.exporter.seccomp_filter import confine
libc = ctypes.CDLL(None, use_errno=True)
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
def call(*arguments):
    result = libc.syscall(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
def bpf(command):
    call({bpf}, command, ctypes.create_string_buffer(128), 128)
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, as `privilege.become` does
datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
elsewhere = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
elsewhere.bind(chr(0) + "probed-" + str(os.getpid()))
confine()
try:
    {statement}
except OSError as error:
    print(errno.errorcode[error.errno])
else:
    print("done")
os._exit(0)
"""


def tried(statement: str) -> str:
    """Return the result of a statement in a confined process: an errno, or "done"."""
    code = PREAMBLE.format(daemon=str(DAEMON), statement=statement, bpf=321)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "call(57)",  # fork
        "call(58)",  # vfork
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "socket.socketpair()",
        "client.connect(server.getsockname())",
        "server.bind(('127.0.0.1', 0))",
        "open('/dev/null', 'w')",
        "open('/dev/null', 'a')",
        "open('/dev/null', 'r+')",
        "os.unlink('/nowhere')",
        "os.chmod('/nowhere', 0)",
        "os.kill(1, 0)",
        "os.setuid(0)",
        "call(101, 16, 1, 0, 0)",  # ptrace(PTRACE_ATTACH, 1)
        "call(310, 1, 0, 0, 0, 0, 0)",  # process_vm_readv
        "call(157, 22, 0, 0, 0)",  # prctl(PR_SET_SECCOMP)
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
        "bpf(0)",  # BPF_MAP_CREATE
        "bpf(2)",  # BPF_MAP_UPDATE_ELEM
        "bpf(5)",  # BPF_PROG_LOAD
        "bpf(13)",  # BPF_PROG_GET_FD_BY_ID
        "bpf(14)",  # BPF_MAP_GET_FD_BY_ID
        "bpf(17)",  # BPF_RAW_TRACEPOINT_OPEN
        "fcntl.fcntl(client, fcntl.F_SETOWN, os.getppid())",
        "fcntl.fcntl(client, 15, struct.pack('ii', 1, os.getppid()))",  # F_SETOWN_EX, F_OWNER_PID
        "fcntl.fcntl(client, fcntl.F_SETSIG, 15)",
        "fcntl.fcntl(client, fcntl.F_SETFL, os.O_ASYNC)",
        "fcntl.fcntl(client, fcntl.F_NOTIFY, fcntl.DN_ACCESS)",
        "fcntl.fcntl(client, fcntl.F_SETLEASE, fcntl.F_RDLCK)",
        "fcntl.fcntl(client, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)",
        "fcntl.ioctl(client, 0x5452, struct.pack('i', 1))",  # FIOASYNC
        "fcntl.ioctl(client, 0x8901, struct.pack('i', os.getppid()))",  # FIOSETOWN
        "fcntl.ioctl(client, 0x8902, struct.pack('i', os.getppid()))",  # SIOCSPGRP
        "server.sendto(b'x', socket.MSG_FASTOPEN, server.getsockname())",
        "server.send(b'x', socket.MSG_FASTOPEN)",
        "server.sendmsg([b'x'], [], socket.MSG_FASTOPEN, server.getsockname())",
        "datagrams.sendto(b'x', elsewhere.getsockname())",
        "datagrams.sendmsg([b'x'], [], 0, elsewhere.getsockname())",
        "socket.send_fds(client, [b'x'], [server.fileno()])",
        "server.shutdown(socket.SHUT_RD)",
        "server.shutdown(socket.SHUT_RDWR)",
        "server.listen(0)",
    ],
)
def test_it_cannot(statement: str) -> None:
    assert tried(statement) == "ENOSYS"


@pytest.mark.parametrize(
    "statement",
    [
        "thread = threading.Thread(target=len, args=([],)); thread.start(); thread.join()",
        "open('/proc/self/stat').read()",
        "os.listdir('/proc/self')",
        "client.sendall(b'x'); server.accept()[0].recv(1)",
        "client.shutdown(socket.SHUT_WR)",
        "os.dup(client.fileno())",
        "mmap.mmap(-1, 1 << 20)",
        "os.eventfd(0)",
        "from probed.exporter.cgroup.inotify import Inotify; Inotify().add('/')",
    ],
)
def test_it_can(statement: str) -> None:
    assert tried(statement) == "done"


@pytest.mark.parametrize("command", [1, 15, 24, 33])
def test_it_can_look_at_maps_and_iterators(command: int) -> None:
    assert tried(f"bpf({command})") in ("EBADF", "EINVAL", "EPERM")
