# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""`tracker vot`: what the VOT toolkit starts to talk to a tracker."""

from __future__ import annotations

import argparse

from tracker_core.commands import options

NAME = 'vot'
ABOUT = 'answer the VOT toolkit, which starts this command and talks to it in TraX'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_tracker_options(parser)


def run(args: argparse.Namespace) -> int:
    from tracker_core.toolkits.vot import serve_vot

    serve_vot(options.TrackerOptions.read(args, args.tracker).create())
    return 0
