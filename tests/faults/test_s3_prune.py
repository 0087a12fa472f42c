"""What is pruned on S3 when listings and readings are not whole: nothing that anybody needs."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import pytest

from batch.errors import BatchError
from batch.output.read import Retention
from batch.store import open_store
from batch.upkeep.prune import prune
from tests.faults.bench import Scenario
from tests.faults.s3_strikes import OUTPUT_URL, TORTURE, S3Bench, Strike, Trouble
from tests.faults.scenarios import published
from tests.support.proxy import Fault

START = Scenario("pruned", published("ab", "c"))


@pytest.mark.parametrize("lasts", ["once", "request", "store"] if TORTURE else ["once"])
@pytest.mark.parametrize("kind", ["behead", "truncate", "lose"])
def test_nothing_is_deleted_that_a_version_names(kind: str, lasts: str, s3: S3Bench) -> None:
    """Whichever answer is cut off: a listing that looks empty would doom everything."""
    everything = Retention(safe_age=-timedelta(days=1))
    begun = s3.start(START)
    for at in count(1):
        trouble = Trouble(kind, Fault(kind), lasts)  # type: ignore[arg-type]
        s3.proxy.decide = strike = Strike(trouble, at)
        try:
            store, retain = open_store(OUTPUT_URL), timedelta(days=30)
            prune(store, retain=retain, delete=True, retention=everything)
        except BatchError:
            assert lasts != "once"
        s3.proxy.reset()
        assert begun.watcher.look()
        if not strike.first:
            return
