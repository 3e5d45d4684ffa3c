"""Models are added whole or not at all, never change, are switched at once, and go only when nobody needs them."""

import asyncio
import json

import pytest
from support.adding import add, put
from support.manual_clock import ManualClock
from support.onnx_models import new_model, tiny_model

from datamanager.errors import Conflict, NotFound, Refused
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.keys import manifest_key, model_key, model_upload_key
from datamanager.storage.model_changes import MAX_VERSIONS
from datamanager.storage.model_reports import ModelReport
from datamanager.storage.models import Models
from datamanager.storage.mongo import Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.s3 import S3

A, B = tiny_model(1), tiny_model(2)


async def state(models: Models, name: str) -> dict[str, str]:
    document = await models.document(name)
    return {entry["version"]: entry["state"] for entry in document["versions"]} | {"current": document["current"]}


async def test_a_model_is_added_and_in_use(models: Models, s3: S3) -> None:
    new = new_model("m", "1", A)
    await put(await models.begin(new), A)
    assert await state(models, "m") == {"1": "uploading", "current": None}
    assert await models.current() == {}
    await models.complete("m", "1")
    assert await state(models, "m") == {"1": "ready", "current": "1"}
    stored = (await models.current())["m"]
    assert (stored.version, stored.checksum, stored.size_bytes) == ("1", new.checksum, len(A))
    assert await s3.get(model_key("m", "1")) == A
    assert json.loads(await s3.get(manifest_key("m", "1"))) == {"task": "raw"}
    assert await s3.size(model_upload_key("m", "1", new.checksum)) is None


async def test_the_same_bytes_again_are_known_and_others_conflict(models: Models) -> None:
    await add(models, new_model("m", "1", A), A)
    before = await models.document("m")
    assert await models.begin(new_model("m", "1", A)) is None
    await models.complete("m", "1")
    assert await models.document("m") == before
    with pytest.raises(Conflict, match="another file"):
        await models.begin(new_model("m", "1", B))
    with pytest.raises(Conflict, match="another manifest"):
        await models.begin(new_model("m", "1", A, manifest=b"{}"))
    assert await models.document("m") == before


async def test_an_address_that_was_given_away_leads_to_nothing_in_use(models: Models, s3: S3) -> None:
    url = await models.begin(new_model("m", "1", A))
    await put(url, A)
    await models.complete("m", "1")
    await put(url, B)
    assert await s3.get(model_key("m", "1")) == A


async def test_not_every_version_is_to_be_used(models: Models) -> None:
    await add(models, new_model("m", "1", A, use=False), A)
    assert await models.current() == {}
    await add(models, new_model("m", "2", B), B)
    await add(models, new_model("m", "3", B, use=False), B)
    assert (await models.current())["m"].version == "2"
    assert await models.begin(new_model("m", "1", A)) is None  # known, and now to be used
    assert (await models.current())["m"].version == "1"


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (B, "checksum"),
        (A[:-1], f"has {len(A) - 1} bytes"),
        (A + b"\0", f"has {len(A) + 1} bytes"),
        (b"", "has 0 bytes"),
        (bytes(len(A)), "checksum"),
    ],
    ids=["another", "short", "long", "empty", "zeros"],
)
async def test_a_file_other_than_declared_is_refused_and_may_be_put_again(
    models: Models, s3: S3, sent: bytes, why: str
) -> None:
    new = new_model("m", "1", A)
    url = await models.begin(new)
    await put(url, sent)
    with pytest.raises(Refused, match=why) as refused:
        await models.complete("m", "1")
    assert refused.value.code == "bad_payload"
    assert await models.current() == {}
    assert await s3.size(model_key("m", "1")) is None
    await put(url, A)
    await models.complete("m", "1")
    assert (await models.current())["m"].checksum == new.checksum


@pytest.mark.parametrize("data", [b"PK\3\4" + bytes(500), A[:-9], b"\x08\x09" * 40], ids=["zip", "cut off", "no graph"])
async def test_what_is_no_onnx_model_is_refused(models: Models, s3: S3, data: bytes) -> None:
    url = await models.begin(new_model("m", "1", data))
    await put(url, data)
    with pytest.raises(Refused, match="no ONNX model"):
        await models.complete("m", "1")
    assert await models.current() == {}
    assert await s3.size(model_key("m", "1")) is None
    await add(models, new_model("m", "1", A), A)  # the version was never there
    assert await state(models, "m") == {"1": "ready", "current": "1"}


async def test_a_model_may_be_so_large_and_no_larger(models: Models) -> None:
    assert await models.begin(new_model("m", "1", A, size_bytes=1_000_000)) is not None
    with pytest.raises(Refused) as refused:
        await models.begin(new_model("m", "2", A, size_bytes=1_000_001))
    assert refused.value.code == "too_large"
    largest = tiny_model(1, padding=1_000_000 - len(A) - 4)
    assert len(largest) == 1_000_000
    await add(models, new_model("large", "1", largest), largest)
    assert (await models.current())["large"].size_bytes == 1_000_000


