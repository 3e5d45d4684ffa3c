import os
from dataclasses import replace
from pathlib import Path

import pytest

from datamanager.errors import LocalServerError
from datamanager.local.binaries import MONGOD, REDIS, WEED, Program, find_program


def _program(folder: Path, text: str, *, mode: int = 0o755) -> Path:
    path = folder / "mongod"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The mongod of a machine without the package: what `tmp_path` holds."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return replace(MONGOD, package=("no_such_package", "bin"))


@pytest.mark.parametrize("program", [MONGOD, WEED, REDIS], ids=lambda program: program.name)
async def test_the_installed_programs_are_found_and_run(program: Program) -> None:
    assert os.access(await find_program(program), os.X_OK)


@pytest.mark.parametrize(
    ("program", "variable"),
    [(MONGOD, "DATAMANAGER_MONGO_URL"), (WEED, "DATAMANAGER_S3_ENDPOINT"), (REDIS, "DATAMANAGER_REDIS_URL")],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_a_missing_program_is_named_with_what_to_install_or_set(program: Program, variable: str) -> None:
    missing = replace(program, package=None, name=f"no-such-{program.name}")
    with pytest.raises(LocalServerError) as caught:
        await find_program(missing)
    assert f"there is no no-such-{program.name} here" in caught.value.detail
    assert variable in caught.value.detail
    assert "datamanager[local]" in caught.value.detail


async def test_a_program_on_the_path_does(elsewhere: Program, tmp_path: Path) -> None:
    path = _program(tmp_path, "#!/bin/sh\necho db version v7.0.1\n")
    assert await find_program(elsewhere) == path


async def test_one_that_cannot_be_loaded_is_quoted_with_the_packages_it_wants(
    elsewhere: Program, tmp_path: Path
) -> None:
    complaint = "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file"
    _program(tmp_path, f"#!/bin/sh\necho '{complaint}' >&2\nexit 127\n")
    with pytest.raises(LocalServerError, match=r"libcurl\.so\.4.*apt install libssl3 libcurl4"):
        await find_program(elsewhere)


async def test_one_of_another_machine_is_named(elsewhere: Program, tmp_path: Path) -> None:
    _program(tmp_path, "\x7fELF of something else")
    with pytest.raises(LocalServerError, match="does not run on this machine: Exec format error"):
        await find_program(elsewhere)


async def test_one_that_is_too_old_is_named(elsewhere: Program, tmp_path: Path) -> None:
    _program(tmp_path, "#!/bin/sh\necho db version v5.0.1\n")
    with pytest.raises(LocalServerError, match=r"is not version 6 or newer: it says 'db version v5\.0\.1'"):
        await find_program(elsewhere)
