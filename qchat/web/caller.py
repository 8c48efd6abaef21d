"""Where a request comes from: its client, and the address that this one used, seen through proxies.

``X-Forwarded-*`` is believed only when the connection comes from a trusted proxy; from anybody else
these headers are as if they were not there.
"""

import ipaddress
from collections.abc import Collection

from aiohttp import hdrs, web
from attrs import frozen

from qchat.context import context
from qchat.settings import ProxyNetwork

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address


@frozen(kw_only=True)
class Caller:
    """``host`` is what the client's browser has in its address line, with the port where it shows one."""

    address: str
    """Of the client; of the last hop that is believed, when there are proxies."""
    scheme: str
    host: str
    proxied: bool
    """Whether a trusted proxy passes the request on."""

    @property
    def origin(self) -> str:
        """What a browser calls the pages of this service."""
        host = self.host.lower()
        default = {"http": ":80", "https": ":443"}.get(self.scheme, "")
        return f"{self.scheme}://{host.removesuffix(default) if default else host}"

    @property
    def client(self) -> str:
        """Whom to count for limits: an address, of IPv6 the network that one subscriber has."""
        address = _address(self.address)
        if isinstance(address, IPv6):
            return str(ipaddress.ip_network((address, 64), strict=False))
        return self.address


CALLER = web.RequestKey("caller", Caller)


def caller(request: web.Request) -> Caller:
    """Where a request comes from."""
    found = request.get(CALLER)
    if found is None:
        found = request[CALLER] = _find(request, context(request).settings.trusted_proxies)
    return found


def _find(request: web.Request, trusted: Collection[ProxyNetwork]) -> Caller:
    peer = _end(request, "peername")
    host = request.headers.get(hdrs.HOST, "")
    if not _is_trusted(peer, trusted):
        return Caller(address=peer, scheme=request.scheme, host=host, proxied=False)
    proto = _last(request, "X-Forwarded-Proto").lower()
    return Caller(
        address=_client(request, peer, trusted),
        scheme=proto if proto in ("http", "https") else request.scheme,
        host=_last(request, "X-Forwarded-Host") or host,
        proxied=True,
    )


def own_address(request: web.Request) -> str:
    """The address of this machine that the connection came to."""
    return _end(request, "sockname")


def _end(request: web.Request, which: str) -> str:
    found = request.get_extra_info(which)
    address = _address(str(found[0])) if isinstance(found, tuple) else None
    return str(address) if address else ""


def _address(text: str) -> IPv4 | IPv6 | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6) else None) or address


def _is_trusted(text: str, trusted: Collection[ProxyNetwork]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in trusted)


def _client(request: web.Request, peer: str, trusted: Collection[ProxyNetwork]) -> str:
    """The right-most hop that is no trusted proxy: what stands left of it, the client may have made up."""
    hops = [hop.strip() for line in request.headers.getall("X-Forwarded-For", []) for hop in line.split(",")]
    client = peer
    for hop in reversed(hops):
        address = _address(_without_port(hop))
        if address is None:
            break
        client = str(address)
        if not _is_trusted(client, trusted):
            break
    return client


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _last(request: web.Request, name: str) -> str:
    """The value that the nearest proxy has set or added."""
    lines = request.headers.getall(name, [""])
    return lines[-1].rpartition(",")[2].strip()
