"""What the pages tell a reader to type is there."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from datamanager.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("infra/**/*.md")),
]
WITH_ACTIONS = ("models",)  # each has options of its own
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [
        body for page in PAGES for tongue, body in FENCE.findall(page.read_text(encoding="utf-8")) if tongue == language
    ]


def shown(program: str) -> list[list[str]]:
    """The arguments of every command line in a `console` block that starts `$ PROGRAM` (also `$ .venv/bin/PROGRAM`)."""
    whole = [block.replace("\\\n", "") for block in blocks("console")]  # a line that goes on in the next one
    lines = [line[2:] for block in whole for line in block.splitlines() if line.startswith("$ ")]
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in commands if words and words[0].removeprefix(".venv/bin/") == program]


def help_of(command: str, capsys: pytest.CaptureFixture[str], *action: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([command, *action, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_stands_in_the_readme(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMANDS[command].about in " ".join(help_of(command, capsys).split())
    assert f"| `datamanager {command}` |" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", shown("datamanager"), ids=" ".join)
def test_a_command_that_a_page_shows_exists_with_its_options(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(words[0], capsys, *words[1:2]) if words[0] in WITH_ACTIONS else help_of(words[0], capsys)
    options = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
    assert [option for option in options if not re.search(rf"{option}\b", text)] == []


@pytest.mark.parametrize("words", shown("make"), ids=" ".join)
def test_a_target_that_a_page_shows_exists(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{words[0]}:.* ## ", makefile, re.MULTILINE)


@pytest.mark.parametrize("words", shown("python"), ids=" ".join)
def test_a_module_that_a_page_runs_exists(words: list[str]) -> None:
    assert words[0] == "-m"
    path = ROOT.joinpath(*words[1].split("."))
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_the_pages_show_the_two_commands() -> None:
    assert ["demo"] in shown("make")
    assert ["test"] in shown("make")


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.strip().splitlines()[0])
def test_python_that_a_page_shows_parses_and_imports_what_is_there(code: str) -> None:
    tree = compile(code, "page", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(ast.unparse(node), {})  # noqa: S102  # an import line of our own page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    titles = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in titles, target
        elif not re.match(r"\w+:", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_index_of_decisions_is_whole() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    for page in sorted(folder.glob("[0-9]*.md")):
        title, status, *_ = [line for line in page.read_text(encoding="utf-8").splitlines() if line]
        number, said = page.name[:4], title.partition(": ")[2]
        assert title.startswith(f"# {number}: ")
        assert f"| [{number}]({page.name}) | {said} | {status.removeprefix('Status: ')} |" in index
