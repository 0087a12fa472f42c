from __future__ import annotations

import http.client
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.jobs import JobFolder

SCRIPT = Path(__file__).parents[2] / "scripts" / "sample_app.py"


def test_new_predictions_appear_without_a_restart(job: JobFolder) -> None:
    """A key that has no prediction yet gets one as soon as the next version is published."""
    job.configure(input={"path": "data/{date}.csv"})
    job.add("2013-12-01.csv", [("b ü", 0.5, 1)])
    job.run()
    with running(job.output) as app:
        status, row = app.get("/predictions/" + quote("b ü"))
        assert status == 200
        assert row.items() >= {"id": "b ü", "_input": "2013-12-01.csv", "_row": 0,
                               "_as_of": "2013-12-01T00:00:00+00:00"}.items()  # fmt: skip
        assert row["prediction"] == job.expected("2013-12-01.csv", 0)["prediction"]
        status, answer = app.get("/predictions/c")
        assert status == 404
        assert answer["error"] == "no prediction for 'c'"
        assert "/predictions" in answer["hint"]
        job.add("2013-12-02.csv", [("c", 0.5, 1)])
        job.run()
        app.read_until("serving version 2: 2 keys")
        assert app.get("/predictions/c")[0] == 200


def test_it_says_what_it_serves(job: JobFolder) -> None:
    """The front page shows the version, how old and how large it is, and what is wrong."""
    job.add("a.csv", [("a", 0.5, 1)])
    job.run()
    with running(job.output) as app:
        status, answer = app.get("/")
        assert status == 200
        assert answer["age_seconds"] < 600
        expected = {"version": 1, "keys": 1, "stale": False, "last_error": ""}
        assert expected.items() <= answer.items()


def test_what_has_no_prediction_is_predicted_with_the_same_model(job: JobFolder) -> None:
    """Raw records go in, alone or in a list, and come back as a run would have predicted them."""
    job.add("a.csv", [("a", 0.5, 1)])
    job.run()
    with running(job.output) as app:
        published = app.get("/predictions/a")[1]
        record = {"id": "new", "x": 0.5, "y": 1}
        for body, count in ((record, 1), ([record, record], 2)):
            status, answer = app.post("/predictions", body)
            assert status == 200
            found = [row["probability_yes"] for row in answer["predictions"]]
            assert found == pytest.approx([published["probability_yes"]] * count, rel=1e-12)
        status, answer = app.post("/predictions", {"x": "much", "y": 1})
        assert status == 422
        assert "column 'x'" in answer["error"]


def test_nothing_to_serve_ends_it_with_a_hint(tmp_path: Path) -> None:
    """An output without a version is an error that says what to do, and an exit code for retries."""
    command = [sys.executable, str(SCRIPT), str(tmp_path / "nowhere")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "nothing is published here yet\nrun the job" in ended.stderr


class App:
    """The running application, seen from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._address = urlsplit(self.read_until("listening on ").removeprefix("listening on "))

    def read_until(self, start: str) -> str:
        """The next line that it prints which begins like this."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(start):
                return line.strip()
        raise AssertionError(f"it ended without saying {start!r}")

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        return self._ask("GET", path)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of a POST of JSON."""
        return self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        assert self._address.hostname == "127.0.0.1"
        connection = http.client.HTTPConnection("127.0.0.1", self._address.port, timeout=30)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@contextmanager
def running(output: Path) -> Iterator[App]:
    """The sample application on a free port of this host, looking for versions all the time."""
    command = [sys.executable, str(SCRIPT), str(output), "--port", "0", "--interval", "0.02"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield App(process)
        finally:
            process.terminate()
