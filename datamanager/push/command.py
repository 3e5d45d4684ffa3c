"""`datamanager push`: brings files, folders and recordings into a session."""

import argparse
import asyncio
import re
from pathlib import Path

from datamanager.client.console import time_option
from datamanager.client.upload import Uploader
from datamanager.errors import ConfigError, DatamanagerError
from datamanager.kinds.names import check_id, check_stream, kind_of
from datamanager.push.bodies import Session
from datamanager.push.console import Console
from datamanager.push.files import push_files
from datamanager.push.plan import PlannedFile, plan_files

__all__ = ["add_arguments", "run"]

SMALL_BYTES = 1024 * 1024
_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files, folders, and recordings (.mcap)")
    parser.add_argument("--robot", required=True, help="who recorded")
    parser.add_argument("--session", help="which recording run (default: the name of the folder, if there is one)")
    parser.add_argument(
        "--stream", help="the stream (default: made of each file's name); of a recording, before its topics"
    )
    parser.add_argument(
        "--time", metavar="T", help="RFC 3339, seconds or nanoseconds (default: when each file was changed)"
    )
    parser.add_argument(
        "--kind", help="what they are (default: told from the content); `file` keeps recordings as they are"
    )
    parser.add_argument(
        "--server", default="http://127.0.0.1:8080", metavar="URL", help="(default: http://127.0.0.1:8080)"
    )
    parser.add_argument("--token", help="shown to the server")


def run(args: argparse.Namespace) -> int:
    """Pushes everything; what is there already is not sent again.

    Returns:
        0 when all of it is durable on the server, 1 when anything was refused or could not be sent: it is named.

    Raises:
        ConfigError: an option is wrong, or a file is not there.
        ClientError: the server does not answer.
    """
    kind = None if args.kind is None else kind_of(args.kind)
    stream = None if args.stream is None else check_stream(args.stream)
    t_ns = None if args.time is None else time_option(args.time)
    files = plan_files(args.files, stream=stream, kind=kind, t_ns=t_ns)
    robot_id, session_id = check_id(args.robot, "--robot"), _session_of(args)
    return asyncio.run(_push(args, robot_id, session_id, files, Console()))


async def _push(
    args: argparse.Namespace, robot_id: str, session_id: str, files: list[PlannedFile], console: Console
) -> int:
    refused = 0
    async with (
        Session(args.server, robot_id, session_id, token=args.token) as session,
        Uploader(args.server, token=args.token) as uploader,
    ):
        was_recording = await session.status() == "recording"
        plain = [f for f in files if not f.is_recording]
        refused += await push_files(session, uploader, plain, console, small_bytes=SMALL_BYTES)
        for file in files:
            if file.is_recording:
                refused += await _recording(session, uploader, file, args.stream, console)
        if not was_recording and await session.status() == "recording":
            await session.end()
    console.say(f"{len(files) - refused} of {len(files)} files are in {robot_id}/{session_id}")
    return 1 if refused else 0


async def _recording(
    session: Session, uploader: Uploader, file: PlannedFile, prefix: str | None, console: Console
) -> int:
    """Imports a recording.

    Returns:
        1 when any of it was refused.
    """
    try:
        from datamanager.push.recording.importer import import_recording  # noqa: PLC0415  # its libraries are an extra
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: recordings need `pip install datamanager[push]`") from error
    try:
        return await import_recording(session, uploader, file, prefix, console)
    except (OSError, DatamanagerError) as error:
        console.failed(file, str(error))
        return 1


def _session_of(args: argparse.Namespace) -> str:
    if args.session is not None:
        return check_id(args.session, "--session")
    folder = next((path for path in args.files if path.is_dir()), None)
    if folder is None:
        raise ConfigError("--session must be given, as no folder is pushed that could name it")
    return check_id(_ILLEGAL.sub("_", folder.resolve().name), "--session")
