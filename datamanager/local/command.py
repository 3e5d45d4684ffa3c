"""`datamanager local`: MongoDB, S3 and Redis as child processes, until Ctrl-C."""

import argparse
import asyncio
from pathlib import Path

from datamanager.config import load_config
from datamanager.local.console import Console
from datamanager.local.foreground import run_until_signal
from datamanager.local.servers import local_servers
from datamanager.local.state import LocalState

__all__ = ["add_arguments", "run", "say_addresses"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "--data-dir", type=Path, default=None, help="folder for everything (default: DATAMANAGER_DATA_DIR)"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command in the foreground until SIGINT or SIGTERM."""
    folder = (args.data_dir or Path(load_config().local.data_dir)).absolute()
    return run_until_signal(_serve_locally(folder, Console()))


async def _serve_locally(folder: Path, console: Console) -> None:
    console.say(f"starting the local servers; data and logs in {folder}")
    async with local_servers(folder, report=console) as state:
        say_addresses(state, folder, console)
        console.say("ready; Ctrl-C stops them")
        try:
            await asyncio.Event().wait()
        finally:
            console.say("stopping; again to end at once")


def say_addresses(state: LocalState, folder: Path, console: Console) -> None:
    """Says where each server is."""
    console("mongod", state.mongo_url)
    console("weed", f"{state.s3_endpoint} (its keys: {folder / 'local.json'})")
    console("redis-server", state.redis_url)
