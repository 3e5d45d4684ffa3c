"""Rules of enrichment for people."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from datamanager.errors import Refused
from datamanager.inference.online.spec import read_spec
from datamanager.playback.pages import Page
from datamanager.storage.enrichments import Enrichment, Enrichments

__all__ = ["EnrichmentRule", "EnrichmentRules"]

_Pattern = Annotated[str, Meta(min_length=1, max_length=256)]


class EnrichmentRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model looks at which streams, from now on.

    Attributes:
        model: its name; the version that is in use is what looks. Only a rule of kind `time_series` may do without.
        kind: kind of the streams that it looks at.
        robot_id: shell pattern (`*`, `arm-?`), as are the next two.
        role: of frames.
        urgency: what is shed last when there is more than can be looked at: emergency, then high, then normal.
        must: every frame gets exactly one result; it is never sampled and never shed.
        max_fps: most frames a second and stream; 0: all of them.
        output: last part of the result stream's name; empty: as the model's manifest says.
        enabled: whether it holds.
        options: what overrides the manifest (of a detector `confidence`, `iou`, `max_boxes`, `classes`, `track`) or, for telemetry,
            says what is computed.
        name: may be given, and is the one in the address then.
    """

    name: str | None = None
    model: str = ""
    kind: Literal["images", "time_series"] = "images"
    robot_id: _Pattern = "*"
    session_id: _Pattern = "*"
    stream: _Pattern = "*"
    role: Literal["rgb", "depth"] = "rgb"
    urgency: Literal["emergency", "high", "normal"] = "normal"
    must: bool = False
    max_fps: Annotated[float, Meta(ge=0, le=1000)] = 0.0
    output: str = ""
    enabled: bool = True
    options: dict[str, Any] = {}


class EnrichmentRules:
    """Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, enrichments: Enrichments) -> None:
        self._enrichments = enrichments

    async def all(self) -> Page[Enrichment]:
        """Every rule, by name."""
        return Page(items=await self._enrichments.all())

    async def one(self, name: str) -> Enrichment:
        """One rule.

        Raises:
            NotFound: there is none.
        """
        return await self._enrichments.get(name)

    async def put(self, name: str, asked: EnrichmentRule) -> Enrichment:
        """Keeps a rule under its name.

        Raises:
            Refused: it cannot hold; the detail names the field.
            Conflict: another rule's results would be in the same stream.
        """
        if asked.name not in (None, name):
            raise Refused("bad_payload", f"name {asked.name[:80]!r} is not the one in the address, {name[:80]!r}")
        rule = Enrichment(**(msgspec.structs.asdict(asked) | {"name": name}))
        if rule.kind == "time_series":
            read_spec(rule.options)
        await self._enrichments.put(rule)
        return rule

    async def delete(self, name: str) -> None:
        """Removes a rule.

        Raises:
            NotFound: there is none.
        """
        await self._enrichments.delete(name)
