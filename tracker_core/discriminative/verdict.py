# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""What the scores of a frame say about a target."""

import enum


class Verdict(enum.IntEnum):
    """What a map of scores says; numbers, since it may come from the device in a row of them."""

    NORMAL = 0
    NOT_FOUND = 1  # no peak: the target stays where it was, nothing is learnt
    UNCERTAIN = 2  # two peaks alike: the target moves, nothing is learnt
    HARD_NEGATIVE = 3  # a distractor: it is learnt from at once
