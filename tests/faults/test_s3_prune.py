"""What is pruned on S3 when listings and readings are not whole: nothing that anybody needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from batch.errors import BatchError
from batch.store import open_store
from batch.upkeep import prune as pruning
from tests.faults.bench import Scenario
from tests.faults.s3_bench import OUTPUT_URL, TORTURE, S3Bench, Strike, Trouble
from tests.faults.starts import published
from tests.support.proxy import Fault

START = Scenario("pruned", published("ab", "c"))


@pytest.fixture(scope="module")
def bench(tiny_model: Path) -> Iterator[S3Bench]:
    """One server for all tests of this module."""
    with S3Bench.open(tiny_model) as opened:
        yield opened


@pytest.mark.parametrize("lasts", ["once", "request", "store"] if TORTURE else ["once"])
@pytest.mark.parametrize("kind", ["behead", "truncate", "lose"])
def test_nothing_is_deleted_that_a_version_names(
    kind: str, lasts: str, bench: S3Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever answer is cut off: a listing that looks empty would doom everything."""
    monkeypatch.setattr(pruning, "SAFE_AGE", -timedelta(days=1))
    begun = bench.start(START)
    for at in count(1):
        trouble = Trouble(kind, Fault(kind), lasts)  # type: ignore[arg-type]
        bench.proxy.decide = strike = Strike(trouble, at)
        try:
            pruning.prune(open_store(OUTPUT_URL), retain=timedelta(days=30), delete=True)
        except BatchError:
            assert lasts != "once"
        bench.proxy.reset()
        assert begun.watcher.look()
        if not strike.first:
            return
