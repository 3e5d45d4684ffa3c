"""What holds for every file of the project."""

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "datamanager").rglob("*.py"))
MAX_LINES = 400
LOCK_FILES = ("uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "package-lock.json", "yarn.lock")
# Written in two halves, so that this file is not found by itself.
HOSTS = tuple(
    "".join(halves)
    for halves in [("pypi", ".org"), ("python", "hosted.org"), ("registry.", "npmjs"), ("deb.", "debian.org")]
)
UNFINISHED = re.compile(r"\b(NotImplementedError|TODO|FIXME|XXX|HACK)\b")
PLACES = re.compile("(?<![\\w.~-])/(?:wo" + "rk|ro" + "ot|home/\\w+|Users/\\w+)/")


@cache
def tracked() -> list[Path]:
    """All that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607  # whichever git is here
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@cache
def texts() -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_bytes().decode("utf-8", "replace") for path in tracked()}


def found(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for name, text in texts().items()
        for match in pattern.finditer(text)
    ]


def exported(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Assign | ast.AnnAssign)
        and any(
            isinstance(target, ast.Name) and target.id == "__all__"
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
        for node in tree.body
    )


def only_a_docstring(tree: ast.Module) -> bool:
    return len(tree.body) <= 1


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_says_what_it_is_and_what_it_offers(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the module's docstring is missing"
    assert exported(tree) or module.name == "__main__.py" or (module.name == "__init__.py" and only_a_docstring(tree))


def test_no_python_file_is_so_long_that_it_has_two_jobs() -> None:
    lines = {name: text.count("\n") for name, text in texts().items() if name.endswith(".py")}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_the_project_has_no_unfinished_places() -> None:
    assert [place for place in found(UNFINISHED) if ".py:" in place and not place.startswith("tests/")] == []


def test_no_file_names_a_place_of_one_machine() -> None:
    assert found(PLACES) == []


def test_no_file_names_a_package_registry() -> None:
    assert found(re.compile("|".join(map(re.escape, HOSTS)))) == []


def test_no_lock_file_records_where_packages_came_from() -> None:
    assert [name for name in texts() if Path(name).name in LOCK_FILES] == []


def pins() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))


def wanted() -> list[Requirement]:
    toml = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = toml["project"]["optional-dependencies"]
    lists = [
        toml["project"]["dependencies"],
        extras["server"],
        extras["local"],
        toml["dependency-groups"]["dev"],
        toml["build-system"]["requires"],
    ]
    return [Requirement(line) for lines in lists for line in lines]


@pytest.mark.parametrize("requirement", wanted(), ids=lambda requirement: requirement.name)
def test_what_the_project_asks_for_is_pinned(requirement: Requirement) -> None:
    pin = pins().get(canonicalize_name(requirement.name))
    assert pin is not None, "not in requirements.txt: `make requirements`"
    assert requirement.specifier.contains(pin), f"{pin} is pinned: `make requirements`"


def test_every_pin_has_its_hashes() -> None:
    blocks = re.split(r"\n(?=[a-z#])", (ROOT / "requirements.txt").read_text())
    bare = [block for block in blocks if not block.startswith("#") and "--hash=sha256:" not in block]
    assert bare == []


def test_the_patterns_find_what_they_look_for() -> None:
    place = "/" + "home/alice/"
    assert PLACES.search(f"open('{place}data')")
    assert not PLACES.search(f"s3://bucket{place}data")
    assert not exported(ast.parse("x = 1"))
    assert exported(ast.parse("__all__: list[str] = []"))
