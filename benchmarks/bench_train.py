"""``python -m benchmarks.bench_train``: many months and seeds trained at once, on panels generated on the device.

By default 84 months x 3 seeds over 5,000 stocks, four years of sessions each: what seven years of walk-forward need.
Features are standard normal, and the excess return follows some of them a little, so that early stopping has
something to stop at. Beside the time it prints the floor: the floating-point operations of the layers over the
device's measured rate, and the bytes every layer must read and write over its measured bandwidth, had each kernel
nothing else to do. Scores of some of the networks are computed on the device and on the CPU, and must agree.

Predicted for an H100: 20 kFLOP and some 7 kB of activations a sample and step, so 25 to 40 s at eight epochs, bound by
bandwidth; not yet measured. On a CPU run it small: ``--months 2 --seeds 1 --stocks 300``.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass

import click
import numpy as np
import torch

from engine.model.device import device_of
from engine.model.labels import lag
from engine.model.network import AttentionNetwork, probabilities
from engine.model.samples import Samples, Split
from engine.model.train import Trained, train
from engine.model.windows import Interval, Window
from engine.settings import LabelSettings, ModelSettings, Settings

MONTH, YEARS, VALIDATION, SEED = 20, 4, 120, 7
"""Sessions of a month, years of training, sessions of validation."""
YEAR = 243
TOLERANCE = 1e-5
"""Between a probability on the device and on the CPU."""


def market(stocks: int, sessions: int, device: torch.device) -> Samples:
    """Draw features and labels of every stock and session on the device, and hand them over as samples."""
    generator = torch.Generator(device).manual_seed(SEED)
    features = torch.randn(sessions * stocks, 9, generator=generator, device=device)
    noise = torch.randn(sessions * stocks, generator=generator, device=device)
    excess = 0.004 * features[:, 0] - 0.006 * features[:, 5] + 0.1 * noise
    rows = np.repeat(np.arange(sessions, dtype=np.int32), stocks)
    sids = np.tile(np.arange(stocks, dtype=np.int32), sessions)
    return Samples(rows, sids, features.cpu().numpy(), excess.cpu().numpy(), rows + np.int32(lag(LabelSettings())))


def windows(months: int) -> list[Window]:
    """Return the windows of consecutive months over one calendar of sessions."""
    step = lag(LabelSettings())
    found = []
    for month in range(months):
        first = month * MONTH
        last = first + YEARS * YEAR - 1
        begin = last + step + 1
        until = begin + VALIDATION - 1 + step
        found.append(Window("2000-01", until, Interval(first, last), Interval(begin, begin + VALIDATION - 1), step))
    return found


@dataclass(frozen=True)
class Floor:
    """What the work cannot cost less than, in seconds."""

    flops: float
    bytes: float
    by_flops: float
    by_bytes: float


def floor(trained: list[Trained], batch: int, device: torch.device) -> Floor:
    """Return the floor of a training from the device's own rates, measured on large products and copies."""
    widths = [(9, 32), (32, 9), (9, 64), (64, 32), (32, 4)]
    forward = 2 * sum(into * out for into, out in widths)
    activations = 9 + sum(out for _, out in widths)
    steps = sum(one.epochs * (one.samples[0] // min(batch, one.samples[0])) * batch for one in trained)
    flops = 3.0 * forward * steps  # forward once, backward twice
    moved = 3.0 * 4 * activations * steps  # each activation written once and read twice, in single precision
    rate, bandwidth = _rates(device)
    return Floor(flops, moved, flops / rate, moved / bandwidth)


def _rates(device: torch.device) -> tuple[float, float]:
    """Measure FLOP/s of a product and bytes/s of a copy."""
    size = 8192 if device.type == "cuda" else 1024
    one, many = torch.randn(size, size, device=device), torch.randn(size * size, device=device)
    product = _seconds(lambda: one @ one, device)
    copied = _seconds(many.clone, device)
    return 2 * size**3 / product, 2 * 4 * size * size / copied


def _seconds(work: object, device: torch.device, times: int = 5) -> float:
    assert callable(work)
    work()
    _wait(device)
    started = time.perf_counter()
    for _ in range(times):
        work()
    _wait(device)
    return (time.perf_counter() - started) / times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def largest_difference(trained: list[Trained], device: torch.device) -> float:
    """Return by how much the scores of some networks differ between the device and the CPU."""
    x = torch.randn(5000, 9, generator=torch.Generator().manual_seed(SEED))
    worst = 0.0
    for one in trained[:: max(len(trained) // 10, 1)]:
        there = AttentionNetwork().to(device).eval()
        there.load_state_dict(one.network.state_dict())
        mine, its = probabilities(one.network, x)[0], probabilities(there, x.to(device))[0].cpu()
        worst = max(worst, float((mine - its).abs().max()))
    return worst


@click.command()
@click.option("--months", type=click.IntRange(min=1), default=84, show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--stocks", type=click.IntRange(min=10), default=5000, show_default=True)
@click.option("--device", "named", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line instead of a table.")
def main(months: int, seeds: int, stocks: int, named: str, as_json: bool) -> None:
    """Train MONTHS x SEEDS networks at once and say what it cost."""
    device, settings = device_of(named), Settings(labels=LabelSettings(), model=ModelSettings())
    if device.type == "cpu":
        torch.set_num_threads(1)
    wanted = windows(months)
    samples = market(stocks, wanted[-1].known_until + 1, device)
    splits = [Split(samples, one) for one in wanted for _ in range(seeds)]
    _wait(device)
    started, used = time.perf_counter(), time.process_time()
    trained = train(splits, list(range(seeds)) * months, settings, device)
    _wait(device)
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    least, worst = floor(trained, settings.model.batch, device), largest_difference(trained, device)
    found = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "networks": len(trained),
        "samples of one": trained[0].samples[0],
        "epochs of one, mean": float(np.mean([one.epochs for one in trained])),
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "peak device MB": round(torch.cuda.max_memory_allocated(device) / 2**20) if device.type == "cuda" else None,
        "floor by FLOPs, s": round(least.by_flops, 2),
        "floor by bytes, s": round(least.by_bytes, 2),
        "largest difference of a score": worst,
    }
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name, value in found.items():
            click.echo(f"{name:<32}{value:>24,}" if isinstance(value, int | float) else f"{name:<32}{value!s:>24}")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
