"""`/enrichments`."""

from typing import Annotated

from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from litestar.status_codes import HTTP_204_NO_CONTENT

from datamanager.playback.enrichment_rules import EnrichmentRule, EnrichmentRules
from datamanager.playback.pages import Page
from datamanager.storage.enrichments import Enrichment

__all__ = ["ENRICHMENT_HANDLERS"]

_RULE = "/enrichments/{name:str}"
Name = Annotated[str, PathParameter(description="the rule's name: 1 to 64 of A-Z a-z 0-9 . _ -")]


@get("/enrichments", summary="Enrichments, by name", tags=["enrichment"])
async def list_enrichments(enrichment_rules: NamedDependency[EnrichmentRules]) -> Page[Enrichment]:
    """Every rule, whether it is enabled or not."""
    return await enrichment_rules.all()


@get(_RULE, summary="One enrichment", tags=["enrichment"])
async def get_enrichment(enrichment_rules: NamedDependency[EnrichmentRules], name: Name) -> Enrichment:
    """One rule."""
    return await enrichment_rules.one(name)


@put(_RULE, summary="Put an enrichment", tags=["enrichment"])
async def put_enrichment(
    enrichment_rules: NamedDependency[EnrichmentRules], name: Name, data: JSONBody[EnrichmentRule]
) -> Enrichment:
    """Keeps a rule, in place of the one of its name. It holds within a second for what comes in from then on."""
    return await enrichment_rules.put(name, data)


@delete(_RULE, summary="Remove an enrichment", tags=["enrichment"], status_code=HTTP_204_NO_CONTENT)
async def delete_enrichment(enrichment_rules: NamedDependency[EnrichmentRules], name: Name) -> None:
    """Removes a rule; the results that it has brought stay."""
    await enrichment_rules.delete(name)


ENRICHMENT_HANDLERS = [list_enrichments, get_enrichment, put_enrichment, delete_enrichment]
