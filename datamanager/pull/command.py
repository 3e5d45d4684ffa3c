"""`datamanager pull`: brings what a camera or a file shows into a stream."""

import argparse
import sys
from pathlib import Path

from datamanager.client.console import say, stopped_by_signals, time_option
from datamanager.errors import ConfigError, DatamanagerError
from datamanager.kinds.names import check_id, check_stream
from datamanager.pull.address import read_address
from datamanager.pull.settings import PullSettings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    defaults = PullSettings()
    parser.add_argument(
        "source", metavar="SOURCE", help="rtsp://…, http(s)://… (MJPEG, HLS, MPEG-TS, a file), or a file"
    )
    parser.add_argument("--robot", required=True, help="whose camera it is")
    parser.add_argument("--session", required=True, help="which recording run")
    parser.add_argument("--stream", required=True, help="the stream that it becomes")
    parser.add_argument(
        "--server", default="http://127.0.0.1:8080", metavar="URL", help="(default: http://127.0.0.1:8080)"
    )
    parser.add_argument("--token", help="shown to the server")
    parser.add_argument("--producer", help="who sends (default: a fresh name; of one name there can be one at a time)")
    parser.add_argument("--spool", type=Path, metavar="DIR", help="keeps on disk what the server has not acked yet")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--passthrough", action="store_const", const="video", dest="want", help="H.264 as video, or nothing"
    )
    ways.add_argument(
        "--frames", action="store_const", const="frames", dest="want", help="JPEG frames, which models look at"
    )
    ways.add_argument(
        "--both", action="store_const", const="both", dest="want", help="H.264 as STREAM, frames as STREAM/frames"
    )
    parser.add_argument("--fps", type=float, default=defaults.fps, help="frames a second, at most (default: 10)")
    parser.add_argument("--adaptive", action="store_true", help="fewer frames while decoding or the server is behind")
    parser.add_argument(
        "--quality", type=int, default=defaults.quality, metavar="Q", help="of JPEG, 1 to 95 (default: 85)"
    )
    parser.add_argument(
        "--duration", type=float, metavar="S", help="seconds to pull (default: until the end or Ctrl-C)"
    )
    _add_file_arguments(parser)
    parser.add_argument(
        "--timeout", type=float, default=defaults.timeout_s, metavar="S", help="of a silent source (default: 10)"
    )
    parser.add_argument(
        "--give-up-after", type=float, metavar="S", help="ends when it is away for so long (default: never)"
    )
    parser.add_argument(
        "--buffer", type=int, default=defaults.buffer_frames, metavar="N", help="frames that wait (default: 30)"
    )
    parser.add_argument("--udp", action="store_true", help="RTSP brings its pictures by UDP")
    parser.add_argument(
        "--report", type=float, default=defaults.report_s, metavar="S", help="says how it goes (default: 5)"
    )
    parser.add_argument("--end", action="store_true", help="ends the session with the source")
    parser.set_defaults(want="auto")


def _add_file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loop", action="store_true", help="a file begins again at its end")
    speeds = parser.add_mutually_exclusive_group()
    speeds.add_argument("--realtime", action="store_true", help="a file as fast as it was recorded")
    speeds.add_argument("--fast", action="store_true", help="a file as fast as it can be read (default)")
    parser.add_argument(
        "--time", metavar="T", help="when a file begins: RFC 3339, seconds or nanoseconds (default: as it says itself)"
    )


def run(args: argparse.Namespace) -> int:
    """Pulls until the source ends, the duration is over, or Ctrl-C.

    Returns:
        0 when all that was taken is durable on the server; 1 when any of it is not, or the source cannot be read.

    Raises:
        ConfigError: an option is wrong, or the file is not there.
        ClientError: the server refuses us for good.
    """
    address, settings = read_address(args.source), _settings_of(args)
    base_ns = None if args.time is None else time_option(args.time)
    stream, robot_id = check_stream(args.stream), check_id(args.robot, "--robot")
    session_id = check_id(args.session, "--session")
    try:
        from datamanager.pull.failures import SourceError  # noqa: PLC0415  # its libraries are an extra
        from datamanager.pull.pulling import Pull, Target  # noqa: PLC0415  # as above
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}: pulling needs `pip install datamanager[pull]`") from error
    target = Target(
        server=args.server,
        robot_id=robot_id,
        session_id=session_id,
        stream=stream,
        token=args.token,
        producer=args.producer,
        spool_dir=args.spool,
        ends=args.end,
    )
    with stopped_by_signals() as stop:
        try:
            return 0 if Pull(address, target, settings, base_ns=base_ns, stop=stop, say=say).run().whole else 1
        except SourceError as error:
            sys.stderr.write(f"datamanager: {error.detail}\n")
            return 1
        except (OSError, ValueError) as error:
            raise DatamanagerError(address.masked_in(str(error))) from error


def _settings_of(args: argparse.Namespace) -> PullSettings:
    return PullSettings(
        want=args.want or "auto",
        fps=args.fps,
        adaptive=args.adaptive,
        quality=args.quality,
        loop=args.loop,
        realtime=args.realtime,
        duration_s=args.duration,
        timeout_s=args.timeout,
        give_up_s=args.give_up_after,
        buffer_frames=args.buffer,
        udp=args.udp,
        report_s=args.report,
    )
