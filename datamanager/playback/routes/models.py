"""`/models`."""

from typing import Annotated

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_204_NO_CONTENT

from datamanager.playback.model_items import (
    ChosenVersion,
    ModelItem,
    ModelUpload,
    ModelWithVersions,
    NewModelVersion,
)
from datamanager.playback.model_registry import ModelRegistry
from datamanager.playback.pages import Page

__all__ = ["MODEL_HANDLERS"]

_MODEL = "/models/{name:str}"
Name = Annotated[str, PathParameter(description="the model's name")]
Version = Annotated[str, PathParameter(description="one of its versions")]


@get("/models", summary="Models, by name", tags=["enrichment"])
async def list_models(model_registry: NamedDependency[ModelRegistry]) -> Page[ModelItem]:
    """Every model of which a version is ready: the one in use, and on which providers it really runs in which worker."""
    return await model_registry.all()


@get(_MODEL, summary="One model", tags=["enrichment"])
async def get_model(model_registry: NamedDependency[ModelRegistry], name: Name) -> ModelWithVersions:
    """One model, with all of its versions and their manifests."""
    return await model_registry.one(name)


@post(_MODEL, summary="Begin to add a version of a model", tags=["enrichment"], status_code=HTTP_201_CREATED)
async def add_model(
    model_registry: NamedDependency[ModelRegistry], name: Name, data: JSONBody[NewModelVersion]
) -> ModelUpload:
    """Gives the address that the ONNX file is to be PUT to.

    A version never changes: the same file and manifest again are known, others are a conflict.
    """
    return await model_registry.add(name, data)


@post(
    f"{_MODEL}/{{version:str}}/complete",
    summary="Complete a version of a model",
    tags=["enrichment"],
    status_code=HTTP_200_OK,
)
async def complete_model(
    model_registry: NamedDependency[ModelRegistry], name: Name, version: Version
) -> ModelWithVersions:
    """Checks size, SHA-256 and form of the file that was put, and makes it ready; in use too, unless `use` was false.

    Answers when that is done. A file that is refused may be put again.
    """
    return await model_registry.complete(name, version)


@put(f"{_MODEL}/current", summary="Use a version of a model", tags=["enrichment"])
async def use_model(
    model_registry: NamedDependency[ModelRegistry], name: Name, data: JSONBody[ChosenVersion]
) -> ModelWithVersions:
    """Switches to a version that is ready. Workers notice within a second, and lose no frame."""
    return await model_registry.use(name, data.version)


@delete(f"{_MODEL}/{{version:str}}", summary="Remove a version", tags=["enrichment"], status_code=HTTP_204_NO_CONTENT)
async def remove_version(model_registry: NamedDependency[ModelRegistry], name: Name, version: Version) -> None:
    """Removes a version and its file; not the one in use while an enabled enrichment names the model."""
    await model_registry.remove(name, version)


@delete(_MODEL, summary="Remove a model", tags=["enrichment"], status_code=HTTP_204_NO_CONTENT)
async def remove_model(model_registry: NamedDependency[ModelRegistry], name: Name) -> None:
    """Removes a model with all of its versions; not while an enabled enrichment names it."""
    await model_registry.remove(name)


MODEL_HANDLERS = [list_models, get_model, add_model, complete_model, use_model, remove_version, remove_model]
