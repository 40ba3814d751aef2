# SPDX-License-Identifier: Apache-2.0
"""The command line, with flags like those of Prometheus' programs.

Prints every ProbedError on standard error, and exits with status 1.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar, get_args

from probed import __version__, log, terminal
from probed.commands.top.interval import parse_interval
from probed.errors import HostError, ProbedError
from probed.ipc.loader_messages import Files
from probed.ipc.manifest import LoaderChoice
from probed.tail.arguments import FORMATS, parse_count, parse_duration, parse_errno, parse_number
from probed.webconfig.listen_address import parse_address
from probed.webconfig.options import web_flags

T = TypeVar("T")

DEFAULT_CONFIG = "/etc/probed/probed.yaml"
VMLINUX_BTF = "/sys/kernel/btf/vmlinux"
HELP_WIDTH = 100


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Make an argument's type of `parse`, so that argparse shows the text of its ValueError."""

    def argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return argument


class _Parser(argparse.ArgumentParser):
    """A parser with a fixed width: argparse would import shutil and keep its compressors in the supervisor's memory."""

    def __init__(self, prog: str | None = None, **more: Any) -> None:
        more["formatter_class"] = partial(argparse.HelpFormatter, width=HELP_WIDTH)
        super().__init__(prog, **more)

    def _print_message(self, message: str, file: Any = None) -> None:
        (terminal.complain if file is sys.stderr else terminal.show)(message.removesuffix("\n"))


