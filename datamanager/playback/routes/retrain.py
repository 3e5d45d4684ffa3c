"""`/models/{name}/retrain`: online models of telemetry."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from litestar.status_codes import HTTP_202_ACCEPTED

from datamanager.playback.retrainings import NewRetraining, Retraining, Retrainings

__all__ = ["RETRAIN_HANDLERS"]

_RETRAIN = "/models/{name:str}/retrain"
Name = Annotated[str, PathParameter(description="an online model: the name of an enrichment of kind time_series")]


@post(
    _RETRAIN,
    summary="Learn an online model anew from a stored range",
    tags=["enrichment"],
    status_code=HTTP_202_ACCEPTED,
)
async def retrain_model(
    retrainings: NamedDependency[Retrainings], name: Name, data: JSONBody[NewRetraining]
) -> Retraining:
    """A worker replays the samples of the range in the order of their times; what it learned is the next version.

    Every stream that the rule looks at goes on with that from its next block. `path` of the answer tells when it is done.
    """
    return await retrainings.ask(name, data)


@get(f"{_RETRAIN}/{{retraining_id:str}}", summary="What became of a retraining", tags=["enrichment"])
async def get_retraining(
    retrainings: NamedDependency[Retrainings],
    name: Name,
    retraining_id: Annotated[str, PathParameter(description="as the request for it was answered")],
) -> Retraining:
    """Its state; `failed` says why. It is told for 30 days."""
    return await retrainings.get(name, retraining_id)


RETRAIN_HANDLERS = [retrain_model, get_retraining]