async def test_what_was_not_put_or_not_begun_is_not_completed(models: Models) -> None:
    await models.begin(new_model("m", "1", A))
    with pytest.raises(Conflict, match="PUT it first"):
        await models.complete("m", "1")
    for name, version in (("m", "2"), ("nobody", "1")):
        with pytest.raises(NotFound):
            await models.complete(name, version)


async def test_another_file_may_be_begun_while_none_is_ready(models: Models, s3: S3) -> None:
    wrong = new_model("m", "1", B)
    await put(await models.begin(wrong), B)
    await add(models, new_model("m", "1", A), A)
    assert await s3.get(model_key("m", "1")) == A
    assert await s3.size(model_upload_key("m", "1", wrong.checksum)) is None


async def test_only_one_checks_a_model_and_its_death_is_survived(models: Models, clock: ManualClock) -> None:
    await put(await models.begin(new_model("m", "1", A)), A)
    await models._take("m", "1")  # by a server that died of it
    for act in (models.complete("m", "1"), models.begin(new_model("m", "1", A)), models.remove("m")):
        with pytest.raises(Conflict, match="being looked at"):
            await act
    clock.advance(59)
    with pytest.raises(Conflict, match="being looked at"):
        await models.complete("m", "1")
    clock.advance(2)
    await models.complete("m", "1")
    assert "m" in await models.current()


async def test_many_that_add_the_same_at_the_same_time(models: Models, s3: S3) -> None:
    async def one() -> str:
        try:
            url = await models.begin(new_model("m", "1", A))
            if url is not None:
                await put(url, A)
                await models.complete("m", "1")
        except Conflict as conflict:
            assert "being looked at" in conflict.detail or "not in S3" in conflict.detail  # noqa: PT017  # either passes
            return "busy"
        return "added"

    done = await asyncio.gather(*(one() for _ in range(6)))
    assert "added" in done
    assert await state(models, "m") == {"1": "ready", "current": "1"}
    assert await s3.get(model_key("m", "1")) == A


async def test_versions_that_are_added_at_the_same_time_are_all_kept(models: Models) -> None:
    files = {str(n): tiny_model(n) for n in range(8)}
    await asyncio.gather(*(add(models, new_model("m", version, data), data) for version, data in files.items()))
    found = await state(models, "m")
    assert found.pop("current") in files
    assert found == dict.fromkeys(files, "ready")


async def test_versions_are_switched(models: Models) -> None:
    await add(models, new_model("m", "1", A), A)
    await add(models, new_model("m", "2", B), B)
    await models.begin(new_model("m", "3", A))
    await models.use("m", "1")
    assert (await models.current())["m"].version == "1"
    for version in ("3", "4"):
        with pytest.raises(NotFound):
            await models.use("m", version)
    with pytest.raises(NotFound):
        await models.use("nobody", "1")


async def test_workers_hear_of_changes_and_see_them(models: Models) -> None:
    first = await models.newer(None)
    assert first is not None
    stamp, found = first
    assert found == {}
    assert await models.newer(stamp) is None
    while await models.notices.wait(0.2):  # of other tests' servers: Redis has one set of channels for all databases
        pass
    waiting = asyncio.create_task(models.notices.wait(10))
    await asyncio.sleep(0)
    await add(models, new_model("m", "1", A), A)
    assert await asyncio.wait_for(waiting, 2)
    seen = await models.newer(stamp)
    assert seen is not None
    assert seen[1]["m"].version == "1"
    await models.report("w", [ModelReport(name="m", version="1", state="ready")])  # is no change
    assert await models.newer(seen[0]) is None
    await models.remove("m")
    gone = await models.newer(seen[0])
    assert gone == (stamp, {})
    await models.notices.close()


async def test_a_model_is_removed_with_its_files(models: Models, s3: S3) -> None:
    await add(models, new_model("m", "1", A), A)
    await add(models, new_model("m", "2", B), B)
    with pytest.raises(Conflict, match="use another one first"):
        await models.remove("m", "2")
    await models.remove("m", "1")
    assert await state(models, "m") == {"2": "ready", "current": "2"}
    assert await s3.size(model_key("m", "1")) is None
    await models.remove("m", "2")  # the last one
    assert await s3.size(model_key("m", "2")) is None
    assert await s3.size(manifest_key("m", "2")) is None
    with pytest.raises(NotFound):
        await models.document("m")
    with pytest.raises(NotFound):
        await models.remove("m")
    await add(models, new_model("m", "2", A), A)  # the name is free again
    with pytest.raises(NotFound):
        await models.remove("m", "1")


async def test_a_model_that_a_rule_names_stays(models: Models, enrichments: Enrichments) -> None:
    await add(models, new_model("m", "1", A), A)
    await add(models, new_model("m", "2", B), B)
    await enrichments.put(Enrichment(name="rule", model="m"))
    for version in ("2", None):
        with pytest.raises(Conflict, match="'rule'"):
            await models.remove("m", version)
    assert await state(models, "m") == {"1": "ready", "2": "ready", "current": "2"}
    await models.remove("m", "1")  # nobody uses it
    await enrichments.put(Enrichment(name="rule", model="m", enabled=False))
    await models.remove("m")
    assert await models.current() == {}


