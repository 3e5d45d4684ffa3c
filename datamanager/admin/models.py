"""`datamanager models add | list | use | remove`."""

import argparse
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from datamanager.admin.console import Drawn, failed, say, say_table, size_text
from datamanager.admin.link import AdminError, Link
from datamanager.admin.manifests import TASKS, make_manifest, version_of
from datamanager.errors import ConfigError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's actions and their options."""
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument(
        "--server", default="http://127.0.0.1:8080", metavar="URL", help="(default: http://127.0.0.1:8080)"
    )
    server.add_argument("--token", help="shown to the server")
    actions = parser.add_subparsers(dest="action", required=True, metavar="add | list | use | remove")
    _add_arguments(actions.add_parser("add", parents=[server], help="brings an ONNX file to the server"))
    listing = actions.add_parser("list", parents=[server], help="models, and where they run")
    listing.add_argument("--json", action="store_true", help="all that the server tells of them")
    use = actions.add_parser("use", parents=[server], help="switches to a version, without a frame lost")
    use.add_argument("name")
    use.add_argument("model_version", metavar="VERSION")
    remove = actions.add_parser("remove", parents=[server], help="removes a version, or all of a model")
    remove.add_argument("name")
    remove.add_argument("model_version", metavar="VERSION", nargs="?")


def _add_arguments(add: argparse.ArgumentParser) -> None:
    add.add_argument("name", help="of the model")
    add.add_argument("file", type=Path, metavar="MODEL.onnx")
    add.add_argument("--task", choices=TASKS, help="what its outputs mean; needed unless the manifest says it")
    add.add_argument(
        "--manifest", type=Path, metavar="FILE", help="manifest in JSON; what is said here besides overrides it"
    )
    add.add_argument(
        "--version", dest="model_version", metavar="V", help="(default: made of the file and its manifest)"
    )
    add.add_argument("--input-size", metavar="PX", help="640, or 640x480 (default: what the model itself says)")
    add.add_argument("--fit", choices=("letterbox", "stretch", "crop"), help="how pictures come to that size")
    add.add_argument("--classes", metavar="A,B", help="names by class number (default: the model's own metadata)")
    add.add_argument("--confidence", type=float, help="least score of a box")
    add.add_argument("--iou", type=float, help="boxes of one class that overlap by more are one")
    add.add_argument("--no-track", action="store_true", help="boxes get no ids that stay from frame to frame")
    add.add_argument("--max-batch", type=int, metavar="N", help="most pictures of one call")
    add.add_argument("--fallback", metavar="MODEL", help="model that is used while this one fails")
    add.add_argument("--output", metavar="NAME", help="last part of the result streams' names")
    add.add_argument("--about", metavar="TEXT", help="one line for people")
    add.add_argument("--no-use", action="store_true", help="adds it without switching to it")


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Returns:
        0 when it is done, 1 when the server refused or does not answer: why is said in one line.

    Raises:
        ConfigError: an option is wrong, or a file cannot be read.
    """
    with Link(args.server, args.token) as link:
        try:
            {"add": _add, "list": _list, "use": _use, "remove": _remove}[args.action](link, args)
        except AdminError as error:
            failed(error.detail)
            return 1
    return 0


def _add(link: Link, args: argparse.Namespace) -> None:
    size_bytes, checksum = _look_at(args.file)
    manifest = _manifest(args)
    manifest["version"] = args.model_version or manifest.get("version") or version_of(manifest, checksum)
    asked = {"manifest": manifest, "size_bytes": size_bytes, "sha256": checksum, "use": not args.no_use}
    upload = link.ask("POST", _path(args.name), asked)
    version = upload["version"]
    if upload["status"] == "ready":
        say(f"{args.name} {version} is there already{'' if args.no_use else ', and in use'}")
        return
    drawn = Drawn(args.file.name)
    try:
        link.put_file(upload["url"], args.file, drawn.progress)
    except OSError as exc:
        raise ConfigError(f"{args.file}: {exc.strerror or exc}") from exc
    finally:
        drawn.clear()
    link.ask("POST", f"{_path(args.name, version)}/complete", size_bytes=size_bytes)
    say(f"{args.name} {version} is ready{'' if args.no_use else ', and in use'} ({size_text(size_bytes)})")


def _manifest(args: argparse.Namespace) -> dict[str, Any]:
    detect = {"confidence": args.confidence, "iou": args.iou, "track": False if args.no_track else None}
    return make_manifest(
        args.name,
        file=args.manifest,
        task=args.task,
        input_size=args.input_size,
        fit=args.fit,
        options={
            "classes": None if args.classes is None else [name.strip() for name in args.classes.split(",")],
            "max_batch": args.max_batch,
            "fallback": args.fallback,
            "output": args.output,
            "about": args.about,
        },
        detect=detect,
    )


def _look_at(file: Path) -> tuple[int, str]:
    """A file's size and SHA-256."""
    try:
        size_bytes = file.stat().st_size
        with file.open("rb") as opened:
            checksum = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror or exc}") from exc
    if not size_bytes:
        raise ConfigError(f"{file} is empty")
    return size_bytes, checksum


def _list(link: Link, args: argparse.Namespace) -> None:
    models = link.ask("GET", "/models")["items"]
    if args.json:
        say(msgspec.json.format(msgspec.json.encode(models)).decode())
        return
    rows = [
        (m["name"], m["version"] or "-", m["task"] or "-", size_text(m["size_bytes"] or 0), _runs(m), m["about"])
        for m in models
    ]
    say_table(("NAME", "VERSION", "TASK", "SIZE", "RUNS ON", "ABOUT"), rows)


def _runs(model: dict[str, Any]) -> str:
    """On which provider it runs in how many workers, and what is wrong elsewhere."""
    said: dict[str, int] = {}
    for worker in model["workers"]:
        provider = worker["providers"][0].removesuffix("ExecutionProvider") if worker["providers"] else ""
        how = provider if worker["state"] == "ready" and provider else worker["state"]
        if worker["breaker"] not in ("", "closed"):
            how = f"{how} (breaker {worker['breaker']})"
        said[how] = said.get(how, 0) + 1
    return ", ".join(how if count == 1 else f"{count} x {how}" for how, count in sorted(said.items())) or "-"


def _use(link: Link, args: argparse.Namespace) -> None:
    link.ask("PUT", f"{_path(args.name)}/current", {"version": args.model_version})
    say(f"{args.name} {args.model_version} is in use")


def _remove(link: Link, args: argparse.Namespace) -> None:
    link.ask("DELETE", _path(args.name, args.model_version))
    say(f"{' '.join(filter(None, (args.name, args.model_version)))} is removed")


def _path(name: str, version: str | None = None) -> str:
    parts = [quote(part, safe="") for part in (name, version) if part is not None]
    return "/".join(("/models", *parts))
