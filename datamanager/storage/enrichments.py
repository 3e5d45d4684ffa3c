"""Enrichments: which model looks at which streams. Rules stand in MongoDB, and hold for what comes in from then on.

All of them stand in one document, so that what two callers put at the same time is still held against each other.
"""

from typing import Any

import msgspec

from datamanager.errors import Conflict, NotFound, Refused
from datamanager.storage.enrichment_rule import Enrichment, ModelFacts, check_rule, refuse_collision
from datamanager.storage.keys import ENRICHMENTS_CHANNEL
from datamanager.storage.model_documents import facts_of
from datamanager.storage.mongo import Document, DuplicateKey, Mongo, Unstorable, encode_document, translated
from datamanager.storage.notices import Notices
from datamanager.storage.redis import Redis

__all__ = ["Enrichment", "Enrichments"]

_ID = "rules"
MAX_RULES = 500
_TRIES = 20


class Enrichments:
    """The rules. Every method raises `MongoUnavailable` when MongoDB does not answer.

    Attributes:
        notices: said after every change; who holds rules looks again when told, and every second besides.
    """

    def __init__(self, mongo: Mongo, redis: Redis) -> None:
        self._rules = mongo.durable("enrichments")
        self._models = mongo.durable("models")
        self.notices = Notices(redis, ENRICHMENTS_CHANNEL)

    async def all(self) -> list[Enrichment]:
        """Every rule, enabled or not, by name."""
        return _rules_of(await self._read())

    async def newer(self, revision: int | None) -> tuple[int, list[Enrichment]] | None:
        """Every rule and the revision that they are of; None when that is still `revision`."""
        with translated():
            document = await self._rules.find_one({"_id": _ID, "revision": {"$ne": revision}})
        if document is not None:
            return document["revision"], _rules_of(document)
        return (0, []) if revision is None else None

    async def get(self, name: str) -> Enrichment:
        """One rule.

        Raises:
            NotFound: there is none of that name.
        """
        for rule in await self.all():
            if rule.name == name:
                return rule
        raise NotFound(f"there is no enrichment {name[:80]!r}")

    async def put(self, rule: Enrichment) -> None:
        """Keeps a rule, in place of the one of its name.

        Raises:
            Refused: `bad_id`, `bad_payload`, `missing_field`, `too_large` or `over_quota`: the detail names the field.
            Conflict: another rule's results would be in the same stream.
        """
        check_rule(rule, (await self._facts({rule.model})).get(rule.model))
        try:
            encode_document(msgspec.to_builtins(rule))
        except Unstorable as exc:
            raise Refused("bad_payload", f"options cannot be kept: {exc.detail}") from exc
        for _ in range(_TRIES):
            document = await self._read()
            rules = {each.name: each for each in _rules_of(document)}
            if rules.get(rule.name) == rule:
                return
            refuse_collision(rule, rules.values(), await self._facts({rule.model} | {r.model for r in rules.values()}))
            rules[rule.name] = rule
            if len(rules) > MAX_RULES:
                raise Refused("over_quota", f"there are {MAX_RULES} enrichments, which is the most")
            if await self._write(document, rules):
                return
        raise Conflict("others change the enrichments all the time: try again")

    async def delete(self, name: str) -> None:
        """Removes a rule.

        Raises:
            NotFound: there is none of that name.
        """
        for _ in range(_TRIES):
            document = await self._read()
            rules = {each.name: each for each in _rules_of(document)}
            if rules.pop(name, None) is None:
                raise NotFound(f"there is no enrichment {name[:80]!r}")
            if await self._write(document, rules):
                return
        raise Conflict("others change the enrichments all the time: try again")

    async def naming(self, model: str) -> list[str]:
        """The names of the enabled rules that name a model."""
        return [rule.name for rule in await self.all() if rule.enabled and rule.model == model]

    async def _read(self) -> Document | None:
        with translated():
            return await self._rules.find_one({"_id": _ID})

    async def _write(self, before: Document | None, rules: dict[str, Enrichment]) -> bool:
        """Writes the rules over the revision that they were made from; False when that is no longer there."""
        revision = 0 if before is None else before["revision"]
        kept = [msgspec.to_builtins(rules[name]) for name in sorted(rules)]
        document: dict[str, Any] = {"_id": _ID, "revision": revision + 1, "rules": kept}
        try:
            with translated():
                done = await self._rules.replace_one(
                    {"_id": _ID, "revision": revision}, document, upsert=before is None
                )
        except DuplicateKey:
            return False
        if before is not None and done.matched_count == 0:
            return False
        await self.notices.tell()
        return True

    async def _facts(self, names: set[str]) -> dict[str, ModelFacts]:
        with translated():
            found = self._models.find({"_id": {"$in": sorted(names - {""})}}, {"versions.manifest": 0, "loaded": 0})
            return {document["_id"]: facts_of(document) async for document in found}


def _rules_of(document: Document | None) -> list[Enrichment]:
    return [] if document is None else [msgspec.convert(each, Enrichment) for each in document["rules"]]
