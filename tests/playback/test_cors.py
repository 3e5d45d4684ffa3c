"""Pages of other origins may call the API when a setting says so, and not otherwise."""

from dataclasses import replace
from pathlib import Path

import httpx
from support.processes import served

from datamanager.config import Config


async def test_only_the_origins_that_are_set_may_call(server_config: Config, tmp_path: Path) -> None:
    config = replace(
        server_config, serve=replace(server_config.serve, cors_origins="http://a.example, http://b.example")
    )

    with served(config, log=tmp_path / "serve.log") as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            for origin, allowed in (("http://b.example", "http://b.example"), ("http://c.example", None)):
                answer = await http.get("/api/v1/robots", headers={"origin": origin})
                assert answer.status_code == 200
                assert answer.headers.get("access-control-allow-origin") == allowed
