"""``ashare prove warmup``: it holds for the product, and catches a factor that carries more than it declares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import settings
from engine.cli.main import main
from engine.cli.prove import require_warm
from engine.errors import ProofFailed
from engine.host.registration import install
from engine.panels.bundle import open_bundle
from engine.pipeline import kernels
from engine.pipeline.datasets import Daily
from engine.pipeline.factors import FACTORS, FactorSpec, Momentum, PanelFactor
from engine.prove.warmup import Warmup, chosen_rows, prove


class Smoothed(PanelFactor):
    """An exponential mean that goes on through a chunk: it never forgets the chunk's beginning."""

    inputs = (Daily.adj_close,)
    window_length = 20

    def panel(self, *inputs: Any) -> Any:
        (prices,) = inputs
        mean = np.nan_to_num(prices[0])
        found = []
        for row in prices[1:]:
            mean = 0.9 * mean + 0.1 * np.nan_to_num(row)
            found.append(mean)
        return np.array(found[self.window_length - 2 :])


class RunningSum(PanelFactor):
    """A mean of 20 sessions from a running sum: right but for its last bits, which depend on what went before."""

    inputs = (Daily.adj_close,)
    window_length = 20

    def panel(self, *inputs: Any) -> Any:
        sums = np.cumsum(np.concatenate([np.zeros((1, inputs[0].shape[1])), inputs[0]]), axis=0)
        return (sums[self.window_length :] - sums[: -self.window_length]) / self.window_length


class Lasting(PanelFactor):
    """The return since the chunk began, called one of 21 sessions."""

    inputs = (Daily.adj_close,)
    window_length = 21

    def panel(self, *inputs: Any) -> Any:
        return (inputs[0] / inputs[0][:1] - 1.0)[self.window_length - 1 :]


class Peeking(PanelFactor):
    """Tomorrow's close, where the chunk has it."""

    inputs = (Daily.adj_close,)
    window_length = 1

    def panel(self, *inputs: Any) -> Any:
        return np.concatenate([inputs[0][1:], inputs[0][-1:]])


def spec(kind: type[PanelFactor], window: int) -> FactorSpec:
    return FactorSpec(kind.__name__, window, "ratio", "test", lambda _: kind(window_length=window))


def found(*specs: FactorSpec) -> list[Warmup]:
    install()
    bundle = open_bundle()
    return list(prove(bundle, settings.load(), chosen_rows(bundle, 3, 0), specs))


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(("kind", "window"), [(Smoothed, 20), (RunningSum, 20), (Lasting, 21), (Peeking, 1)])
def test_a_factor_that_needs_more_than_its_window_is_caught(kind: type[PanelFactor], window: int) -> None:
    (one,) = found(spec(kind, window))
    assert not one.holds
    with pytest.raises(ProofFailed, match=f"{kind.__name__} does not do with the {window} sessions .* from its window"):
        require_warm([one])


@pytest.mark.usefixtures("demo")
def test_a_window_that_is_registered_wrongly_is_caught() -> None:
    (one,) = found(FactorSpec("momentum_1m", 20, "ratio", "test", lambda _: Momentum(window_length=21)))
    assert not one.holds
    with pytest.raises(
        ProofFailed, match="momentum_1m does not do with the 20 sessions it declares: its term reads 21"
    ):
        require_warm([one])


@pytest.mark.usefixtures("demo")
def test_the_factors_need_no_more_than_they_declare(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prove", "warmup"])
    head, *lines, total = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert head.split() == ["factor", "window", "compared", "not", "null"]
    shown = [line.split() for line in lines]
    assert [(name, int(window)) for name, window, *_ in shown] == [(one.name, one.window) for one in FACTORS]
    assert all(int(known) > 300 and verdict == "equal" for *_, known, verdict in shown), shown
    assert total.startswith("9 factors, 5 sessions: ")


@pytest.mark.usefixtures("demo")
def test_a_failed_proof_exits_with_4(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel with a running sum instead of one pass a window."""

    def running(prices: Any, sessions: int) -> tuple[Any, Any]:
        sums = np.cumsum(np.concatenate([np.zeros((1, prices.shape[1])), prices]), axis=0)
        mean = (sums[sessions:] - sums[:-sessions]) / sessions
        return mean, mean

    monkeypatch.setattr(kernels, "rolling_mean_sd", running)
    with pytest.raises(SystemExit) as ended:
        main(["prove", "warmup"])
    said, complaint = capsys.readouterr()
    assert ended.value.code == 4
    assert [line.split()[0] for line in said.splitlines() if line.endswith("  differs")] == [
        "boll_width",
        "boll_position",
    ]
    assert "boll_width does not do with the 20 sessions it declares" in complaint
