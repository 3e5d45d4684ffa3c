"""`datamanager migrate list | apply | verify`."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

from datamanager.config import load_config
from datamanager.storage.migrations import applied_numbers, apply_migrations, differences, find_migrations
from datamanager.storage.mongo import Mongo, open_mongo

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("action", choices=("list", "apply", "verify"))


def run(args: argparse.Namespace) -> int:
    """Runs the command; `verify` exits with 1 when the database is not as declared."""
    return asyncio.run(_run(args.action))


async def _run(action: str) -> int:
    async with open_mongo(load_config().mongo) as mongo:
        return await {"list": _list, "apply": _apply, "verify": _verify}[action](mongo)


async def _list(mongo: Mongo) -> int:
    done = await applied_numbers(mongo)
    for m in find_migrations():
        at = datetime.fromtimestamp(done[m.number] / 1e9, UTC).isoformat() if m.number in done else "not applied"
        sys.stdout.write(f"{m.number:04d} {m.name:<30} {at}  {m.about}\n")
    return 0


async def _apply(mongo: Mongo) -> int:
    fresh = await apply_migrations(mongo)
    for m in fresh:
        sys.stdout.write(f"applied {m.number:04d} {m.name}\n")
    sys.stdout.write("" if fresh else "nothing to apply\n")
    return 0


async def _verify(mongo: Mongo) -> int:
    wrong = await differences(mongo)
    for line in wrong:
        sys.stdout.write(line + "\n")
    sys.stdout.write("" if wrong else "the database is as declared\n")
    return 1 if wrong else 0
