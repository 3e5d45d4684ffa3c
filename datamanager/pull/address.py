"""Where pictures are pulled from, and how that is written without telling a password."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from datamanager.errors import ConfigError

__all__ = ["Address", "read_address"]

_SCHEMES: dict[str, Literal["rtsp", "http"]] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SECRET = re.compile(
    r"([?&;][^=&;#]*(?:pass|pwd|token|key|auth|secret|sig|user|login)[^=&;#]*=)[^&;#\s]*", re.IGNORECASE
)
_ANYONE = re.compile(r"(://)[^/\s@]*@")
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Address:
    """A source.

    Attributes:
        kind: by what it is asked.
        text: as it was given, credentials included: never to be shown.
        masked: to be shown.
        host: of a server.
        user, password: as they were given; None where they were not.
    """

    kind: Literal["rtsp", "http", "file"]
    text: str
    masked: str
    host: str = ""
    user: str | None = None
    password: str | None = None

    @property
    def path(self) -> Path:
        """Of a file."""
        return Path(self.text)

    @property
    def plain(self) -> str:
        """The address without user and password."""
        scheme, _, rest = self.text.partition("://")
        place, slash, more = rest.partition("/")
        return f"{scheme}://{place.rpartition('@')[2]}{slash}{more}"

    def masked_in(self, said: str) -> str:
        """A text in which no credentials stand, of this address or any other."""
        if self.kind == "file":
            return said
        said = said.replace(self.text, self.masked)
        for secret in (self.password, self.user):
            if secret and len(secret) > 3:  # a shorter one would be found in any word
                said = said.replace(secret, _HIDDEN)
        return _SECRET.sub(rf"\1{_HIDDEN}", _ANYONE.sub(rf"\1{_HIDDEN}@", said))


def read_address(text: str) -> Address:
    """An address as it is given on the command line.

    Raises:
        ConfigError: it is of no kind that is known, names no host, or is a file that is not there.
    """
    found = _SCHEME.fullmatch(text)
    if found is None:
        if not Path(text).is_file():
            raise ConfigError(f"{text} is not there: a source is rtsp://…, http(s)://… or a file")
        return Address("file", text, text)
    scheme, rest = found[1].lower(), found[2]
    kind = _SCHEMES.get(scheme)
    if kind is None:
        raise ConfigError(f"{scheme}:// is not known: a source is rtsp://…, http(s)://… or a file")
    # The last `@` parts user and password from the rest, also where a password holds `/`: so none of it is ever shown.
    before_query, mark, query = rest.partition("?")
    user, at, place = before_query.rpartition("@")
    masked = _SECRET.sub(rf"\1{_HIDDEN}", f"{scheme}://{_HIDDEN + '@' if at else ''}{place}{mark}{query}")
    if "/" in user:
        raise ConfigError(f"{masked}: a `/` or `@` in a user or password must be written as %2F or %40")
    return _with_host(kind, text, masked)


def _with_host(kind: Literal["rtsp", "http"], text: str, masked: str) -> Address:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{masked} is no address: its host or port cannot be read") from error
    if not host:
        raise ConfigError(f"{masked} names no host")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return Address(kind, text, masked, host, user, password)
