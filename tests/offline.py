"""No test reaches the network: what leaves the machine, or asks a name server, is refused and remembered.

It knows the standard library alone: its text is also the `sitecustomize` of commands under test.
"""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ATTEMPTS: Final[list[str]] = []
"""What was refused in this process since the test began; code under test may swallow the error."""

LOG_VARIABLE: Final = "NETWORK_ATTEMPTS"
"""Names a file to which every process appends what it refused."""

_LOCAL_NAMES: Final = {"", "localhost", "ip6-localhost", socket.gethostname()}
_TO_ADDRESS: Final = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_TO_NAME: Final = {
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
}


class NetworkUsedError(RuntimeError):
    """Something tried to leave the machine."""


def forbid_network() -> None:
    """Refuse, in this process for good, connections and look-ups that are not of this machine.

    An audit hook sees what a patched module would not: sockets of libraries written in C, and of threads.
    """
    if not getattr(sys, "_network_is_forbidden", False):
        sys._network_is_forbidden = True  # type: ignore[attr-defined] # hooks are never removed
        sys.addaudithook(_refuse_network)


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if event[:7] != "socket.":
        return
    if event in _TO_ADDRESS:
        kind, place = getattr(arguments[0], "family", None), arguments[1]
        if kind not in {socket.AF_INET, socket.AF_INET6} or place is None:
            return  # a pipe of this machine; or a socket that was connected before
    elif event in _TO_NAME:
        place = arguments[0]
    else:
        return
    host = place[0] if isinstance(place, tuple) else place
    if not _is_local(host):
        told = f"{event.partition('.')[2]} {place!r}"
        ATTEMPTS.append(told)
        if LOG_VARIABLE in os.environ:
            with Path(os.environ[LOG_VARIABLE]).open("a", encoding="utf-8") as log:
                log.write(f"{told}\n")
        msg = f"the network was used: {told}; tests run offline, only loopback addresses are reached"
        raise NetworkUsedError(msg)


def _is_local(host: object) -> bool:
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    if text in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified  # the latter is this machine when connected to


@contextmanager
def without_network() -> Iterator[None]:
    """Raise at the end where anything inside tried to leave the machine, even if it swallowed the refusal."""
    ATTEMPTS.clear()
    yield
    if ATTEMPTS:
        told = "; ".join(ATTEMPTS)
        ATTEMPTS.clear()
        msg = f"the network was used: {told}; tests run offline, only loopback addresses are reached"
        raise NetworkUsedError(msg)
