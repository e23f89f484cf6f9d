# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""A Kalman filter for what moves at a nearly constant velocity."""

from __future__ import annotations

import numpy as np


class ConstantVelocity:
    """Position and velocity in any number of dimensions, from positions over time.

    The velocity changes by white noise; so how often it is measured makes no difference to what is
    expected (Y. Bar-Shalom, Estimation with Applications to Tracking and Navigation, 2001, section
    6.2.2).

    Args:
        position: (D,) float64, the first measurement.
        covariance: (D, D) float64, of it.
        speed: Standard deviation of the unknown velocity at the start, units per second.
        agility: By how much the velocity changes in a second, one standard deviation.
    """

    def __init__(
        self, position: np.ndarray, covariance: np.ndarray, speed: float, agility: float
    ) -> None:
        self._n = n = len(position)
        self._state = np.concatenate([position, np.zeros(n)])
        self._covariance = np.zeros((2 * n, 2 * n))
        self._covariance[:n, :n] = covariance
        self._covariance[n:, n:] = speed**2 * np.eye(n)
        self._agility = agility

    @property
    def position(self) -> np.ndarray:
        """(D,) float64."""
        return self._state[: self._n].copy()

    @property
    def velocity(self) -> np.ndarray:
        """(D,) float64, units per second."""
        return self._state[self._n :].copy()

    @property
    def covariance(self) -> np.ndarray:
        """(D, D) float64, of the position."""
        return self._covariance[: self._n, : self._n].copy()

    def predict(self, seconds: float) -> None:
        """Go on in time."""
        unit = np.eye(self._n)
        step = np.kron([[1.0, seconds], [0.0, 1.0]], unit)
        spread = [[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]]
        noise = self._agility**2 * np.kron(spread, unit)
        self._state = step @ self._state
        self._covariance = step @ self._covariance @ step.T + noise

    def update(
        self, measured: np.ndarray, covariance: np.ndarray, of: np.ndarray | None = None
    ) -> None:
        """Take in a measurement.

        Args:
            measured: (M,) float64.
            covariance: (M, M) float64, of it.
            of: (M, D) float64: what of the position was measured; None: all of it.
        """
        of = np.eye(self._n) if of is None else of
        h = np.hstack([of, np.zeros_like(of)])
        innovation = measured - h @ self._state
        gain = np.linalg.solve(h @ self._covariance @ h.T + covariance, h @ self._covariance).T
        rest = np.eye(2 * self._n) - gain @ h
        self._state = self._state + gain @ innovation
        # Joseph's form stays symmetric and positive definite
        self._covariance = rest @ self._covariance @ rest.T + gain @ covariance @ gain.T
