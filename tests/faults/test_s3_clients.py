"""An application reads from S3 while anything may go wrong: what it serves is a whole version."""

from __future__ import annotations

import copy
from collections import Counter

import pytest

from batch.client import Predictions
from batch.errors import BatchError
from tests.faults.bench import Round, Scenario
from tests.faults.s3_strikes import OUTPUT_URL, TORTURE, S3Bench, Strike, Trouble
from tests.faults.scenarios import published
from tests.faults.test_s3_faults import TROUBLES
from tests.faults.watching import _comparable, judge

START = Scenario("served", published("ab"))
by_trouble = pytest.mark.parametrize(
    "trouble",
    TROUBLES if TORTURE else TROUBLES[::2],
    ids=lambda trouble: trouble.name.replace(" ", "-"),
)


@pytest.fixture(scope="module")
def served(s3: S3Bench) -> tuple[Round, Predictions]:
    """An application that serves the first version, when a second one is published."""
    begun = s3.start(START)
    predictions = Predictions(OUTPUT_URL)
    begun.job.add_inputs("cd")
    assert begun.perform(START.commands) == 0
    return begun, predictions


def is_whole(predictions: Predictions, begun: Round) -> bool:
    """Whether it serves exactly the rows of the version that it says."""
    found = Counter(map(_comparable, predictions.table(all_rows=True).to_pylist()))
    return found == judge(begun.job, begun.watcher.versions[predictions.version]).served


@by_trouble
def test_a_refresh_ends_in_a_whole_version(
    trouble: Trouble, served: tuple[Round, Predictions], s3: S3Bench
) -> None:
    """The old one with an error, or the new one; and the next refresh mends it."""
    begun, before = served
    for at in range(1, 100):
        predictions = copy.copy(before)
        s3.proxy.decide = strike = Strike(trouble, at)
        changed = predictions.refresh()
        s3.proxy.reset()
        assert is_whole(predictions, begun)
        assert predictions.version == (2 if changed else 1)
        assert changed or (strike.first and predictions.last_error)
        assert strike.first or at > 1 or trouble.only.startswith("^PUT")
        if trouble.lasts == "once":
            assert changed
        predictions.refresh()
        assert (predictions.version, predictions.last_error) == (2, None)
        assert is_whole(predictions, begun)
        if not strike.first:
            return
    pytest.fail("a refresh takes a few requests")


@by_trouble
def test_an_application_starts_with_a_whole_version_or_not_at_all(
    trouble: Trouble, served: tuple[Round, Predictions], s3: S3Bench
) -> None:
    """It is told what is wrong."""
    begun, _ = served
    for at in range(1, 100):
        s3.proxy.decide = strike = Strike(trouble, at)
        try:
            predictions = Predictions(OUTPUT_URL)
        except BatchError as error:
            assert trouble.lasts != "once"
            assert OUTPUT_URL in error.message
            assert error.exit_code in {69, 75, 77}
        else:
            assert predictions.version == 2
            assert is_whole(predictions, begun)
        s3.proxy.reset()
        if not strike.first:
            return
    pytest.fail("a start takes a few requests")