async def test_a_rule_that_is_put_while_its_model_goes_keeps_it(
    models: Models, enrichments: Enrichments, s3: S3, mongo: Mongo, redis: Redis
) -> None:
    class Overtaken(Enrichments):
        """Rules of which one is put just after they were looked through."""

        async def naming(self, model: str) -> list[str]:
            before = await super().naming(model)
            if not before:
                await enrichments.put(Enrichment(name="late", model=model))
            return before

    await add(models, new_model("m", "1", A), A)
    models._rules = Overtaken(mongo, redis)
    with pytest.raises(Conflict, match="just now"):
        await models.remove("m")
    assert await state(models, "m") == {"1": "ready", "current": "1"}
    assert await s3.get(model_key("m", "1")) == A


async def test_all_versions_of_a_model_are_of_one_task(models: Models) -> None:
    await put(await models.begin(new_model("m", "late", B, task="embed")), B)
    await add(models, new_model("m", "1", A), A)
    with pytest.raises(Conflict, match="another name"):
        await models.begin(new_model("m", "2", B, task="detect"))
    with pytest.raises(Conflict, match="another name"):
        await models.complete("m", "late")
    with pytest.raises(Conflict, match="another name"):
        await models.seed(new_model("m", "3", B, task="quality", bundled=True), B)
    assert await state(models, "m") == {"late": "uploading", "1": "ready", "current": "1"}
    await add(models, new_model("m", "2", B), B)


async def test_a_removal_that_broke_off_is_brought_to_its_end(models: Models, mongo: Mongo, s3: S3) -> None:
    await add(models, new_model("m", "1", A), A)
    await mongo.durable("models").update_one({"_id": "m"}, {"$set": {"versions.0.state": "removing", "current": None}})
    with pytest.raises(Conflict, match="being removed"):
        await models.begin(new_model("m", "1", A))
    await models.sweep()
    assert await models.documents() == []
    assert await s3.size(model_key("m", "1")) is None


async def test_what_was_abandoned_is_swept_away(models: Models, s3: S3, clock: ManualClock) -> None:
    new = new_model("m", "1", A)
    url = await models.begin(new)
    await put(url, A)
    clock.advance(3600 + 86400)
    await models.sweep()
    assert await state(models, "m") == {"1": "uploading", "current": None}
    clock.advance(1)
    await models.sweep()
    assert await models.documents() == []
    assert await s3.size(model_upload_key("m", "1", new.checksum)) is None


async def test_what_is_put_after_a_model_is_ready_is_swept_away(models: Models, s3: S3, clock: ManualClock) -> None:
    new = new_model("m", "1", A)
    url = await models.begin(new)
    await put(url, A)
    await models.complete("m", "1")
    await put(url, B)
    clock.advance(3600 + 61)
    await models.sweep()
    assert await s3.size(model_upload_key("m", "1", new.checksum)) is None
    assert await s3.get(model_key("m", "1")) == A
    assert "upload_until_ns" not in (await models.document("m"))["versions"][0]


async def test_a_model_has_only_so_many_versions(models: Models, mongo: Mongo) -> None:
    await add(models, new_model("m", "1", A), A)
    [entry] = (await models.document("m"))["versions"]
    many = [entry | {"version": str(n)} for n in range(1, MAX_VERSIONS)]
    await mongo.durable("models").update_one({"_id": "m"}, {"$set": {"versions": many}})
    await models.begin(new_model("m", "last", A))
    with pytest.raises(Refused) as refused:
        await models.begin(new_model("m", "more", A))
    assert refused.value.code == "over_quota"


async def test_the_models_that_come_with_us_are_there_once(models: Models, s3: S3) -> None:
    first, second = (new_model("z", version, data, bundled=True) for version, data in (("1", A), ("2", B)))
    assert sum(await asyncio.gather(*(models.seed(first, A) for _ in range(5)))) == 1
    assert (await models.current())["z"].bundled
    assert not await models.seed(first, A)
    assert await models.seed(second, B)
    assert (await models.current())["z"].version == "2"
    await models.use("z", "1")
    assert not await models.seed(second, B)  # what was chosen stays chosen
    assert (await models.current())["z"].version == "1"
    assert await s3.get(model_key("z", "2")) == B
    with pytest.raises(Conflict, match="comes with datamanager"):
        await models.remove("z")
    await models.remove("z", "2")


async def test_a_model_of_ones_own_stays_in_place_of_ours(models: Models) -> None:
    await add(models, new_model("z", "mine", A), A)
    assert await models.seed(new_model("z", "1", B, bundled=True), B)
    assert (await models.current())["z"].version == "mine"
    await add(models, new_model("y", "1", A), A)
    assert not await models.seed(new_model("y", "1", B, bundled=True), B)
    assert not (await models.current())["y"].bundled