def command_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, with a parser for each command."""
    parser = _Parser("probed", description="Counts short-lived processes and other events that samplers of /proc miss.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _Parser(add_help=False)
    common.add_argument(
        "--config.file", dest="config_file", default=DEFAULT_CONFIG, metavar="FILE",
        help="The site configuration (default: %(default)s).",
    )  # fmt: skip
    common.add_argument(
        "--kernel.btf", dest="btf", default=VMLINUX_BTF, metavar="FILE",
        help="The running kernel's types (default: %(default)s).",
    )  # fmt: skip
    loading = _Parser(add_help=False)
    loading.add_argument(
        "--loader", choices=get_args(LoaderChoice),
        help="Load probes from objects (core), from sources with BCC (bcc), or from objects where there are some "
        "(auto); default: loader of the site configuration.",
    )  # fmt: skip
    command = partial(_add_command, commands)
    _add_run(command("run", "Run the daemon in the foreground.", [common, loading]))
    check = command("check", "Check a site configuration or probes, without running them.", [common, loading])
    check.add_argument(
        "paths", nargs="*", metavar="PATH", help="Probe folders, probe declarations, site configurations."
    )
    check.add_argument("--host", action="store_true", help="Also try to load and attach here (needs privilege).")
    build = command("build", "Compile probes into objects (needs clang and bpftool).", [])
    build.add_argument("folders", nargs="+", metavar="FOLDER", help="Probe folders, or folders of probe folders.")
    build.add_argument(
        "--kernel.btf", dest="btf", default=VMLINUX_BTF, metavar="FILE",
        help="The kernel's types to compile against (default: %(default)s).",
    )  # fmt: skip
    build.add_argument(
        "--architecture", choices=("x86_64", "aarch64"), default=os.uname().machine,
        help="Build for this architecture, with --kernel.btf of a kernel of it (default: %(default)s).",
    )  # fmt: skip
    daemon = _Parser(add_help=False)
    daemon.add_argument(
        "--web.listen-address", dest="address", type=_checked(parse_address), metavar="HOST:PORT",
        help="Address of the daemon (default: web.listen_addresses of the site configuration).",
    )  # fmt: skip
    daemon.add_argument(
        "--http.config.file", dest="http_config_file", metavar="FILE",
        help="Client certificate and password for the daemon, in the file format of promtool and amtool.",
    )  # fmt: skip
    listing = command("list", "List probes, attach points and metrics.", [common, loading, daemon])
    listing.add_argument("--live", action="store_true", help="List the running daemon's programs and their cost.")
    _add_top(command("top", "Show units, programs, failures and system calls by rate, full screen.", [common, daemon]))
    doctor = command("doctor", "Report on machine, configuration and daemon.", [common, daemon])
    doctor.add_argument("--json", dest="as_json", action="store_true", help="As JSON, for programs.")
    tail = command("tail", "Show single events with full detail, as they happen (needs privilege).", [common, loading])
    _add_tail(tail)
    command("version", "Print the version.")
    return parser


def _add_command(
    commands: argparse._SubParsersAction[_Parser], name: str, text: str, parents: Sequence[_Parser] = ()
) -> _Parser:
    return commands.add_parser(name, help=text, description=text, parents=list(parents))


def _add_run(run: argparse.ArgumentParser) -> None:
    for name, flag in web_flags().items():
        value: dict[str, Any] = {"action": "store_true", "default": None}
        if flag.parse is not None:
            action = "append" if flag.repeatable else "store"
            value = {"action": action, "type": _checked(flag.parse), "metavar": flag.metavar}
        run.add_argument(flag.name, dest=f"web_{name}", help=flag.help, **value)
    run.add_argument(
        "--web.systemd-socket", dest="systemd_socket", action="store_true",
        help="Serve on the sockets of probed.socket, held by systemd, instead of addresses.",
    )  # fmt: skip
    run.add_argument(
        "--log.level", dest="log_level", choices=log.LEVELS, metavar="LEVEL",
        help="The lowest level in the log: %(choices)s.",
    )  # fmt: skip
    run.add_argument(
        "--log.format", dest="log_format", choices=log.FORMATS, metavar="FORMAT",
        help="Format of log lines: logfmt for people, json for programs.",
    )  # fmt: skip


def _add_tail(tail: argparse.ArgumentParser) -> None:
    tail.add_argument("name", metavar="NAME", help="The trace probe: execs, exits, opens, or one of the site.")
    for name, short, text in (
        ("unit", "", "Only of units that match this glob."),
        ("comm", "-n", "Only of processes with a name that matches this glob."),
        ("parent", "", "Only of processes with a parent of a name that matches this glob."),
    ):
        tail.add_argument(*filter(None, (short, f"--{name}")), metavar="GLOB", help=text)
    for name, short, text in (
        ("uid", "-u", "Only of this user's id."),
        ("pid", "-p", "Only of this process."),
        ("ppid", "-P", "Only of children of this process."),
    ):
        tail.add_argument(short, f"--{name}", type=_checked(parse_number), metavar="ID", help=text)
    tail.add_argument("-x", "--failed", action="store_true", help="Only failures.")
    tail.add_argument(
        "-a", "--all", action="store_true", help="Also events that the trace leaves out: successful opens, forks."
    )
    tail.add_argument("--errno", type=_checked(parse_errno), metavar="NAME", help="Only this error, such as EMFILE.")
    tail.add_argument(
        "--min-lifetime", type=_checked(parse_duration), metavar="TIME", help="Only of at least this lifetime, as 10ms."
    )
    tail.add_argument("--count", type=_checked(parse_count), metavar="N", help="End after this number of rows.")
    tail.add_argument("--for", dest="time", type=_checked(parse_duration), metavar="TIME", help="End after, as 10s.")
    tail.add_argument("--format", choices=FORMATS, default="table", help="table, or json: an object a line.")


def _add_top(top: argparse.ArgumentParser) -> None:
    top.add_argument(
        "--interval", type=_checked(parse_interval), default=0.5, metavar="TIME",
        help="Time between two requests, such as 500ms or 2s (default: 500ms).",
    )  # fmt: skip
    top.add_argument("--unit", default="", metavar="GLOB", help="Show only units that match, such as 'user@*'.")
    top.add_argument("--once", action="store_true", help="Print the rates between two pages, and exit.")
    top.add_argument("--format", choices=("table", "json"), help="Format of --once (default: table).")


def _run(flags: argparse.Namespace) -> int:
    from probed.ipc.first_children import first_children
    from probed.supervisor.surroundings import settle

    settle()
    files = Files(flags.config_file, flags.btf, flags.loader)
    web = {name: getattr(flags, f"web_{name}") for name in web_flags()}
    web = {name: tuple(value) if isinstance(value, list) else value for name, value in web.items() if value is not None}
    try:
        with first_children(files) as children:
            from probed.supervisor.main import Supervisor  # imported while the children import their modules
            from probed.supervisor.options import Options

            options = Options(files, flags.systemd_socket, web, flags.log_level, flags.log_format)
            supervisor = Supervisor(options, children)
        return supervisor.run()
    except ProbedError as error:
        from probed.supervisor.systemd.notify import Notifier, sender

        Notifier(sender()).status(str(error).split("\n", maxsplit=1)[0])
        raise


def _check(flags: argparse.Namespace) -> int:
    from probed.commands import check

    return check.run(flags.paths or [flags.config_file], flags.btf, flags.host, flags.loader)


def _build(flags: argparse.Namespace) -> int:
    from probed.commands import build

    return build.run(flags.folders, flags.btf, flags.architecture)


def _list(flags: argparse.Namespace) -> int:
    if flags.live:
        from probed.client import metrics_page
        from probed.commands import live_programs

        return live_programs.run(metrics_page.find(flags.config_file, flags.address, flags.http_config_file))
    from probed.commands import listing

    return listing.run(flags.config_file, flags.btf, flags.loader)


def _top(flags: argparse.Namespace) -> int:
    from probed.client import metrics_page
    from probed.commands.top import command

    if flags.format and not flags.once:
        raise HostError("--format is the format of --once; add --once, or leave --format out")
    options = command.TopOptions(flags.interval, flags.unit, flags.once, flags.format == "json")
    return command.run(metrics_page.find(flags.config_file, flags.address, flags.http_config_file), options)


def _doctor(flags: argparse.Namespace) -> int:
    from probed.commands.doctor import command

    return command.run(flags.config_file, flags.btf, flags.address, flags.http_config_file, flags.as_json)


def _tail(flags: argparse.Namespace) -> int:
    from probed.tail import command
    from probed.tail.options import Filters, TailOptions

    filters = Filters(**{name: getattr(flags, name) for name in Filters.__match_args__})
    seconds = flags.time / 1e9 if flags.time is not None else None
    options = TailOptions(filters, flags.all, flags.count, seconds, flags.format)
    return command.run(flags.name, Files(flags.config_file, flags.btf, flags.loader), options)


def _version(_: argparse.Namespace) -> int:
    terminal.show(f"probed {__version__}")
    return 0


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "run": _run, "check": _check, "build": _build, "list": _list, "top": _top, "tail": _tail, "doctor": _doctor,
    "version": _version,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, 1 for a printed error, 2 for wrong usage."""
    return terminal.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = command_parser().parse_args(arguments)
    try:
        return COMMANDS[flags.command](flags)
    except ProbedError as error:
        terminal.complain(str(error) if "\n" in str(error) else f"probed: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
