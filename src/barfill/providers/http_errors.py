"""
What httpx's errors mean.

The texts name the host and what to check, never the URL. Causes are kept without their frames and requests: those
hold the headers, and with them the keys.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from enum import Enum

import httpx

from barfill.errors import (
    BadResponse,
    BarfillError,
    CredentialsRejected,
    ProviderTimeout,
    ProviderUnavailable,
    SettingsError,
)


class Phase(Enum):
    """How far an attempt had come."""

    HEAD = "head"
    BODY = "body"


FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError, ssl.SSLError, OSError)
"""Every error that httpx raises on purpose, and what may slip through it from below."""

# Their texts quote what was to be sent, keys included, so they are no causes.
_QUOTES_THE_REQUEST = (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol)


def translated(error: Exception, phase: Phase, host: str) -> tuple[BarfillError, Exception | None]:
    """barfill's error for one of httpx's, and the cause to raise it from."""
    for foreign, make in _TRANSLATIONS:
        if isinstance(error, foreign):
            cause = None if isinstance(error, _QUOTES_THE_REQUEST) else bare(error)
            return make(error, phase, host), cause
    raise error


def is_mapped(foreign: type[Exception]) -> bool:
    """Whether *foreign* has a translation that fits it closer than httpx's base class."""
    return any(issubclass(foreign, known) for known, _ in _TRANSLATIONS[:-1])


def timed_out(host: str, limit_s: float, shown: str) -> ProviderTimeout:
    """The whole attempt took too long."""
    return ProviderTimeout(f"{host} did not finish its answer within {limit_s:g} s.", request=shown, reason="total")


def bare(error: Exception) -> Exception:
    """*error* and its causes without their frames and requests."""
    for one in _chain(error):
        one.__traceback__ = None
        if isinstance(one, httpx.RequestError):
            one._request = None
    return error


def _connect_timeout(_error: Exception, _phase: Phase, host: str) -> BarfillError:
    return ProviderTimeout(f"{host} did not accept a connection in time. Check network and firewall.", reason="connect")


def _slow(_error: Exception, phase: Phase, host: str) -> BarfillError:
    what = "went silent in the middle of its answer" if phase is Phase.BODY else "did not answer in time"
    return ProviderTimeout(f"{host} {what}.", reason="read")


def _no_connection(error: Exception, _phase: Phase, host: str) -> BarfillError:
    causes = list(_chain(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return CredentialsRejected(
            f"{host} does not prove that it is {host}: its certificate was not accepted, so the key is not sent there. "
            "Check the clock of this machine and whether the network intercepts TLS.",
            reason="certificate",
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ProviderUnavailable(
            f"No TLS connection to {host}. Check whether the base URL needs http instead of https.", reason="tls"
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ProviderUnavailable(
            f"The name {host} cannot be resolved. Check the network, DNS and the provider's base URL.", reason="dns"
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return ProviderUnavailable(
            f"{host} refused the connection. Check that the base URL and its port are right and the service is up.",
            reason="refused",
        )
    return ProviderUnavailable(f"No connection to {host}. Check network and firewall.", reason="connect")


def _reset(_error: Exception, _phase: Phase, host: str) -> BarfillError:
    return ProviderUnavailable(f"{host} broke the connection.", reason="reset")


def _broken_answer(_error: Exception, phase: Phase, host: str) -> BarfillError:
    if phase is Phase.BODY:
        return ProviderTimeout(f"The answer of {host} was cut off before its end.", reason="cut")
    return ProviderUnavailable(f"{host} closed the connection without an answer in HTTP.", reason="protocol")


def _unsendable(error: Exception, _phase: Phase, _host: str) -> BarfillError:
    return SettingsError(
        f"The request could not be written as HTTP ({type(error).__name__}). Check the provider's base URL and that "
        "the key holds no spaces or line breaks."
    )


def _undecodable(_error: Exception, _phase: Phase, host: str) -> BarfillError:
    return BadResponse(f"The answer of {host} could not be decompressed.", reason="body")


def _unexpected_redirect(_error: Exception, _phase: Phase, host: str) -> BarfillError:
    return BadResponse(f"{host} redirects. barfill follows no redirect.", reason="redirect")


def _closed(error: Exception, _phase: Phase, host: str) -> BarfillError:
    return ProviderUnavailable(f"The exchange with {host} ended early ({type(error).__name__}).", reason="closed")


_Make = Callable[[Exception, Phase, str], BarfillError]

# The first that fits decides, so subclasses stand before their bases; the last one catches what httpx may add.
_TRANSLATIONS: tuple[tuple[type[Exception], _Make], ...] = (
    (httpx.ConnectTimeout, _connect_timeout),
    (httpx.TimeoutException, _slow),
    (httpx.ConnectError, _no_connection),
    (httpx.NetworkError, _reset),
    (httpx.LocalProtocolError, _unsendable),
    (httpx.RemoteProtocolError, _broken_answer),
    (httpx.UnsupportedProtocol, _unsendable),
    (httpx.InvalidURL, _unsendable),
    (httpx.ProxyError, _no_connection),
    (httpx.DecodingError, _undecodable),
    (httpx.TooManyRedirects, _unexpected_redirect),
    (httpx.StreamError, _closed),
    (httpx.CookieConflict, _closed),
    (httpx.HTTPStatusError, _closed),
    (OSError, _no_connection),
    (httpx.HTTPError, _closed),
)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it came from, the members of groups too."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
