"""Calls a webhook: an address that a user named, so one that is not to be trusted.

The host's name is resolved once, what it resolves to is checked, and that address is what is connected to: a name that
answers differently the next moment changes nothing. No proxy of the environment is used, no redirect is followed, and
of the answer nothing but its status is read.
"""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from datamanager.config import EventsConfig
from datamanager.errors import ConfigError, Refused
from datamanager.storage.alert_rules import check_url

__all__ = ["CallOutcome", "WebhookCaller", "is_allowed", "open_webhook_caller"]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}
_MOST_ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of a call.

    Attributes:
        status: of the answer; 0 where there was none.
        error: why it failed; empty when it did not.
        is_final: whether trying again is of no use.
    """

    status: int = 0
    error: str = ""
    is_final: bool = False


def is_allowed(address: str, *, private: bool) -> bool:
    """Whether a webhook may be at an IP address.

    Never: link-local ones (a cloud's metadata live there), multicast, unspecified, and IPv6 tunnels into IPv4. Loopback and
    private ones, and all others that are not public, only with `private`.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_allowed(str(ip.ipv4_mapped), private=private)
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64:
            return False
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    return private or ip.is_global


class WebhookCaller:
    """Calls webhooks.

    Args:
        client: of its own; no connection is kept open in it.
        private: whether private addresses may be called.
        timeout_s: how long a call may take in all.
    """

    def __init__(self, client: httpx.AsyncClient, *, private: bool, timeout_s: float) -> None:
        self._client = client
        self._private = private
        self._timeout_s = timeout_s

    async def call(self, url: str, headers: Mapping[str, str], *, key: str, body: bytes) -> CallOutcome:
        """Posts JSON. An answer of 200 to 299 is success; nothing is raised.

        Args:
            url: where to.
            headers: to be sent along.
            key: the `Idempotency-Key`: the same for every try.
            body: JSON.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._call(url, headers, key, body)
        except TimeoutError:
            return CallOutcome(error=f"no answer within {self._timeout_s:g} s")
        except Refused as error:
            return CallOutcome(error=error.detail, is_final=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return CallOutcome(error=f"{type(error).__name__}: {error}"[:_MOST_ERROR_CHARS])

    async def _call(self, url: str, headers: Mapping[str, str], key: str, body: bytes) -> CallOutcome:
        parts = check_url(url)
        host = parts.hostname or ""
        address = await self._resolve(host, parts.port or _PORTS[parts.scheme])
        request = self._client.build_request(
            "POST",
            httpx.URL(url).copy_with(host=address),
            content=body,
            headers={
                **headers,
                "Host": parts.netloc,
                "Content-Type": "application/json",
                "Idempotency-Key": key,
                "User-Agent": "datamanager",
            },
            extensions={"sni_hostname": host},  # its certificate is checked against the name, not the address
        )
        response = await self._client.send(request, stream=True)
        await response.aclose()
        if response.is_success:
            return CallOutcome(response.status_code)
        hint = ": redirects are not followed" if response.is_redirect else ""
        return CallOutcome(response.status_code, f"the answer was {response.status_code}{hint}")

    async def _resolve(self, host: str, port: int) -> str:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(address[4][0]) for address in found]
        for address in addresses:
            if is_allowed(address, private=self._private):
                return address
        hint = "" if self._private else "; DATAMANAGER_WEBHOOK_PRIVATE=allow lets it call private ones"
        raise Refused("bad_payload", f"{host} is at {', '.join(addresses[:4])}, where no webhook may be{hint}")


@asynccontextmanager
async def open_webhook_caller(config: EventsConfig) -> AsyncIterator[WebhookCaller]:
    """A caller as the settings say.

    Raises:
        ConfigError: DATAMANAGER_WEBHOOK_PRIVATE is neither allow nor deny.
    """
    if config.webhook_private not in ("allow", "deny"):
        raise ConfigError(f"DATAMANAGER_WEBHOOK_PRIVATE={config.webhook_private!r} must be allow or deny")
    # A connection that was kept would be taken for another host at the same address.
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=0)
    async with httpx.AsyncClient(
        trust_env=False, follow_redirects=False, timeout=config.webhook_timeout_s, limits=limits
    ) as client:
        yield WebhookCaller(client, private=config.webhook_private == "allow", timeout_s=config.webhook_timeout_s)
