import hashlib
import json
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import onnx
import pytest

from datamanager.errors import NotFound
from datamanager.inference import zoo
from datamanager.inference.zoo import ZOO, ZooModel, zoo_model
from training.graph import IR_VERSION, OPSET
from training.ship import MAX_BYTES

ROOT = Path(__file__).resolve().parents[2]
each = pytest.mark.parametrize("model", ZOO, ids=lambda model: f"{model.name}-{model.version}")


@each
def test_the_file_is_the_one_that_its_checksum_names(model: ZooModel) -> None:
    data = model.data()
    assert hashlib.sha256(data).hexdigest() == model.checksum == model.manifest.checksum
    assert (model.manifest.name, model.manifest.version) == (model.name, model.version)
    origin = json.loads(model.origin())
    assert origin["checksum"] == model.checksum
    script, *_ = origin["command"].removeprefix("python -m ").split()
    assert (ROOT / script.replace(".", "/")).with_suffix(".py").is_file()


@each
def test_the_file_is_small_and_of_a_version_that_old_runtimes_read(model: ZooModel) -> None:
    data = model.data()
    assert len(data) <= MAX_BYTES
    parsed = onnx.load_model_from_string(data)
    onnx.checker.check_model(parsed, full_check=True)
    assert parsed.ir_version == IR_VERSION
    assert [(opset.domain, opset.version) for opset in parsed.opset_import] == [("", OPSET)]


@each
def test_the_batch_size_is_free(model: ZooModel) -> None:
    graph = onnx.load_model_from_string(model.data()).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_a_file_that_was_changed_is_not_given_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = ZOO[0]
    folder = tmp_path / model.name / model.version
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.data() + b"\0")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    with pytest.raises(RuntimeError, match="has the checksum"):
        model.data()


def test_every_folder_is_in_the_table_and_the_reverse() -> None:
    folder = Path(str(resources.files(zoo)))
    found = {path.parent.relative_to(folder).as_posix() for path in folder.rglob("model.onnx")}
    assert found == {f"{model.name}/{model.version}" for model in ZOO}


def test_a_model_is_found_by_its_name() -> None:
    assert zoo_model("quality") is next(model for model in ZOO if model.name == "quality")
    with pytest.raises(NotFound, match="no model named nothing"):
        zoo_model("nothing")


def test_models_are_read_without_what_they_were_made_by() -> None:
    code = (
        "import sys; from datamanager.inference.zoo import ZOO; [m.data() for m in ZOO]; "
        "sys.exit(bool({'torch', 'onnx', 'onnxruntime', 'training'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603  # our own code


def test_the_wheel_holds_every_file(tmp_path: Path) -> None:
    build = "import sys; from hatchling.builders.wheel import WheelBuilder; print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2]))"
    subprocess.run([sys.executable, "-c", build, str(ROOT), str(tmp_path)], check=True)  # noqa: S603  # our own code
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        for model in ZOO:
            folder = f"datamanager/inference/zoo/{model.name}/{model.version}"
            assert {f"{folder}/manifest.json", f"{folder}/origin.json"} <= names
            assert wheel.read(f"{folder}/model.onnx") == model.data()
        assert not [name for name in names if name.startswith("training")]
