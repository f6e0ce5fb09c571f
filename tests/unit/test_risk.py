"""Switches, stops, blacklist, watch: before, at and after each threshold, answers worked out by hand (SPEC 8)."""

from __future__ import annotations

import datetime as dt
import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from engine.monitor.blacklist import Blacklist
from engine.monitor.volatility import VolatilitySwitch, realised_volatility
from engine.monitor.watch import ICWatch, wealth
from engine.portfolio.account import Account, Holding
from engine.portfolio.risk import DrawdownSwitch, Ex, Stops, gross_limit
from engine.settings import BlacklistSettings, RiskSettings, SelectionSettings, WatchSettings

R, S, B, W = RiskSettings(), SelectionSettings(), BlacklistSettings(), WatchSettings()


def restarted(state):
    """Return a state as it is after its process died: written as JSON and read back."""
    return type(state).from_json(json.loads(json.dumps(state.to_json())))


@pytest.mark.parametrize(
    ("net_values", "on"),
    [
        ([100.0, 92.0], [False, False]),  # -8 % exactly is not below it
        ([100.0, 91.99], [False, True]),
        ([100.0, 91.0, 96.0, 96.01], [False, True, True, False]),  # -4 % exactly is not above it
        ([100.0, 91.0, 93.0, 95.0, 92.0], [False, True, True, True, True]),  # in between it stays
        ([100.0, 91.0, 97.0, 92.0, 91.0], [False, True, False, False, True]),  # and again, from the same peak
        ([100.0, 200.0, 184.0, 183.9], [False, False, False, True]),  # the maximum runs
        ([9_999_999.0, 9_199_999.08], [False, False]),  # -8 % to the fen
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_drawdown_switch(net_values, on, restarts):
    switch, seen, events = DrawdownSwitch(), [], []
    for value in net_values:
        switch, happened = switch.step(value, R)
        switch = restarted(switch) if restarts else switch
        seen.append(switch.on)
        events += happened
    assert seen == on
    assert len(events) == sum(a != b for a, b in zip([False, *on], on, strict=False))
    assert switch.peak == max(net_values)


def test_a_drawdown_rule_that_is_off_only_remembers_the_maximum():
    off = RiskSettings(drawdown_on=0, drawdown_off=0)
    switch, events = DrawdownSwitch(100.0).step(50.0, off)
    assert (switch, events) == (DrawdownSwitch(100.0), [])


def test_a_switch_that_would_flap_is_refused():
    with pytest.raises(ValidationError, match="flap"):
        RiskSettings(drawdown_on=0.04, drawdown_off=0.08)


@pytest.mark.parametrize(
    ("drawn_down", "volatile", "limit"),
    [(False, False, 0.8), (False, True, 0.5), (True, False, 0.4), (True, True, 0.4)],
)
def test_gross_limit(drawn_down, volatile, limit):
    assert gross_limit(drawn_down, volatile, S, R) == limit


def test_realised_volatility():
    """Log returns of +1 % and -1 % in turn: mean 0, sample deviation 0.01 * sqrt(20 / 19)."""
    closes = np.exp(np.cumsum([0.0, *[0.01, -0.01] * 10]))
    expected = 0.01 * math.sqrt(20 / 19) * math.sqrt(252) * 100
    assert realised_volatility(closes, 20) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(realised_volatility(closes[1:], 20))  # 20 closes make 19 returns
    assert realised_volatility(np.concatenate([[50.0], closes]), 20) == pytest.approx(expected, rel=1e-12)


def test_volatility_switch():
    switch, seen = VolatilitySwitch(), []
    for index in (math.nan, 25.0, 25.01, math.nan, 25.0, 30.0):
        switch, events = restarted(switch).step(index, R)
        seen.append((switch.on, len(events)))
    assert seen == [(False, 0), (False, 0), (True, 1), (True, 0), (False, 1), (True, 1)]
    assert VolatilitySwitch(True).step(30.0, RiskSettings(volatility_above=0)) == (VolatilitySwitch(), [])


A = "600001.SH"


def stops_after(sessions, settings=R, restarts=False):
    """Return whether the stop is triggered after each session of (shares, cost, price, what went ex)."""
    stops, seen, count = Stops(), [], 0
    for shares, cost, price, *ex in sessions:
        held = {A: Holding(shares, shares, cost, price)} if shares else {}
        stops, events = stops.step(held, {A: ex[0]} if ex else {}, settings)
        stops = restarted(stops) if restarts else stops
        seen.append(A in stops.triggered)
        count += len(events)
    return seen, count


STOPS = [
    ("10 % below the cost is not more than 10 %", [(100, 10, 9.0), (100, 10, 8.99)], [False, True]),
    ("triggered until gone", [(100, 10, 8.9), (100, 10, 9.5), (0, 0, 0), (100, 10, 9.5)], [True, True, False, False]),
    ("a part that was sold does not release it", [(200, 10, 8.9), (100, 10, 9.5)], [True, True]),
    # ten for ten: the cost is halved by the ledger
    ("bonus shares", [(100, 10, 10), (200, 5, 4.5, Ex(shares=1.0)), (200, 5, 4.49)], [False, False, True]),
    # 1.00 a share: the fall is held against 9.00
    ("a dividend is no loss", [(100, 10, 10), (100, 10, 8.1, Ex(cash=1.0)), (100, 10, 8.09)], [False, False, True]),
    # 1.00 a share of 100, then twice the shares at 9.00: cost 9.50, dividends 0.50 a share, 0.9 * 9.00 = 8.10
    ("a dividend is spread over what is bought after it",
     [(100, 10, 10), (100, 10, 9, Ex(cash=1.0)), (200, 9.5, 8.1), (200, 9.5, 8.09)], [False, False, False, True]),
    # a share each and 1.00: cost 10 / 2 = 5, dividends 1 / 2, 0.9 * 4.50 = 4.05
    ("a dividend with bonus shares",
     [(100, 10, 10), (200, 5, 4.05, Ex(cash=1.0, shares=1.0)), (200, 5, 4.04)], [False, False, True]),
]  # fmt: skip


@pytest.mark.parametrize(("sessions", "triggered"), [case[1:] for case in STOPS], ids=[case[0] for case in STOPS])
@pytest.mark.parametrize("restarts", [False, True])
def test_stop_on_cost(sessions, triggered, restarts):
    seen, events = stops_after(sessions, restarts=restarts)
    assert seen == triggered
    assert events == sum(after and not before for before, after in zip([False, *seen], seen, strict=False))


PEAKS = [
    ("from the highest close", [(100, 10, 12), (100, 10, 10.8), (100, 10, 10.79)], [False, False, True]),
    ("not under the cost", [(100, 10, 9.0), (100, 10, 8.99)], [False, True]),
    # (20 - 2 + 0.5 * 4) / 2.5 = 8 after a dividend, bonus and rights; 7.20 is 10 % below
    ("ex-rights", [(100, 10, 20), (250, 5, 7.2, Ex(2.0, 1.0, 0.5, 4.0)), (250, 5, 7.19)], [False, False, True]),
]


@pytest.mark.parametrize(("sessions", "triggered"), [case[1:] for case in PEAKS], ids=[case[0] for case in PEAKS])
def test_stop_on_peak(sessions, triggered):
    assert stops_after(sessions, RiskSettings(stop_on="peak"))[0] == triggered


def test_a_stop_that_is_off_never_triggers():
    assert stops_after([(100, 10, 1.0)], RiskSettings(stop=0)) == ([False], 0)


def test_the_account_adds_up():
    account = Account(1000.0, {A: Holding(10, 5, 9.0, 20.0), "600002.SH": Holding(30, 30, 9.0, 10.0)})
    assert (account.gross, account.shares[A], account.sellable[A]) == (0.5, 10, 5)


def day(n: int) -> dt.date:
    return dt.date(2018, 3, 1) + dt.timedelta(days=n)


def outcomes(blacklist, ups, settings=B):
    """Choose a stock on days 0, 1, ... and let each outcome mature 10 days later; return the states, day by day."""
    events = []
    for n, up in enumerate(ups):
        blacklist = restarted(blacklist).chose(day(n), [A])
        told = {} if up is None else {A: up}
        blacklist, happened = blacklist.step(day(n + 10), {day(n): told}, settings)
        events += happened
    return blacklist, events


def test_barred_after_three_wrong_running():
    blacklist, events = outcomes(Blacklist(), [False, False])
    assert (dict(blacklist.wrong), blacklist.barred, events) == ({A: 2}, {}, [])
    blacklist, (event,) = outcomes(blacklist, [False])
    assert blacklist.barred == {A: day(40)}
    assert (event.code, event.value, event.threshold) == (A, 3, 3)
    assert not blacklist.wrong  # it starts anew


@pytest.mark.parametrize("ups", [[False, False, True, False, False], [False, False, True]])
def test_one_right_starts_the_count_anew(ups):
    assert not outcomes(Blacklist(), ups)[0].barred


def test_an_outcome_that_could_not_be_had_counts_neither_way():
    assert outcomes(Blacklist(), [False, None, False, None, False])[0].barred


def test_barred_for_thirty_calendar_days():
    barred = Blacklist(barred={A: day(30)})
    assert restarted(barred).step(day(29), {}, B)[0].barred
    assert not barred.step(day(30), {}, B)[0].barred


def test_what_has_not_matured_waits():
    blacklist = Blacklist().chose(day(0), [A]).chose(day(5), [A])
    blacklist, _ = blacklist.step(day(30), {day(0): {A: False}}, B)
    assert blacklist.waiting == ((day(5), (A,)),)
    assert blacklist.wrong == {A: 1}


def test_nobody_is_barred_where_the_rule_is_off():
    assert outcomes(Blacklist(), [False] * 5, BlacklistSettings(wrong=0)) == (Blacklist(), [])


def watched(values, settings=W, stride=21):
    """Return the steps, counted from 1, that raised an event."""
    watch, raised = ICWatch(), []
    for n, ic in enumerate(values, 1):
        watch, events = restarted(watch).step(ic, settings, stride)
        raised += [n] * len(events)
    return raised


def test_the_mean_is_held_against_the_floor_once_it_is_complete():
    assert watched([0.04] * 19) == []
    assert watched([0.04] * 20) == [20]
    assert watched([0.05] * 60) == []  # at the floor is not under it
    assert watched([-0.9] * 20) == [20]  # signed: a strong negative IC is no comfort


def test_the_cooldown_counts_sessions_with_and_without_a_value():
    assert watched([0.0] * 60) == [20, 40, 60]
    assert watched([*[0.0] * 20, *[math.nan] * 19, 0.0]) == [20, 40]
    assert watched([*[0.0] * 20, *[math.nan] * 18, 0.0]) == [20]


def test_a_watch_that_is_off_remembers_nothing():
    assert ICWatch().step(-1.0, WatchSettings(sessions=0), 21) == (ICWatch(), [])


def test_wealth_by_hand():
    """One value below: the mean of 1.1 to 1.9; one on either side: the mean of 1 - stake squared, 1 - 2.85 / 9."""
    assert wealth(0, 0) == 1.0
    assert wealth(1, 0) == pytest.approx(1.5)
    assert wealth(1, 1) == pytest.approx(1 - 2.85 / 9)


SEQUENTIAL = WatchSettings(method="sequential")


def test_the_sequential_test_needs_seven_values_below_without_overlap():
    """The mean of 1.1^6 to 1.9^6 is 16.7, of the seventh powers 28.6; 1 / 0.05 = 20 lies between.

    The first value is that of session 1, the seventh that of session 1 + 6 * 21 = 127.
    """
    assert (wealth(6, 0), wealth(7, 0)) == pytest.approx((16.7, 28.6), abs=0.06)
    assert watched([-1.0] * 127, SEQUENTIAL) == [127]
    assert watched([-1.0] * 126, SEQUENTIAL) == []
    assert watched([0.05] * 2000, SEQUENTIAL) == []


def test_an_alarm_starts_the_sequential_test_anew():
    assert watched([-1.0] * 400, SEQUENTIAL) == [127, 254, 381]


def paths(count: int, steps: int, mean: float, seed: int) -> np.ndarray:
    """Return whether each path of independent ICs around a mean ever raises an alarm, with a look at every value."""
    normal = np.random.default_rng(seed).normal(mean, 0.15, (count, steps))
    below = np.cumsum(normal < SEQUENTIAL.ic_floor, axis=1)
    table = np.array([[wealth(b, n - b) if b <= n else 0.0 for b in range(steps + 1)] for n in range(steps + 1)])
    reached = table[np.arange(1, steps + 1), below] >= 1 / SEQUENTIAL.false_alarms
    return reached.any(axis=1)


def test_false_alarms_of_the_sequential_test_stay_under_the_stated_rate():
    """At the floor itself, the worst case, over 120 values (ten years): at most 5 % of the paths ever raise one."""
    alarms = paths(4000, 120, SEQUENTIAL.ic_floor, seed=1)
    assert 0.005 < alarms.mean() < SEQUENTIAL.false_alarms


def test_the_sequential_test_finds_a_signal_that_is_gone():
    assert paths(500, 60, -0.1, seed=2).mean() > 0.95
