"""Models as workers see them: fetched once and checked each time; and what workers say of them."""

from pathlib import Path

import pytest
from support.adding import add
from support.manual_clock import ManualClock
from support.onnx_models import new_model, tiny_model

from datamanager.errors import DatamanagerError, NotFound
from datamanager.storage.keys import model_key
from datamanager.storage.model_reports import MAX_WORKERS, TTL_S, ModelReport, fresh_reports
from datamanager.storage.models import Models
from datamanager.storage.s3 import S3

A = tiny_model(1)


async def test_workers_say_how_models_stand_for_a_minute(models: Models, clock: ManualClock) -> None:
    await add(models, new_model("m", "1", A), A)
    await models.report("w$1", [ModelReport(name="m", version="1", state="loading")])
    failed = ModelReport(name="m", version="1", state="failed", error="$boom " * 200, breaker="open")
    await models.report("w2", [failed, ModelReport(name="nobody", version="1", state="ready")])
    ready = ModelReport(name="m", version="1", state="ready", providers=("CPUExecutionProvider",))
    await models.report("w$1", [ready])
    reports = fresh_reports(await models.document("m"), clock.now_ns())
    assert [(r["worker"], r["state"], list(r["providers"])) for r in reports] == [
        ("w$1", "ready", ["CPUExecutionProvider"]),
        ("w2", "failed", []),
    ]
    assert len(reports[1]["error"]) == 500
    clock.advance(TTL_S - 1)
    assert len(fresh_reports(await models.document("m"), clock.now_ns())) == 2
    clock.advance(1)
    assert fresh_reports(await models.document("m"), clock.now_ns()) == []
    await models.report("w3", [ready])
    assert [entry["worker"] for entry in (await models.document("m"))["loaded"]] == ["w3"]  # the old ones are gone
    for n in range(MAX_WORKERS + 1):
        await models.report(f"x{n}", [ready])
    kept = (await models.document("m"))["loaded"]
    assert len(kept) == MAX_WORKERS
    assert "x0" not in {entry["worker"] for entry in kept}


async def test_a_model_is_fetched_once_and_checked_each_time(models: Models, s3: S3, tmp_path: Path) -> None:
    await add(models, new_model("m", "1", A), A)
    stored = (await models.current())["m"]
    folder = tmp_path / "cache"
    path = await models.fetch(stored, folder)
    assert path.read_bytes() == A
    await s3.delete([model_key("m", "1")])
    assert await models.fetch(stored, folder) == path  # S3 is not asked again
    path.write_bytes(A[:-1] + b"!")
    with pytest.raises(NotFound):
        await models.fetch(stored, folder)
    await s3.put(model_key("m", "1"), A)
    assert (await models.fetch(stored, folder)).read_bytes() == A
    path.unlink()
    await s3.put(model_key("m", "1"), A[:-1] + b"!")
    with pytest.raises(DatamanagerError, match="checksum"):
        await models.fetch(stored, folder)
    assert list(folder.iterdir()) == []


async def test_fetched_models_take_only_so_much_room(models: Models, tmp_path: Path) -> None:
    paths = []
    for n in range(3):
        data = tiny_model(n)
        await add(models, new_model(f"m{n}", "1", data), data)
        stored = (await models.current())[f"m{n}"]
        paths.append(await models.fetch(stored, tmp_path, max_bytes=2 * len(data)))
    assert [path.exists() for path in paths] == [False, True, True]
    assert (await models.fetch((await models.current())["m0"], tmp_path, max_bytes=1)).exists()  # it alone is too much
    assert [path.exists() for path in paths] == [True, False, False]


async def test_a_folder_that_takes_nothing_is_said(models: Models, tmp_path: Path) -> None:
    await add(models, new_model("m", "1", A), A)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatamanagerError, match="cannot be kept"):
        await models.fetch((await models.current())["m"], tmp_path / "file")
