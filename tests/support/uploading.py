"""An uploader that asks for each step by itself."""

import time
from typing import Any

import httpx

__all__ = ["RawUploader"]

T0 = 1_700_000_000_000_000_000


class RawUploader:
    """Speaks `/api/v1/uploads`, and puts bytes where it is told to."""

    def __init__(self, url: str, session: str, *, robot: str = "uploader") -> None:
        self.robot, self.session = robot, session
        self.http = httpx.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=60)

    def ask(self, size: int, **more: Any) -> httpx.Response:
        """Asks for an upload of so many bytes: a file of the stream `files`, unless something else is said."""
        body = {"robot_id": self.robot, "session_id": self.session, "stream": "files", "kind": "file", "t_ns": T0}
        return self.http.post("/uploads", json=body | {"size_bytes": size} | more)

    def begin(self, data: bytes, **more: Any) -> dict[str, Any]:
        """Begins an upload."""
        answer = self.ask(len(data), **more)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def put(self, item: dict[str, Any], data: bytes, *, only: set[int] | None = None) -> None:
        """Puts what an upload asks for, or some of its parts only."""
        wanted = [item | {"offset": 0, "size": len(data), "number": 1}] if "url" in item else item.get("parts", [])
        for part in wanted:
            if "url" in part and (only is None or part["number"] in only):
                piece = data[part["offset"] : part["offset"] + part["size"]]
                answer = httpx.put(part["url"], content=piece, trust_env=False, timeout=60)
                assert answer.status_code == 200, answer.text

    def look(self, upload_id: str, **params: Any) -> dict[str, Any]:
        """How it stands."""
        answer = self.http.get(f"/uploads/{upload_id}", params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def complete(self, upload_id: str, **params: Any) -> httpx.Response:
        """Has it completed, and asks until it is."""
        give_up_s = time.monotonic() + 40
        while True:
            answer = self.http.post(f"/uploads/{upload_id}/complete", params=params)
            if answer.status_code != 202:
                return answer
            assert time.monotonic() < give_up_s, answer.text

    def upload(self, data: bytes, **more: Any) -> dict[str, Any]:
        """All of it; gives the answer."""
        item = self.begin(data, **more)
        self.put(item, data)
        answer = self.complete(item["upload_id"])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def records(self, **params: Any) -> list[dict[str, Any]]:
        """The session's records."""
        answer = self.http.get(f"/sessions/{self.robot}/{self.session}/records", params=params)
        return list(answer.json()["items"]) if answer.status_code == 200 else []

    def content(self, record_id: str) -> bytes:
        """A record's bytes."""
        return self.http.get(f"/records/{record_id}/content", follow_redirects=True).content

    def letters(self) -> list[dict[str, Any]]:
        """The session's dead letters."""
        answer = self.http.get("/dead-letters", params={"robot_id": self.robot, "session_id": self.session})
        return list(answer.json()["items"])
