# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""The command `tracker`: one module a subcommand, in which the options, the work and what is said
of it are apart. What the work needs is imported when it is done, so that help comes fast."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import sys
from typing import NoReturn, Protocol

from tracker_core.commands import (
    annotate,
    benchmark,
    calibrate,
    data,
    evaluate,
    export,
    listing,
    track,
    train,
    vot,
    weights,
)
from tracker_core.errors import TrackerError


class Command(Protocol):
    """What the module of a subcommand has.

    Attributes:
        NAME: Of the subcommand.
        ABOUT: What it does, for the help: a clause without a full stop.
    """

    NAME: str
    ABOUT: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Give it its options."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do what these options say; returns the exit status."""
        ...


COMMANDS: tuple[Command, ...] = (
    track,
    annotate,
    evaluate,
    benchmark,
    calibrate,
    data,
    export,
    listing,
    weights,
    train,
    vot,
)


class ShowVersion(argparse.Action):
    """Prints what a report of a fault should have: versions and the machine."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tracker_core import __version__
        from tracker_core.evaluation.machine import describe_machine, machine_line

        print(f'tracker_nodes {__version__}\n{machine_line(describe_machine())}')
        parser.exit()


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'tracker: error: {message} (see {self.prog} --help)\n')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0, 1 where some frames could not be read, 2 for a refused input, 3 for a training that paused,
    130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    args = build_parser(arguments[0] if arguments else '').parse_args(arguments)
    command: Command = args.command
    try:
        return command.run(args)
    except (TrackerError, OSError) as error:
        print(f'tracker: error: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The parser.

    Args:
        chosen: The subcommand whose options are needed; None: those of all. Some need torch to
            know their options.
    """
    parser = Parser(
        prog='tracker',
        description='Follow objects in video with deep single-object trackers.',
    )
    parser.add_argument(
        '--version', action=ShowVersion, nargs=0, help='versions and hardware, for a report'
    )
    parsers = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)
    for command in COMMANDS:
        about = command.ABOUT
        one = parsers.add_parser(
            command.NAME, help=about, description=f'{about[0].upper()}{about[1:]}.'
        )
        one.set_defaults(command=command)
        if chosen in (None, command.NAME):
            command.add_arguments(one)
    return parser
