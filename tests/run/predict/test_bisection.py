"""Records that the model raises on are found, and cost little."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import BatchError, DoesNotFit
from batch.records.chunk import UnreadableInput
from batch.run.predict.batches import Scored, score_all


class Model:
    """Predicts the double of x, raises where x is bad, and counts how often it is asked."""

    def __init__(self, bad: set[int], error: type[BaseException] = ValueError) -> None:
        self.bad = bad
        self.error = error
        self.calls = 0

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.calls += 1
        assert batch.num_rows > 0
        found = sorted(self.bad & {*batch["x"].to_pylist()})
        if found:
            raise self.error(f"x is {found[0]}")
        return pa.record_batch({"y": [2 * x for x in batch["x"].to_pylist()]})


def records(count: int) -> pa.RecordBatch:
    """As many numbers x, from 0."""
    return pa.record_batch({"x": list(range(count))})


def pairs(scored: Scored) -> dict[int, int]:
    """Position → prediction."""
    predictions = scored.predictions["y"].to_pylist() if scored.predictions is not None else []
    positions = scored.positions or pa.array(range(len(predictions)))
    return dict(zip(positions.to_pylist(), predictions, strict=True))


def test_a_model_that_does_not_raise_is_asked_once() -> None:
    """All predictions at their positions."""
    model = Model(set())
    scored = score_all(records(1000), model)
    assert model.calls == 1
    assert pairs(scored) == {x: 2 * x for x in range(1000)}
    assert scored.failures == []


@pytest.mark.parametrize("bad", [0, 1, 499, 500, 998, 999])
def test_one_bad_record_costs_a_logarithm(bad: int) -> None:
    """Two calls for each halving, and a few to see that the model works at all."""
    model = Model({bad})
    scored = score_all(records(1000), model)
    assert model.calls <= 1 + 2 * math.ceil(math.log2(1000)) + 8
    assert scored.failures == [(bad, f"the model raised ValueError: x is {bad}")]
    assert pairs(scored) == {x: 2 * x for x in range(1000) if x != bad}


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=40), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_exactly_the_bad_records_fail(count: int, scattered: set[int], run: int) -> None:
    """Each with its own reason, in order, whatever their number and place."""
    bad = {x + step for x in scattered for step in range(run)} & {*range(count)}
    model = Model(bad)
    try:
        scored = score_all(records(count), model)
    except UnreadableInput:
        assert len(bad) >= 8
        assert count > 64
        return
    assert scored.failures == [(x, f"the model raised ValueError: x is {x}") for x in sorted(bad)]
    assert pairs(scored) == {x: 2 * x for x in range(count) if x not in bad}
    if bad:
        assert model.calls <= 9 + 2 * len(bad) * math.ceil(math.log2(count) + 1)


def test_a_model_that_raises_on_everything_is_asked_a_few_times() -> None:
    """Then the input is unreadable, with the reason."""
    model = Model({*range(100_000)})
    with pytest.raises(
        UnreadableInput, match="every record tried: the model raised ValueError: x is 0"
    ):
        score_all(records(100_000), model)
    assert model.calls <= 10


def test_half_of_the_records_may_be_bad() -> None:
    """Also if they stand together: the model works on the others."""
    for bad in ({*range(100)}, {*range(100, 200)}, {*range(0, 200, 2)}):
        scored = score_all(records(200), Model(bad))
        assert [position for position, _ in scored.failures] == sorted(bad)


@pytest.mark.parametrize("count", [1, 2, 64])
def test_few_records_are_all_tried(count: int) -> None:
    """Each gets its reason; whether it is too many is for others to judge."""
    scored = score_all(records(count), Model({*range(count)}))
    assert scored.predictions is None
    assert len(scored.positions) == 0
    assert [position for position, _ in scored.failures] == list(range(count))


@pytest.mark.parametrize("error", [DoesNotFit, BatchError, MemoryError, KeyboardInterrupt])
def test_what_is_no_matter_of_a_record_passes_through(error: Any) -> None:
    """A hook that breaks the rules, no memory, or a person: at once."""
    model = Model({3}, error)
    with pytest.raises(error):
        score_all(records(1000), model)
    assert model.calls == 1


def test_reasons_are_cut() -> None:
    """Some libraries put the whole table into their message."""

    class Wordy(Exception):
        """Says too much."""

        def __str__(self) -> str:
            return "\n" + "x" * 10_000

    scored = score_all(records(2), Model({0}, Wordy))
    assert scored.failures == [(0, "the model raised Wordy: " + "x" * 500)]


def by_row(answers: dict[int, Any]) -> Any:
    """A model that raises on a whole batch, and gives a column of its own for single records."""

    def score(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows > 1:
            raise ValueError("one by one")
        return pa.record_batch(answers[batch["x"][0].as_py()])

    return score


def test_answers_of_several_types_become_one() -> None:
    """A chunk without a fraction may give whole numbers, one without text nulls."""
    scored = score_all(records(3), by_row({0: {"y": [1]}, 1: {"y": [0.5]}, 2: {"y": pa.nulls(1)}}))
    assert scored.predictions is not None
    assert scored.predictions["y"].to_pylist() == [1.0, 0.5, None]


@pytest.mark.parametrize(
    "answers", [{0: {"y": [1]}, 1: {"y": ["a"]}}, {0: {"y": [1]}, 1: {"y": [1], "z": [1]}}]
)
def test_answers_that_do_not_go_together_stop_the_run(answers: dict[int, Any]) -> None:
    """Other columns, or text beside numbers: the hooks break the rules."""
    with pytest.raises(DoesNotFit, match="the model returned y int64, elsewhere y "):
        score_all(records(2), by_row(answers))
