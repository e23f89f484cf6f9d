# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Encodings that are not read here, by cv_bridge where it is installed and works.

It is imported only when an image needs it, and only after another process has tried it: one that
was built for NumPy 1 fails under NumPy 2 in several ways, of which some end the process.
"""

from __future__ import annotations

from functools import cache
import re
import subprocess
import sys
from typing import Any

import numpy as np

from tracker_core.errors import ImageError

TRIAL_TIMEOUT = 60.0  # seconds
LONGEST_REASON = 200  # characters of what cv_bridge says that are repeated
TRIAL = """
import sys
sys.path[:] = sys.argv[1:]
import importlib.util
if importlib.util.find_spec('cv_bridge') is None:
    sys.exit(3)
from types import SimpleNamespace
from cv_bridge import CvBridge
image = SimpleNamespace(
    height=2, width=2, encoding='bgr8', is_bigendian=0, step=6, data=bytes(12)
)
CvBridge().imgmsg_to_cv2(image, 'rgb8')
"""
ABSENT = 3  # the exit status of the trial if there is no cv_bridge


def to_rgb_by_cv_bridge(message: Any) -> np.ndarray:
    """The pixels of a `sensor_msgs/Image` as cv_bridge has them.

    Args:
        message: Anything with the attributes of that message.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: cv_bridge is absent, does not work, or does not know the encoding; the message
            is a part of a sentence.
    """
    if reason := problem():
        raise ImageError(reason)
    try:
        from cv_bridge import CvBridge

        rgb = np.asarray(CvBridge().imgmsg_to_cv2(message, desired_encoding='rgb8'))
    except Exception as error:  # its own errors, OpenCV's, NumPy's
        raise ImageError(f'cv_bridge refuses it ({_brief(str(error))})') from error
    if rgb.dtype != np.uint8 or rgb.shape != (message.height, message.width, 3):
        raise ImageError('cv_bridge makes no RGB image of it')
    return rgb


@cache
def problem() -> str:
    """Why cv_bridge cannot be used, as a part of a sentence; empty if it can. Asked once."""
    try:
        trial = subprocess.run(
            [sys.executable, '-c', TRIAL, *sys.path],
            capture_output=True,
            text=True,
            errors='replace',
            timeout=TRIAL_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'cv_bridge could not be tried ({_brief(str(error))})'
    if trial.returncode == 0:
        return ''
    if trial.returncode == ABSENT:
        return 'cv_bridge, which reads more of them, is not installed (apt: ros-DISTRO-cv-bridge)'
    last = (trial.stderr.strip().splitlines() or [''])[-1]
    what = re.sub(r'^[\w.]+: ', '', last)  # without the name of the exception
    if trial.returncode < 0:
        what = f'it ends the process with signal {-trial.returncode}'
    cure = ''
    if not np.__version__.startswith('1.'):
        cure = (
            f'; it may be built for NumPy 1, and this is NumPy {np.__version__}: '
            "pip install 'numpy<2' into this environment, or build cv_bridge from source"
        )
    return f'the installed cv_bridge does not work ({_brief(what)}){cure}'


def _brief(text: str) -> str:
    return ' '.join(text.split())[:LONGEST_REASON]
