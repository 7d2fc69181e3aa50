"""Which addresses endpoints may have: public ones over https, and those in the networks the site trusts.

The check is made when a connection is opened, on the very address that the connection then goes to, so that
a name that resolves to another address a moment later gets nowhere.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable

import httpx2
from django.conf import settings

from training.endpoints.errors import EndpointError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def carried_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64), else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_trusted(address: Address) -> bool:
    """Whether an address lies in one of the networks of ENDPOINT_TRUSTED_NETWORKS."""
    carried = carried_address(address)
    return any(carried in network for network in settings.ENDPOINT_TRUSTED_NETWORKS)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and to nothing near this machine."""
    carried = carried_address(address)
    return carried.is_global and not (carried.is_multicast or carried.is_reserved)


def permitted_addresses(host: str, scheme: str, found: Iterable[str]) -> list[str]:
    """Those of a host's addresses that may be connected to; raises EndpointError if there are none."""
    addresses = [ipaddress.ip_address(each.partition("%")[0]) for each in dict.fromkeys(found)]
    permitted = [each for each in addresses if is_trusted(each) or (is_public(each) and scheme == "https")]
    if permitted:
        return [str(each) for each in permitted]
    where = host if not addresses or host == str(addresses[0]) else f"{host} ({addresses[0]})"
    if any(is_public(each) for each in addresses):
        raise EndpointError(
            f"{where} is reached without encryption: use https, or add the network to "
            "ENDPOINT_TRUSTED_NETWORKS."
        )
    raise EndpointError(
        f"{where} is inside this machine's own network; if that is meant, add the network to "
        "ENDPOINT_TRUSTED_NETWORKS, for example 127.0.0.0/8."
    )


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """Resolves the host of each request, and connects only to an address that is permitted.

    Proxies of the environment are not used: behind one, the address could not be checked.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host, scheme = request.url.raw_host.decode("ascii"), request.url.scheme
        port = request.url.port or (443 if scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            reason = error.strerror or str(error)
            raise httpx2.ConnectError(f"the name {host} cannot be resolved: {reason}") from error
        addresses = permitted_addresses(host, scheme, (str(each[4][0]) for each in found))
        for address in addresses:
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # `Host` among them, which names the host as it was given
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await super().handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise AssertionError("permitted_addresses gives at least one")
