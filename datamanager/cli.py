"""The command line: `datamanager COMMAND`. Each command lives beside what it runs and is imported only when it is called."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from datamanager import __version__
from datamanager.errors import DatamanagerError

__all__ = ["main"]


class _Command(NamedTuple):
    module: str  # offers `add_arguments(parser)` and `run(args) -> int`
    about: str


COMMANDS = {
    "up": _Command("datamanager.local.up", "local servers, serve and worker in one foreground command"),
    "local": _Command("datamanager.local.command", "MongoDB, S3 and Redis as local child processes"),
    "serve": _Command("datamanager.app", "the HTTP and WebSocket server"),
    "worker": _Command("datamanager.worker.app", "makes tiers and rollups"),
    "migrate": _Command("datamanager.storage.migrate", "list, apply or verify the database's migrations"),
    "push": _Command("datamanager.push.command", "brings files, folders and recordings to a server"),
    "pull": _Command("datamanager.pull.command", "brings what a camera or a video shows to a server"),
    "models": _Command("datamanager.admin.models", "adds, lists, switches and removes the models of a server"),
    "enrich": _Command("datamanager.admin.enrich", "says which model looks at which streams"),
    "simulate": _Command("datamanager.simulator.command", "robots that stream made or recorded data"),
}


def _parser(name: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="datamanager", description="Takes in, keeps and plays back what robots record."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, (module, about) in COMMANDS.items():
        sub = commands.add_parser(command, help=about, description=about)
        if command == name:
            importlib.import_module(module).add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit status: 0 when all went well, 2 when the arguments or settings are wrong, 1 otherwise.
    """
    argv = sys.argv[1:] if argv is None else argv
    name = next((word for word in argv if word in COMMANDS), None)
    try:
        args = _parser(name).parse_args(argv)
        run: Callable[[argparse.Namespace], int] = importlib.import_module(COMMANDS[args.command].module).run
        return run(args)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"datamanager: {error}; this command needs `pip install datamanager[server,local]`\n")
        return 2
    except DatamanagerError as error:
        sys.stderr.write(f"datamanager: {error.detail}\n")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
