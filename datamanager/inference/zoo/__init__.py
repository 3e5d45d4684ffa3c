"""The models that come with datamanager: package data, each in `{name}/{version}/` with its manifest and its origin.

`model.onnx` is the model, `manifest.json` its manifest (checksum included), `origin.json` says by which command and seed
it was made, when its making took how long, and what quality was measured. The scripts are in the repository's `training/`.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources

from datamanager.errors import NotFound
from datamanager.inference.manifest import Manifest, read_manifest

__all__ = ["ZOO", "ZooModel", "zoo_model"]


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model that comes with the package.

    Attributes:
        name, version: its folder.
        checksum: SHA-256 of `model.onnx`, hexadecimal.
    """

    name: str
    version: str
    checksum: str

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""
        return read_manifest(self._read("manifest.json"))

    def data(self) -> bytes:
        """The model file.

        Raises:
            RuntimeError: it is not the file that came with the package.
        """
        data = self._read("model.onnx")
        if (found := hashlib.sha256(data).hexdigest()) != self.checksum:
            raise RuntimeError(f"{self.name}/{self.version}/model.onnx has the checksum {found}, not {self.checksum}")
        return data

    def origin(self) -> bytes:
        """Where it came from, as JSON."""
        return self._read("origin.json")

    def _read(self, file: str) -> bytes:
        return (resources.files(__name__) / self.name / self.version / file).read_bytes()


ZOO = (
    ZooModel("quality", "1", "7e0c45ae9565c9d1a0c6864aa36ecac59db17857be9a2d44fa558a99779e05eb"),
    ZooModel("embedding", "1", "6058b653888f9029352fc2b93000a36b9934d9a3445d35168f2088dfaf2a3283"),
    ZooModel("detector", "1", "4773e7eac130e6b5495c56e495f73fb5fd8f262af1ecfc7ee41a94eb2311f154"),
    ZooModel("anomaly", "1", "221499d409940c67dd396558bc4f34fa236edbf22ac81120cc7b88f81e0f9e6f"),
)
"""All of them; of several versions of one name the newest is the last."""


def zoo_model(name: str) -> ZooModel:
    """The newest version of a model that comes with the package.

    Raises:
        NotFound: none has this name.
    """
    for model in reversed(ZOO):
        if model.name == name:
            return model
    raise NotFound(f"no model named {name} comes with datamanager")
