"""`datamanager enrich STREAM_PATTERN --with MODEL`, `enrich list`, `enrich remove NAME`."""

import argparse
import hashlib
import re
from typing import Any
from urllib.parse import quote

import msgspec

from datamanager.admin.console import failed, say, say_table
from datamanager.admin.link import AdminError, Link
from datamanager.errors import ConfigError

__all__ = ["add_arguments", "rule_name", "run"]

_MAX_NAME = 64
_PLAIN = re.compile(r"[A-Za-z0-9._*-]*\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words and options."""
    parser.usage = (
        "datamanager enrich STREAM_PATTERN --with MODEL [options]\n"
        "       datamanager enrich list [--json]\n"
        "       datamanager enrich remove NAME"
    )
    parser.add_argument(
        "words", nargs="+", metavar="STREAM_PATTERN", help="which streams, as a shell pattern: 'front_*'"
    )
    parser.add_argument("--with", dest="model", metavar="MODEL", help="what looks at them")
    parser.add_argument("--robot", default="*", metavar="PATTERN", help="of which robots (default: all)")
    parser.add_argument("--session", default="*", metavar="PATTERN", help="of which sessions (default: all)")
    parser.add_argument("--kind", choices=("images", "time_series"), default="images", help="(default: images)")
    parser.add_argument("--role", choices=("rgb", "depth"), default="rgb", help="of frames (default: rgb)")
    parser.add_argument("--must", action="store_true", help="every frame gets a result: none is shed")
    parser.add_argument(
        "--priority",
        choices=("emergency", "high", "normal"),
        default="normal",
        help="what is shed last (default: normal)",
    )
    parser.add_argument(
        "--max-fps", type=float, default=0.0, metavar="N", help="most frames a second and stream (default: all)"
    )
    parser.add_argument("--output", default="", metavar="NAME", help="last part of the result streams' names")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="K=V",
        help="overrides the manifest: confidence=0.5, track=false",
    )
    parser.add_argument("--name", help="of the rule (default: made of the model and the patterns)")
    parser.add_argument("--disabled", action="store_true", help="keeps the rule, which does not hold")
    parser.add_argument("--json", action="store_true", help="with list: all that the server tells")
    parser.add_argument(
        "--server", default="http://127.0.0.1:8080", metavar="URL", help="(default: http://127.0.0.1:8080)"
    )
    parser.add_argument("--token", help="shown to the server")


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Returns:
        0 when it is done, 1 when the server refused or does not answer: why is said in one line.

    Raises:
        ConfigError: an option is wrong.
    """
    with Link(args.server, args.token) as link:
        try:
            match args.words:
                case ["list"] if args.model is None:
                    _list(link, as_json=args.json)
                case ["remove", name] if args.model is None:
                    link.ask("DELETE", f"/enrichments/{quote(name, safe='')}")
                    say(f"{name} is removed")
                case [stream]:
                    _put(link, stream, args)
                case _:
                    raise ConfigError("one stream pattern is to be given, in quotes where a shell would fill it in")
        except AdminError as error:
            failed(error.detail)
            return 1
    return 0


def _put(link: Link, stream: str, args: argparse.Namespace) -> None:
    if args.model is None and args.kind == "images":
        raise ConfigError("--with must name the model that looks at the streams")
    rule = {
        "model": args.model or "",
        "kind": args.kind,
        "robot_id": args.robot,
        "session_id": args.session,
        "stream": stream,
        "role": args.role,
        "urgency": args.priority,
        "must": args.must,
        "max_fps": args.max_fps,
        "output": args.output,
        "enabled": not args.disabled,
        "options": dict(_option(text) for text in args.option),
    }
    name = args.name or rule_name(rule)
    link.ask("PUT", f"/enrichments/{quote(name, safe='')}", rule)
    say(f"{name}: {_line(rule)}")


def rule_name(rule: dict[str, Any]) -> str:
    """A name made of what a rule is about, so that the same again takes the place of itself, and of nothing else."""
    patterns = [rule["stream"]] + [rule[field] for field in ("robot_id", "session_id") if rule[field] != "*"]
    about = [rule["model"] or rule["kind"], *patterns, *filter(None, (rule["output"],))]
    if rule["role"] != "rgb":
        about.append(rule["role"])
    plain = "-".join(about).replace("*", "any").replace("/", ".")
    is_plain = all(_PLAIN.match(part) and "any" not in part for part in about)
    if is_plain and len(plain) <= _MAX_NAME:
        return plain
    mark = hashlib.sha256("\0".join(about).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', plain)[: _MAX_NAME - 9]}-{mark}"


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--option {text!r} must be NAME=VALUE")
    try:
        return name, msgspec.json.decode(value.encode(errors="replace"))
    except msgspec.MsgspecError:
        return name, value


def _list(link: Link, *, as_json: bool) -> None:
    rules = link.ask("GET", "/enrichments")["items"]
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(rules)).decode())
        return
    say_table(("NAME", "RULE"), [(rule["name"], _line(rule)) for rule in rules])


def _line(rule: dict[str, Any]) -> str:
    """A rule in words."""
    where = [f"streams {rule['stream']}"]
    where += [
        f"{field.removesuffix('_id')}s {rule[field]}" for field in ("robot_id", "session_id") if rule[field] != "*"
    ]
    how = [rule["urgency"]] if rule["urgency"] != "normal" else []
    how += ["must"] if rule["must"] else []
    how += [f"at most {rule['max_fps']:g} fps"] if rule["max_fps"] else []
    how += [f"output {rule['output']}"] if rule["output"] else []
    how += [f"{name}={msgspec.json.encode(value).decode()}" for name, value in rule["options"].items()]
    how += [] if rule["enabled"] else ["disabled"]
    what = rule["model"] or "telemetry"
    return ", ".join([f"{what} looks at {rule['kind']} of {' of '.join(where)}", *how])
