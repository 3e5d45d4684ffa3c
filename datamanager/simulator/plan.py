"""Which streams a robot has: those of the recordings where there are any, and those that are made here."""

from datamanager.simulator.events import Source
from datamanager.simulator.lines import MadeLines
from datamanager.simulator.pictures import MadeCamera, MadeClouds, MadeDepth
from datamanager.simulator.recorded import RecordedFrames, RecordedLines, RecordedSamples
from datamanager.simulator.recordings import FrameSet, Recordings
from datamanager.simulator.settings import CameraRate, CloudRate, Settings
from datamanager.simulator.signals import SIGNALS, MadeSignal

__all__ = ["plan_robot"]

_PHASE_S = 7.3  # from robot to robot, so that no two do the same at once


def plan_robot(settings: Settings, number: int, recordings: Recordings | None) -> list[Source]:
    """The streams of one robot.

    Args:
        settings: rates, seed.
        number: which robot, from 0 on; each has its own noise and its own place in motions and recordings.
        recordings: what there is to play.
    """
    made = {source.stream: source for source in _made(settings, number)}
    if recordings:
        recorded = {source.stream: source for source in _recorded(settings, number, recordings)}
        made = {name: recorded.pop(name, source) for name, source in made.items()} | recorded
    return list(made.values())


def _made(settings: Settings, number: int) -> list[Source]:
    streams, phase_s = settings.streams, number * _PHASE_S
    sources: list[Source] = []
    for place, stream in enumerate(SIGNALS):
        rate_hz = getattr(streams, stream).rate_hz
        if rate_hz:
            seed = (settings.seed, number, place)
            sources.append(MadeSignal(stream, rate_hz, settings.batch_s, phase_s, seed))
    if streams.front_rgb.rate_hz:
        sources.append(MadeCamera("front_rgb", streams.front_rgb, phase_s, (settings.seed, number, 101)))
    if streams.front_depth.rate_hz:
        sources.append(MadeDepth("front_depth", streams.front_depth, phase_s, (settings.seed, number, 102)))
    if streams.cloud.rate_hz:
        sources.append(MadeClouds("cloud", streams.cloud, phase_s, (settings.seed, number, 103)))
    if streams.log.rate_hz:
        sources.append(MadeLines("log", streams.log.rate_hz, phase_s, (settings.seed, number, 104)))
    return sources


def _recorded(settings: Settings, number: int, recordings: Recordings) -> list[Source]:
    skip_ns = round(number * _PHASE_S * 1e9)
    sources: list[Source] = []
    for stream, found in recordings.samples.items():
        sources.append(
            RecordedSamples(stream, found.source, found.offsets_ns, found.channels, settings.batch_s, skip_ns)
        )
    for place, (stream, frames) in enumerate(recordings.frames.items()):
        rate = _frame_rate(settings, stream, frames)
        if rate.rate_hz:
            seed = (settings.seed, number, 201 + place)
            phase_s = number * _PHASE_S
            skip = round(phase_s * frames.rate_hz)
            sources.append(
                RecordedFrames(
                    stream, frames.source, frames.files, frames.rate_hz, rate, frames.role, phase_s, seed, skip
                )
            )
    if settings.streams.log.rate_hz:
        for stream, (source, lines) in recordings.lines.items():
            sources.append(RecordedLines(stream, source, lines, skip_ns))
    return sources


def _frame_rate(settings: Settings, stream: str, frames: FrameSet) -> CameraRate | CloudRate:
    """How often its frames are played: as the settings say, else as they were taken."""
    known: CameraRate | CloudRate | None = getattr(settings.streams, stream, None)
    return CameraRate(rate_hz=frames.rate_hz) if known is None else known
