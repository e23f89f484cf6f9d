# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Who may see the page, and from where."""

from __future__ import annotations

from dataclasses import dataclass
import ipaddress
from pathlib import Path
import re

from tracker_core.errors import ParameterError
from tracker_core.parameters import check_fields, parameter

SHORTEST_TOKEN = 16  # characters
TOKEN = re.compile(r'[A-Za-z0-9_-]*')


@dataclass(frozen=True)
class PageConfig:
    """The parameters of the page's server.

    Raises:
        ParameterError: Values that do not fit, alone or together.
    """

    address: str = parameter(
        '127.0.0.1',
        'The page is served on this address of the machine: an IPv4 or IPv6 address, 0.0.0.0 for '
        'all. Every other than loopback asks for the token.',
    )
    port: int = parameter(
        8080, 'TCP port of the page; 0: any that is free.', minimum=0, maximum=65535
    )
    token: str = parameter(
        '',
        f'Who shows it may see and do everything: {SHORTEST_TOKEN} letters, digits, - or _ at '
        'least. Empty: none on loopback, elsewhere a random one, which is printed once.',
    )
    certificate: str = parameter(
        '', 'File of the TLS certificate (PEM); then the page is https. Empty: http.'
    )
    key: str = parameter(
        '', "File of the certificate's private key (PEM); empty: it is in the certificate's file."
    )
    max_viewers: int = parameter(
        8, 'So many browsers see the page at once.', minimum=1, maximum=100
    )
    max_rate: float = parameter(
        30.0, 'At most so many pictures a second go to a viewer.', minimum=0.1, maximum=240.0
    )
    max_width: int = parameter(
        1920, 'Pictures are at most so many pixels wide.', minimum=64, maximum=8192
    )

    def __post_init__(self) -> None:
        check_fields(self)
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise ParameterError(
                f'address must be an IP address such as 127.0.0.1 or 0.0.0.0, not {self.address!r}'
            ) from None
        if self.token and (len(self.token) < SHORTEST_TOKEN or not TOKEN.fullmatch(self.token)):
            raise ParameterError(
                f'token must have {SHORTEST_TOKEN} letters, digits, - or _ at least; leave it '
                'empty for a random one'
            )
        if self.key and not self.certificate:
            raise ParameterError('key is given without certificate')
        for name in ('certificate', 'key'):
            path = getattr(self, name)
            if path and not Path(path).is_file():
                raise ParameterError(f'{name}: {path} is no file (seen from {Path.cwd()})')

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the page."""
        return ipaddress.ip_address(self.address).is_loopback
