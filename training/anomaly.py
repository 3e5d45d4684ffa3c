"""`python -m training.anomaly`: how likely it is that something is wrong with a channel of telemetry.

A small network of dilated convolutions, trained to tell faults put into made channels from the channels themselves: it
knows what spikes, stuck sensors, drifts, bursts of noise and drop-outs look like beside what was just before, of any
channel, and no robot in particular. Input `windows`, (batch, 64), float32: standardised samples. Outputs: `score`,
(batch,), the highest probability, 0 to 1, among samples 40 to 55; `samples`, (batch, 64), that of each.
"""

import argparse
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from datamanager.inference.manifest import Manifest
from datamanager.simulator.recordings import find_recordings
from training.anomaly_cases import (
    EVAL_SEED,
    FALSE_ALARMS,
    SCORED,
    Cases,
    baseline_scores,
    endless_rows,
    made_cases,
    rates,
    recorded_cases,
    run,
    threshold_of,
)
from training.graph import FLOAT, Graph
from training.ship import Made, ship
from training.telemetry import HISTORY, WINDOW

__all__ = ["exported", "measured", "trained"]

SEED = 30
_CHANNELS, _INPUTS, _DILATIONS = 32, 6, (1, 2, 4, 8)
_BATCH = 128


def main() -> None:
    """Trains, measures and ships."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args().steps
    began_s = time.perf_counter()
    net = trained(steps)
    model = exported(net)
    _hold_to(net, model)
    cases = made_cases(EVAL_SEED + 1, 400)
    threshold = threshold_of(run(model.SerializeToString(), cases.windows)[0], cases)
    manifest = Manifest(
        name="anomaly",
        version="1",
        task="anomaly",
        max_batch=1024,
        about="How likely something is wrong with a channel: spike, stuck, drift, noise, drop-out",
        options={
            "window": WINDOW,
            "hop": SCORED[1] - SCORED[0],
            "scored": list(SCORED),
            "history": HISTORY,
            "threshold": threshold,
            "input": "windows: the newest 64 samples of a channel, less the mean and over the standard deviation of the "
            "newest 1024 (all there are, when fewer; 128 at least); zeros where it does not move; lacking ones repeat the last",
            "output": "score",
        },
    )
    ship(Made(model, manifest, SEED, measured(model, threshold)), "training.anomaly", began_s)


def trained(steps: int) -> Any:
    """A network after so many steps on channels that are made as it goes."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    net = _net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps, pct_start=0.1)
    rows = endless_rows(rng)
    for step in range(steps):
        cases = Cases(islice(rows, _BATCH))
        wrong = torch.from_numpy(cases.wrong.astype(np.float32))
        loss = binary_cross_entropy_with_logits(_logits(net, torch.from_numpy(cases.windows)), wrong)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"{step:5} loss {loss.item():.4f}", flush=True)
    return net


def _net() -> Any:
    inner = [nn.Conv1d(_CHANNELS, _CHANNELS, 3, padding=d, dilation=d) for d in _DILATIONS]
    return nn.ModuleDict(
        {
            "first": nn.Conv1d(_INPUTS, _CHANNELS, 5, padding=2),
            "inner": nn.ModuleList(inner),
            "whole": nn.Linear(_CHANNELS, _CHANNELS),
            "last": nn.Conv1d(_CHANNELS, _CHANNELS, 3, padding=1),
            "out": nn.Conv1d(_CHANNELS, 1, 1),
        }
    )


def _logits(net: Any, windows: Any) -> Any:
    """The same as in `exported`, step by step."""
    z = windows.clamp(-20, 20)
    step = nn.functional.pad(z[:, 1:] - z[:, :-1], (1, 0))
    typical = step.abs().mean(1, keepdim=True)
    away = z - z.mean(1, keepdim=True)
    spread = (away * away).mean(1, keepdim=True).sqrt()
    parts = [
        torch.asinh(z),
        away / (spread + 0.02),
        torch.asinh(step / (typical + 1e-3)),
        (step.abs() < 1e-6).float(),
        torch.log(typical + 1e-4).expand(-1, WINDOW),
        torch.log(spread + 1e-3).expand(-1, WINDOW),
    ]
    value = net["first"](torch.stack(parts, 1)).relu()
    for layer in net["inner"]:
        value = value + layer(value).relu()
    value = value + net["whole"](value.mean(2)).relu()[:, :, None]
    return net["out"](net["last"](value).relu())[:, 0]


