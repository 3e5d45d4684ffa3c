"""What a person sees of the simulation: who connected, what was sent, how it ended."""

import os
from collections.abc import Callable, Sequence

from datamanager.client import Stats
from datamanager.simulator.events import Source
from datamanager.simulator.recordings import Recordings
from datamanager.simulator.robots import Outcome, Tally

__all__ = ["Progress", "Say", "amount", "complete_line", "source_lines", "summary_line"]

Say = Callable[[str], None]


def amount(nbytes: float) -> str:
    """Bytes, readable."""
    for unit in ("B", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} GB"


def source_lines(sources: Sequence[Source], recordings: Recordings | None, why_made: str) -> list[str]:
    """Says what is played and what is made.

    Args:
        sources: the streams of a robot.
        recordings: what is played, if anything.
        why_made: why nothing is played, otherwise.
    """
    width = max(len(source.stream) for source in sources)
    played = set() if recordings is None else {*recordings.samples, *recordings.frames, *recordings.lines}
    lines = [
        f"playing the recordings in {os.path.relpath(recordings.folder)}"
        if recordings
        else f"making all data here: {why_made}"
    ]
    for source in sources:
        how = "recorded" if source.stream in played else "made"
        lines.append(f"  {source.stream.ljust(width)}  {how.ljust(8)}  {source.origin}")
    lines += [f"  not played: {missing}" for missing in (recordings.missing if recordings else [])]
    return lines


class Progress:
    """One robot's lines while it streams: `text` tells what happened since it was last asked."""

    def __init__(self) -> None:
        self._samples = self._frames = self._lines = self._sent = self._bytes = 0
        self._reconnects = 0

    def text(self, tally: Tally, stats: Stats, late_s: float) -> str:
        """What happened since."""
        said = (
            f"batch sent: {tally.samples - self._samples:,} samples, {tally.frames - self._frames} frames, "
            f"{tally.lines - self._lines} log lines in {stats.sent - self._sent:,} messages, "
            f"{amount(stats.bytes_sent - self._bytes)}; acked {stats.acked:,} of {stats.acked + stats.pending:,}"
        )
        if stats.rejected or stats.dropped:
            said += f"; {stats.rejected} rejected, {stats.dropped} dropped"
        if not stats.connected:
            said += f"; not connected ({stats.last_error}), {stats.pending:,} messages wait"
        elif stats.reconnects > self._reconnects:
            said += "; connected again"
        if late_s > 1:
            said += f"; up to {late_s:.1f} s late: this machine is busy"
        self._samples, self._frames, self._lines = tally.samples, tally.frames, tally.lines
        self._sent, self._bytes, self._reconnects = stats.sent, stats.bytes_sent, stats.reconnects
        return said


def complete_line(outcome: Outcome) -> str:
    """How one robot ended."""
    tally, stats = outcome.tally, outcome.stats
    acked = (
        "all acked"
        if outcome.whole
        else f"{stats.rejected} rejected, {stats.dropped} dropped, {stats.pending} not acked"
    )
    return (
        f"complete: {tally.samples:,} samples, {tally.frames} frames, {tally.lines} log lines in {outcome.took_s:.1f} s; "
        f"{stats.acked:,} messages, {amount(stats.bytes_sent)}, {acked}"
    )


def summary_line(outcomes: Sequence[Outcome]) -> str:
    """How all of them ended."""
    samples = sum(outcome.tally.samples for outcome in outcomes)
    records = sum(outcome.tally.frames + outcome.tally.lines for outcome in outcomes)
    took_s = max(outcome.took_s for outcome in outcomes)
    nbytes = sum(outcome.stats.bytes_sent for outcome in outcomes)
    whole = sum(outcome.whole for outcome in outcomes)
    return (
        f"{whole} of {len(outcomes)} robots have everything acked: {samples:,} samples and {records:,} records, "
        f"{amount(nbytes)} in {took_s:.1f} s ({samples / took_s:,.0f} samples/s, {amount(nbytes / took_s)}/s)"
    )
