"""Requests that were given up arrive late, after others did their work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.bench import RUN, Folder, OpenOutput, Scenario
from tests.faults.bench import Command as Typed
from tests.faults.faulty import Operation, Watched
from tests.faults.s3_strikes import TORTURE, S3Bench
from tests.faults.scenarios import adding, published, then
from tests.support.proxy import Fault, Rule

START = Scenario("given-up", then(published("ab"), adding("cd")), keeps_work=False)
#: What is put in the course of a run.
PUTS = {
    "part": "/out/data/",
    "rejects": "/out/rejects/",
    "plan": "plan.json",
    "receipt": "/00000.json",
    "ledger": "/out/ledger/",
    "manifest": "/out/manifests/",
    "pointer": "/out/manifest.json",
    "record": "/out/runs/",
    "heartbeat": "/out/heartbeat.json",
}
DECISIVE = {"part", "rejects", "plan", "receipt", "ledger", "manifest"}


def give_up(s3: S3Bench, path: str) -> Rule:
    """From now on these puts do not arrive, and nobody says so."""
    rule = Rule(Fault("hold"), method="PUT", path=path, times=None)
    s3.proxy.rules.append(rule)
    return rule


@pytest.mark.parametrize("what", PUTS if TORTURE else ["receipt", "manifest", "pointer"])
@pytest.mark.parametrize("more", ["", "ef"] if TORTURE else ["ef"])
def test_what_was_given_up_may_arrive_after_the_next_run(what: str, more: str, s3: S3Bench) -> None:
    """Then it changes nothing: another one is there, or nobody asks for it."""
    begun = s3.start(START)
    give_up(s3, PUTS[what])
    assert begun.perform([RUN]) == (75 if what in DECISIVE else 0)
    s3.proxy.rules.clear()
    begun.job.add_inputs(more)
    assert begun.perform([RUN]) == 0
    before = begun.judged
    statuses = set(s3.proxy.release())
    if what in {"manifest", "pointer", "heartbeat"}:
        assert statuses == {412}
    assert begun.watcher.look() is before
    begun.end()


@pytest.mark.parametrize("what", sorted(DECISIVE) if TORTURE else ["ledger", "plan"])
def test_what_was_given_up_may_arrive_before_the_next_run(what: str, s3: S3Bench) -> None:
    """Then it is taken for what it is."""
    begun = s3.start(START)
    give_up(s3, PUTS[what])
    assert begun.perform([RUN]) == 75
    s3.proxy.rules.clear()
    assert s3.proxy.release()[0] == 200
    begun.end()


@pytest.mark.parametrize("more", ["", "ef"], ids=["alone", "with-more-input"])
def test_a_manifest_that_was_given_up_may_arrive_just_before_the_next_one(
    more: str, s3: S3Bench
) -> None:
    """The next run finds the number taken, by its own plan or by another one."""

    def arriving(job: Folder, open_output: OpenOutput) -> int:
        statuses = list[int]()

        @contextmanager
        def around(operation: Operation) -> Iterator[None]:
            if operation.verb == "create" and operation.path.startswith("manifests"):
                statuses.extend(s3.proxy.release())
            yield

        code = job.run(open_output=lambda job: Watched(open_output(job), around)).exit_code
        assert statuses[0] == 200
        return code

    begun = s3.start(START)
    give_up(s3, PUTS["manifest"])
    assert begun.perform([RUN]) == 75
    s3.proxy.rules.clear()
    begun.job.add_inputs(more)
    assert begun.perform([Typed(arriving)]) in {0, 75}
    begun.end()


def test_what_is_unknown_is_left_alone(s3: S3Bench) -> None:
    """No other number is tried, and nothing is deleted: the version may be there."""
    begun = s3.start(START)
    s3.proxy.rules += [
        Rule(Fault("lose"), method="PUT", path="/out/manifests/", times=None),
        Rule(
            Fault("answer", 503), method="GET", path="/out/manifests/0000000002", skip=2, times=None
        ),
    ]
    assert begun.perform([RUN]) == 75
    asked = s3.proxy.requests
    assert not [request for request in asked if request.method in {"DELETE", "POST"}]
    tried = {
        request.path
        for request in asked
        if request.method == "PUT" and "/manifests/" in request.path
    }
    assert len(tried) == 1
    s3.proxy.reset()
    begun.end()


@pytest.mark.parametrize("status", [412, 503])
@pytest.mark.parametrize("path", ["/out/manifest.json", "/out/runs/"])
def test_what_cannot_be_written_is_not_tried_for_ever(path: str, status: int, s3: S3Bench) -> None:
    """The version is there: the pointer and the record of the run are left behind."""
    begun = s3.start(START)
    rule = Rule(Fault("answer", status), method="PUT", path=path, times=30)
    s3.proxy.rules.append(rule)
    assert begun.perform([RUN]) == 0
    assert rule.seen < 30
    s3.proxy.reset()
    begun.end()
