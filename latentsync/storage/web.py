"""HTTP as inputs and webhooks need it: public addresses only, checked where the connection is made, and patient
only within bounds. A redirect or a name that changes its address is checked like any other."""

import contextlib
import ipaddress
import socket
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

from latentsync.errors import InputError
from latentsync.storage.locations import shown

TIMEOUT_SECONDS = 30.0  # for a connection, and for a server that sends nothing
SLOW_SECONDS = 60.0  # of waiting for the server, in which it must send ...
SLOW_BYTES = 64 * 1024  # ... this much, or end
REDIRECTS_MAX = 5
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits


@contextlib.contextmanager
def get(url: str, start: int = 0, unless_changed: str = "", allow_private: bool = False) -> Iterator[httpx.Response]:
    """The answer to GET, not yet read, from byte ``start`` on (status 206), or from 0 (status 200).

    ``unless_changed`` is the ETag or Last-Modified of the bytes that are there. Raises InputError for a private
    address, httpx's errors otherwise.
    """
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": unless_changed} if unless_changed else {})
    with client(allow_private) as session, session.stream("GET", url, headers=headers) as answer:
        answer.raise_for_status()
        yield answer


def mark(url: str, allow_private: bool = False) -> dict[str, str]:
    """Size, ETag and Last-Modified of what is at ``url``, as far as the server tells; empty when there is nothing.

    By GET, as signed URLs often allow nothing else; the body is not read.
    """
    with (
        client(allow_private) as session,
        session.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        if answer.status_code in (404, 410):
            return {}
        answer.raise_for_status()
        told = {"size": "Content-Length", "ETag": "ETag", "Last-Modified": "Last-Modified"}
        return {name: answer.headers[header] for name, header in told.items() if header in answer.headers}


def client(allow_private: bool) -> httpx.Client:
    """A client that connects to public addresses only, unless ``allow_private``."""
    if urllib.request.getproxies().keys() & {"http", "https", "all"}:
        # The proxy makes the connections; of a name that only it can resolve, it decides.
        hooks: dict[str, list[Any]] = {"request": [lambda request: check_host(request.url.host, allow_private)]}
        return httpx.Client(event_hooks=hooks, **_OPTIONS)
    return httpx.Client(transport=_CheckedTransport(allow_private), **_OPTIONS)


_OPTIONS: dict[str, Any] = {"timeout": TIMEOUT_SECONDS, "follow_redirects": True, "max_redirects": REDIRECTS_MAX}


def check_host(host: str, allow_private: bool) -> None:
    """Raise InputError where ``host`` is known here as a private address."""
    with contextlib.suppress(OSError):
        public_addresses(host, 0, allow_private)


def public_addresses(host: str, port: int, allow_private: bool) -> list[str]:
    """The addresses of ``host``. Raises InputError for a private one, OSError for an unknown name."""
    addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in addresses:
        if not allow_private and not _is_public(address):
            raise InputError(
                f"{host} ({address}) is this machine or in a private network: not asked; "
                "set run.allow_private_urls to allow it"
            )
    return addresses


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.ip_address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast


class _CheckedTransport(httpx.HTTPTransport):
    def __init__(self, allow_private: bool) -> None:
        super().__init__()
        context = httpx.create_ssl_context()
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=_CheckedBackend(allow_private))


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to the very address that was checked; the certificate is still that of the name."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = public_addresses(host, port, self._allow_private)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error.strerror}") from error
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return PatientStream(self._backend.connect_tcp(address, port, timeout, local_address, socket_options))
        return PatientStream(self._backend.connect_tcp(addresses[-1], port, timeout, local_address, socket_options))


class PatientStream(httpcore.NetworkStream):
    """A connection whose other side must not send less than SLOW_BYTES in SLOW_SECONDS of waiting for it."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._waited_seconds, self._received_bytes = 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes from the other side. Raises httpcore.ReadTimeout when it is too slow."""
        began = self._clock()
        received = self._stream.read(max_bytes, timeout)
        self._waited_seconds += self._clock() - began
        self._received_bytes += len(received)
        if self._received_bytes >= SLOW_BYTES:
            self._waited_seconds, self._received_bytes = 0.0, 0
        elif self._waited_seconds > SLOW_SECONDS:
            raise httpcore.ReadTimeout(f"{self._received_bytes} bytes in {self._waited_seconds:.0f} s: too slow")
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """As the connection does."""
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """As the connection does."""
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        """The same over TLS."""
        return PatientStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._clock)

    def get_extra_info(self, info: str) -> Any:
        """As the connection does."""
        return self._stream.get_extra_info(info)


def is_users_fault(error: httpx.HTTPError | httpx.InvalidURL) -> bool:
    """Whether the same request can never work: no such file, no permission, a redirect to nowhere."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code < 500 and error.response.status_code not in (408, 425, 429)
    return isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.TooManyRedirects)


def explain(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    """What went wrong, without the secrets of the URL."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server says {error.response.status_code} {error.response.reason_phrase}"
    return shown(str(error)) or type(error).__name__
