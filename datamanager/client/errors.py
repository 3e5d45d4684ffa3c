"""What can go wrong on the robot's and the reader's side.

DatamanagerError
├── ClientError
│   ├── ClientClosed     the robot was closed; nothing more is taken
│   ├── Unauthorized     the server refuses this robot for good; the client has stopped trying
│   ├── Superseded       another process speaks as the same producer; the client has stopped trying
│   ├── SpoolLocked      another process uses the spool folder
│   ├── UploadFailed     a file was refused, or could not be brought to the server: `code`, `detail`, `status`
│   ├── RpcError         a remote call ended in an error: `code`, `message`, `data`
│   └── ReaderError      a request was answered by an error: `code`, `detail`, `status`
└── Refused              (shared) a value that no server would take, refused before it is sent
"""

from typing import Any

from datamanager.errors import DatamanagerError

__all__ = [
    "ClientClosed",
    "ClientError",
    "ReaderError",
    "RpcError",
    "SpoolLocked",
    "Superseded",
    "Unauthorized",
    "UploadFailed",
]


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


class UploadFailed(ClientError):
    """A file was refused, or could not be brought to the server.

    Attributes:
        code: why: the stable `code` of the server's answer, `unreachable` when nothing moved for too long.
        status: the HTTP status; 0 when there was no answer.
    """

    def __init__(self, code: str, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class SpoolLocked(ClientError):
    """Another process uses the spool folder of this session."""

    code = "spool_locked"


class RpcError(ClientError):
    """A remote call ended in an error. Raised by a robot's function, it is the caller's answer.

    Attributes:
        rpc_code: JSON-RPC's code; from -32768 to -32000 they are JSON-RPC's and the server's own.
        data: what else is said, as JSON has it.
    """

    code = "rpc"

    def __init__(self, rpc_code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.rpc_code = rpc_code
        self.data = data

    def __str__(self) -> str:
        return f"{self.detail} ({self.rpc_code})"

    @property
    def fields(self) -> dict[str, Any]:
        """The error as JSON-RPC 2.0 has it."""
        more = {} if self.data is None else {"data": self.data}
        return {"code": self.rpc_code, "message": self.detail, **more}


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
