"""A worker tells its metrics on a port of its own."""

import urllib.request
from pathlib import Path

import pytest
from support.processes import datamanager_worker, http_status, wait_until

from datamanager.config import Config
from datamanager.errors import ConfigError
from datamanager.local.ports import HeldPorts
from datamanager.observability import served_metrics


def test_a_worker_tells_what_its_models_do(server_config: Config, server: str, tmp_path: Path) -> None:  # noqa: ARG001  # the server makes the schema
    with HeldPorts() as held:
        port = held.choose()
        url = f"http://127.0.0.1:{port}/metrics"
        log = tmp_path / "worker.log"
        with datamanager_worker(server_config, log=log, DATAMANAGER_WORKER_METRICS_PORT=str(port)) as process:
            wait_until(lambda: http_status(url) == 200, process=process, log=log)
            with urllib.request.urlopen(url) as answer:
                said = answer.read().decode()
    for name in ("inference_seconds", "enrichment_seconds", "inference_batch_frames", "results_total", "shed_total"):
        assert f"# TYPE datamanager_{name}" in said
    assert "\ndatamanager_gpu_utilisation_ratio{" not in said  # no model is on a GPU here


def test_a_port_that_cannot_be_had_stops_the_start_and_is_named() -> None:
    with HeldPorts() as held:
        port = held.choose()
        with (
            served_metrics("127.0.0.1", port),
            pytest.raises(ConfigError, match=f"WORKER_METRICS_PORT={port}"),
            served_metrics("127.0.0.1", port),
        ):
            pytest.fail("two on one port")


def test_port_0_is_none() -> None:
    with served_metrics("no such host", 0):
        pass
