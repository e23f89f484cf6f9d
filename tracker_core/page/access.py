# Copyright 2026 The tracker_nodes authors
# SPDX-License-Identifier: Apache-2.0
"""Who may see the page: the token, the names under which it may be asked for, and TLS."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import ssl
from urllib.parse import urlsplit

from tracker_core.errors import ParameterError
from tracker_core.page.config import PageConfig


class Access:
    """Decides on requests by their headers.

    Args:
        config: Of the page.
    """

    def __init__(self, config: PageConfig) -> None:
        self.token = config.token
        if not self.token and not config.is_loopback:
            self.token = secrets.token_urlsafe(24)
        self._scheme = 'https' if config.certificate else 'http'

    def is_token(self, text: str) -> bool:
        """Whether a text is the token, in a time that does not tell how much of it is."""
        return bool(self.token) and hmac.compare_digest(text.encode(), self.token.encode())

    def is_known_host(self, host: str) -> bool:
        """Whether the page may be asked for under a name, as in the header Host.

        Where there is no token, only under those of loopback: any other name would be that of a
        site which leads here by its own name server. With a token such a site has none to show.
        """
        if self.token:
            return True
        name = _hostname(host)
        try:
            return name == 'localhost' or ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether a script was loaded from here, by the headers Origin and Host."""
        return bool(host) and origin == f'{self._scheme}://{host}'


def _hostname(host: str) -> str:
    try:
        return urlsplit(f'//{host}').hostname or ''
    except ValueError:
        return ''


def tls(config: PageConfig) -> ssl.SSLContext | None:
    """The TLS that a page is served with; None: none.

    Raises:
        ParameterError: Certificate and key cannot be read, or do not belong together.
    """
    if not config.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # A key with a passphrase would ask for it on the terminal.
        context.load_cert_chain(config.certificate, config.key or None, password='')
    except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
        raise ParameterError(
            f'certificate {config.certificate} cannot be used'
            f'{f" with key {config.key}" if config.key else ""}: {error}'
        ) from error
    return context