def exported(net: Any) -> onnx.ModelProto:
    """The trained network as a model; the features are part of it."""
    graph = Graph("anomaly")
    windows = graph.input("windows", FLOAT, ("batch", WINDOW))
    value = graph.add("Relu", _conv(graph, net["first"], _features(graph, windows), 2))
    for layer, dilation in zip(net["inner"], _DILATIONS, strict=True):
        value = graph.add("Add", value, graph.add("Relu", _conv(graph, layer, value, dilation, dilation)))
    mean = graph.add("ReduceMean", value, axes=[2], keepdims=0)
    weight, bias = (graph.weight(part.detach().numpy()) for part in (net["whole"].weight, net["whole"].bias))
    whole = graph.add("Relu", graph.add("Gemm", mean, weight, bias, transB=1))
    value = graph.add("Add", value, graph.reshape(whole, 0, 0, 1))
    value = graph.add("Relu", _conv(graph, net["last"], value, 1))
    samples = graph.add("Sigmoid", graph.reshape(_conv(graph, net["out"], value, 0), 0, WINDOW))
    start, end = SCORED
    part = graph.add("Slice", samples, graph.integers(start), graph.integers(end), graph.integers(1))
    graph.output("score", graph.add("ReduceMax", part, axes=[1], keepdims=0), FLOAT, ("batch",))
    graph.output("samples", samples, FLOAT, ("batch", WINDOW))
    return graph.model({"task": "anomaly", "window": str(WINDOW)})


def _features(graph: Graph, windows: str) -> str:
    """(batch, 6, 64): the sample, where it is in its window, its step, whether it rests, and how the window moves."""

    def mean(value: str) -> str:
        return graph.add("ReduceMean", value, axes=[1], keepdims=1)

    def log_of(value: str, least: float) -> str:
        flat = graph.add("Log", graph.add("Add", value, graph.constant(least)))
        return graph.add("Add", flat, graph.constant(np.zeros((1, WINDOW))))

    z = graph.add("Clip", windows, graph.constant(-20.0), graph.constant(20.0))
    later = graph.add("Slice", z, graph.integers(1), graph.integers(WINDOW), graph.integers(1))
    earlier = graph.add("Slice", z, graph.integers(0), graph.integers(WINDOW - 1), graph.integers(1))
    step = graph.add("Pad", graph.add("Sub", later, earlier), graph.integers(0, 1, 0, 0), graph.constant(0.0))
    size = graph.add("Abs", step)
    typical = mean(size)
    away = graph.add("Sub", z, mean(z))
    spread = graph.add("Sqrt", mean(graph.add("Mul", away, away)))
    parts = [
        _asinh(graph, z),
        graph.add("Div", away, graph.add("Add", spread, graph.constant(0.02))),
        _asinh(graph, graph.add("Div", step, graph.add("Add", typical, graph.constant(1e-3)))),
        graph.add("Cast", graph.add("Less", size, graph.constant(1e-6)), to=FLOAT),
        log_of(typical, 1e-4),
        log_of(spread, 1e-3),
    ]
    return graph.add("Concat", *(graph.reshape(part, 0, 1, WINDOW) for part in parts), axis=1)


def _asinh(graph: Graph, value: str) -> str:
    """By its formula, for magnitudes alone: the operator is not in every provider."""
    size = graph.add("Abs", value)
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", size, size), graph.constant(1.0)))
    return graph.add("Mul", graph.add("Sign", value), graph.add("Log", graph.add("Add", size, root)))


def _conv(graph: Graph, layer: Any, value: str, pad: int, dilation: int = 1) -> str:
    weight, bias = (graph.weight(part.detach().numpy()) for part in (layer.weight, layer.bias))
    return graph.add("Conv", value, weight, bias, pads=[pad, pad], dilations=[dilation])


def _hold_to(net: Any, model: onnx.ModelProto) -> None:
    """The file says what the network says."""
    windows = made_cases(EVAL_SEED + 2, 20).windows
    with torch.no_grad():
        wanted = _logits(net, torch.from_numpy(windows)).sigmoid().numpy()
    np.testing.assert_allclose(run(model.SerializeToString(), windows)[1], wanted, atol=1e-4)


def measured(model: onnx.ModelProto, threshold: float) -> Mapping[str, Any]:
    """On held-out made channels, and on the real recordings where they are; the baseline has a threshold fitted there."""
    sets = {"made": made_cases(EVAL_SEED, 300)}
    if folder := find_recordings(wanted=True):
        sets["recorded"] = recorded_cases(folder)
    found: dict[str, Any] = {}
    for name, cases in sets.items():
        found[name] = rates(run(model.SerializeToString(), cases.windows)[0], cases, threshold)
        plain = baseline_scores(cases.windows)
        fitted = threshold_of(plain, cases, max(found[name]["false_alarms"], FALSE_ALARMS))
        found[f"{name}, deviations alone"] = rates(plain, cases, fitted)
    print(*found.items(), sep="\n")
    return found


if __name__ == "__main__":
    main()
