"""What can go wrong on the robot's and the reader's side.

DatamanagerError
├── ClientError
│   ├── ClientClosed     the robot was closed; nothing more is taken
│   ├── Unauthorized     the server refuses this robot for good; the client has stopped trying
│   ├── Superseded       another process speaks as the same producer; the client has stopped trying
│   ├── SpoolLocked      another process uses the spool folder
│   └── ReaderError      a request was answered by an error: `code`, `detail`, `status`
└── Refused              (shared) a value that no server would take, refused before it is sent
"""

from datamanager.errors import DatamanagerError

__all__ = ["ClientClosed", "ClientError", "ReaderError", "SpoolLocked", "Superseded", "Unauthorized"]


class ClientError(DatamanagerError):
    """The root of what the client raises by itself."""

    code = "client"


class ClientClosed(ClientError):
    """The robot was closed; nothing more is taken."""

    code = "closed"


class Unauthorized(ClientError):
    """The server refuses this robot for good: its token or its ids. What is held stays held."""

    code = "unauthorized"


class Superseded(ClientError):
    """Another process said hello as the same producer, so that the server closed this one's socket."""

    code = "superseded"


class SpoolLocked(ClientError):
    """Another process uses the spool folder of this session."""

    code = "spool_locked"


class ReaderError(ClientError):
    """The server answered a request with an error, or did not answer.

    Attributes:
        code: the stable `code` of the problem+json answer; `unreachable` when there was no answer.
        status: the HTTP status; 0 when there was no answer.
    """

    def __init__(self, code: str, detail: str, status: int) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status

    def __str__(self) -> str:
        return f"{self.code} ({self.status}): {self.detail}"
