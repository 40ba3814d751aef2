# SPDX-License-Identifier: Apache-2.0
"""The command line, with flags like those of Prometheus' programs.

Prints every ProbedError on standard error, and exits with status 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

from probed import __version__, log, terminal
from probed.errors import ProbedError
from probed.ipc.loader_messages import Files
from probed.schema.rules import one_line
from probed.webconfig.listen_address import parse_address
from probed.webconfig.options import WebOptions, parse_max_requests, parse_telemetry_path

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


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("probed", description="Counts short-lived processes and other events that samplers of /proc miss.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _Parser(add_help=False)
    common.add_argument(
        "--config.file", dest="config_file", default=DEFAULT_CONFIG, metavar="FILE",
        help="the site configuration (default: %(default)s)",
    )  # fmt: skip
    common.add_argument(
        "--kernel.btf", dest="btf", default=VMLINUX_BTF, metavar="FILE",
        help="the running kernel's types (default: %(default)s)",
    )  # fmt: skip
    _add_run(commands.add_parser("run", parents=[common], help="run the daemon in the foreground"))
    check = commands.add_parser(
        "check", parents=[common], help="check a site configuration or probes, without running them"
    )
    check.add_argument(
        "paths", nargs="*", metavar="PATH", help="probe folders, probe declarations, site configurations"
    )
    check.add_argument("--host", action="store_true", help="also try to load and attach here (needs privilege)")
    daemon = _Parser(add_help=False)
    daemon.add_argument(
        "--web.listen-address", dest="address", type=_checked(parse_address), metavar="HOST:PORT",
        help="address of the daemon (default: web.listen_addresses of the site configuration)",
    )  # fmt: skip
    daemon.add_argument(
        "--http.config.file", dest="http_config_file", metavar="FILE",
        help="client certificate and password for the daemon, in the file format of promtool and amtool",
    )  # fmt: skip
    listing = commands.add_parser("list", parents=[common, daemon], help="list probes, attach points and metrics")
    listing.add_argument("--live", action="store_true", help="list the running daemon's programs and their cost")
    doctor = commands.add_parser("doctor", parents=[common, daemon], help="report on machine, configuration and daemon")
    doctor.add_argument("--json", dest="as_json", action="store_true", help="as JSON, for programs")
    commands.add_parser("version", help="print the version")
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--web.listen-address", dest="web_listen_addresses", action="append", type=_checked(parse_address),
        metavar="HOST:PORT",
        help="listen address, repeatable (default: web.listen_addresses of the site configuration)",
    )  # fmt: skip
    run.add_argument(
        "--web.systemd-socket", dest="systemd_socket", action="store_true",
        help="serve on the sockets of a systemd .socket unit, instead of any listen address",
    )  # fmt: skip
    run.add_argument(
        "--web.telemetry-path",
        dest="web_telemetry_path",
        type=_checked(parse_telemetry_path),
        metavar="PATH",
        help="path of the metrics page",
    )
    run.add_argument(
        "--web.config.file", dest="web_config_file", metavar="FILE", type=_checked(one_line),
        help="TLS, passwords and headers, in the dialect of Prometheus' exporters (config/web.yaml shows all keys)",
    )  # fmt: skip
    run.add_argument(
        "--web.max-requests", dest="web_max_requests", metavar="N",
        type=_checked(lambda text: parse_max_requests(int(text))),
        help="limit of requests that are being answered or wait for an answer; the others get status 503 "
        f"(default: {WebOptions().max_requests})",
    )  # fmt: skip
    run.add_argument(
        "--web.enable-lifecycle", dest="web_enable_lifecycle", action="store_true", default=None,
        help="read the configuration again on POST /-/reload",
    )  # fmt: skip
    run.add_argument("--log.level", dest="log_level", choices=log.LEVELS, help="least severe level of logged messages")
    run.add_argument("--log.format", dest="log_format", choices=log.FORMATS, help="format of log lines")


def _run(flags: argparse.Namespace) -> int:
    from probed.supervisor.main import Supervisor
    from probed.supervisor.options import Options
    from probed.supervisor.surroundings import settle
    from probed.supervisor.systemd.notify import Notifier, sender

    settle()
    web = {field.name: getattr(flags, f"web_{field.name}") for field in fields(WebOptions)}
    web = {name: tuple(value) if isinstance(value, list) else value for name, value in web.items() if value is not None}
    options = Options(Files(flags.config_file, flags.btf), flags.systemd_socket, web, flags.log_level, flags.log_format)
    try:
        return Supervisor(options).run()
    except ProbedError as error:
        Notifier(sender()).status(str(error).split("\n", maxsplit=1)[0])
        raise


def _check(flags: argparse.Namespace) -> int:
    from probed.commands import check

    return check.run(flags.paths or [flags.config_file], flags.btf, flags.host)


def _list(flags: argparse.Namespace) -> int:
    from probed.commands import listing

    if flags.live:
        return listing.run_live(flags.config_file, flags.address, flags.http_config_file)
    return listing.run(flags.config_file, flags.btf)


def _doctor(flags: argparse.Namespace) -> int:
    from probed.commands.doctor import command

    return command.run(flags.config_file, flags.btf, flags.address, flags.http_config_file, flags.as_json)


def _version(_: argparse.Namespace) -> int:
    terminal.show(f"probed {__version__}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, 1 for a printed error, 2 for wrong usage."""
    return terminal.run(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    flags = _parser().parse_args(arguments)
    command = {"run": _run, "check": _check, "list": _list, "doctor": _doctor, "version": _version}[flags.command]
    try:
        return command(flags)
    except ProbedError as error:
        terminal.complain(str(error) if "\n" in str(error) else f"probed: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
