"""`datamanager simulate`: robots that stream recorded or made data."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from datamanager.client.console import say, stopped_by_signals
from datamanager.kinds.names import check_id
from datamanager.simulator.settings import Settings, read_settings, with_options
from datamanager.simulator.simulate import simulate

__all__ = ["add_arguments", "new_session_id", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the server (default: http://127.0.0.1:8080)")
    parser.add_argument("--robots", type=int, help="how many (default: 3)")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds; 0 until Ctrl-C (default: 300)")
    parser.add_argument("--session", help="id of the sessions (default: one with the time of day)")
    parser.add_argument("--seed", type=int, help="the same seed makes the same data (default: 1)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="config.yaml: robots, streams, rates, bursts")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--recordings", metavar="DIR", help="plays these (default: ../shared/data/recordings, if there)")
    where.add_argument("--made", action="store_true", help="plays no recordings: makes everything")


def run(args: argparse.Namespace) -> int:
    """Runs the command until the duration is over or Ctrl-C.

    Returns:
        0 when everything that was sent is durable on the server, 1 otherwise.

    Raises:
        ConfigError: an option or the configuration is wrong.
        Unavailable: no server answers.
    """
    settings = with_options(
        read_settings(args.config) if args.config else Settings(),
        robots=args.robots,
        duration_s=args.duration,
        seed=args.seed,
        recordings=False if args.made else args.recordings,
    )
    session_id = check_id(args.session or new_session_id(), "--session")
    with stopped_by_signals() as stop:
        outcomes = simulate(settings, args.url, session_id, say=say, stop=stop)
    return 0 if all(outcome.whole for outcome in outcomes) else 1


def new_session_id() -> str:
    """An id that no earlier session has."""
    return f"sim-{datetime.now(UTC):%Y%m%d-%H%M%S}"
