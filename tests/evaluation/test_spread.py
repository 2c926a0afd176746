from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blemish.errors import DataError
from blemish.evaluation.scorecard import METRICS, ProductScore, Scorecard
from blemish.evaluation.spread import Estimate, Spread
from blemish.evaluation.spread_tables import spread_markdown, spread_text

pytestmark = pytest.mark.core

NOTHING = dict.fromkeys(
    ("i_auroc", "i_ap", "i_f1max", "p_auroc", "p_ap", "p_f1max", "f1_threshold", "aupro_30", "aupro_05")
)
RATES = dict.fromkeys(("retrieval_accuracy", "false_alarms", "recall", "requested_rate", "effective_rate"))


def card(protocol: str = "honest", **products: dict[str, Any]) -> Scorecard:
    """Products with some of their metrics."""
    scores = tuple(
        ProductScore(
            **{**NOTHING, **RATES, "normals": 1, "defectives": 1, "without_mask": 0, "product": name, **metrics}
        )
        for name, metrics in sorted(products.items())
    )
    return Scorecard(protocol, scores, None, None, (), {})


CARDS = [
    card(nut={"i_auroc": 0.9, "accuracy": 0.5}, bolt={"i_auroc": 0.7}),
    card(nut={"i_auroc": 0.8, "accuracy": 0.7}, bolt={"i_auroc": 0.7}),
    card(nut={"i_auroc": 1.0, "accuracy": None}, bolt={"i_auroc": 0.7}),
]


def test_means_and_deviations_over_runs() -> None:
    spread = Spread.of(CARDS)
    assert (spread.runs, spread.protocol, list(spread.products)) == (3, "honest", ["bolt", "nut"])
    nut = spread.products["nut"]
    assert nut["i_auroc"].mean == pytest.approx(0.9)
    assert nut["i_auroc"].sd == pytest.approx(0.1)
    assert nut["accuracy"].values == (0.5, 0.7, None)
    assert nut["accuracy"].mean == pytest.approx(0.6)
    assert nut["accuracy"].sd == pytest.approx(math.sqrt(0.02))
    assert spread.products["bolt"]["i_auroc"].sd == pytest.approx(0, abs=1e-12)
    assert spread.mean["i_auroc"].values == pytest.approx((0.8, 0.75, 0.85))
    assert spread.mean["i_auroc"].sd == pytest.approx(0.05)
    assert (nut["miou"].mean, nut["miou"].sd) == (None, None)
    assert spread.shown() == ["i_auroc", "accuracy"]


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=8))
def test_any_values(values: list[float | None]) -> None:
    (nut,) = Spread.of([card(nut={"miou": value}) for value in values]).products.values()
    known = [value for value in values if value is not None]
    assert nut["miou"].mean == (pytest.approx(np.mean(known)) if known else None)
    assert nut["miou"].sd == (pytest.approx(stdev(known)) if len(known) > 1 else None)


@pytest.mark.parametrize(
    ("values", "shown"),
    [((0.868, 0.868), "86.8 ± 0.0"), ((0.5,), "50.0"), ((0.5, None), "50.0"), ((None,), "–"), ((), "–")],
)
def test_estimates_in_words(values: tuple[float | None, ...], shown: str) -> None:
    assert str(Estimate(values)) == shown


def test_a_product_that_a_run_lacks_has_no_value_there() -> None:
    spread = Spread.of([card(nut={"i_ap": 0.5}), card(bolt={"i_ap": 0.7})])
    assert spread.products["nut"]["i_ap"].values == (0.5, None)
    assert spread.mean["i_ap"].values == (0.5, 0.7)


@pytest.mark.parametrize("cards", [[], [card(nut={}), card("paper (transductive)", nut={})]])
def test_runs_that_have_no_spread(cards: list[Scorecard]) -> None:
    with pytest.raises(DataError, match="no spread"):
        Spread.of(cards)


def test_json_round_trip(tmp_path: Path) -> None:
    spread = Spread.of(CARDS, {"shots": [2, 1]})
    assert Spread.from_dict(json.loads(json.dumps(spread.to_dict(), allow_nan=False))) == spread
    spread.save(tmp_path / "spread.json")
    assert Spread.load(tmp_path / "spread.json") == spread
    written = json.loads((tmp_path / "spread.json").read_text(encoding="utf-8"))
    assert written["products"]["nut"]["i_auroc"]["sd"] == pytest.approx(0.1)
    assert list(written["mean"]) == list(METRICS)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "No such file"), ("{", "Cannot read"), ("[]", "not a"), ('{"schema_version": 9}', "later")],
)
def test_an_unusable_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "s.json").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        Spread.load(tmp_path / "s.json")
    assert "s.json" in str(caught.value)


def test_terminal_and_markdown() -> None:
    text = spread_text(Spread.of(CARDS))
    assert "mean ± standard deviation of 3 runs in percent, protocol honest" in " ".join(text.split())
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert {"nut 90.0 ± 10.0", "mean 80.0 ± 5.0", "nut 60.0 ± 14.1"} <= set(lines)
    page = spread_markdown(Spread.of(CARDS))
    assert "| product | image AUROC | accuracy |\n| --- | ---: | ---: |\n| bolt | 70.0 ± 0.0 | – |" in page
    assert "| nut | 90.0 ± 10.0 |" in spread_markdown(Spread.of(CARDS), ["i_auroc"])


def test_many_metrics_fit_the_terminal_and_one_product_needs_no_mean() -> None:
    everything = {name: 0.987 for name in METRICS if name not in ("false_alarm_rate", "recall_rate")}
    cards = [card(**{"a_product|of [many] words": everything}), card(**{"a_product|of [many] words": everything})]
    text = spread_text(Spread.of(cards))
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("98.7 ± 0.0") == len(everything)
    assert "\nmean" not in text.replace(" ", "")
    assert r"a\_product\|of \[many\] words" in spread_markdown(Spread.of(cards))


def test_one_run_has_no_deviation() -> None:
    assert "±" not in spread_text(Spread.of(CARDS[:1]))
    assert Spread.of([replace(CARDS[0], protocol="paper (transductive)")]).protocol == "paper (transductive)"
