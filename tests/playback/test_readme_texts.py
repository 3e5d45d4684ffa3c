"""The README's example of notes, tables, parameters and logs runs as it stands."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.processes import wait_until

README = Path(__file__).resolve().parents[2] / "README.md"


def test_what_the_readme_sends_is_what_it_reads(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "time_column" in block]
    space: dict[str, Any] = {}
    exec(block.replace("http://127.0.0.1:8080", server), space)  # noqa: S102 - our own page
    assert "<em>well</em>" in space["page"]
    assert space["rows"] == [[0.5, "auto"], [0.7, "auto"], [None, "manual"]]
    assert space["gains"] == {"arm": {"gain": 0.7}}
    assert [entry["message"] for entry in space["found"]] == ["battery low"]
    address = f"{server}/api/v1/records/{space['table']['record_id']}"
    wait_until(lambda: "series" in httpx.get(address, trust_env=False).json()["metadata"])
    series = httpx.get(address, trust_env=False).json()["metadata"]["series"]
    assert (series["stream"], series["rows"]) == ("drive/rows", 3)
