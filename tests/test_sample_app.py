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

from tests.published import Output, part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.jobs import JobFolder

SCRIPT = Path(__file__).parent.parent / "scripts" / "sample_app.py"


def test_new_predictions_appear_without_a_restart(tmp_path: Path) -> None:
    """A key that has no prediction yet gets one as soon as the next version is published."""
    output = Output(tmp_path)
    output.publish(part("2013-12-01", id=["a/b ü"], prediction=[0.25]))
    with running(tmp_path) as app:
        assert app.get("/predictions/" + quote("a/b ü")) == (
            200,
            {
                "id": "a/b ü",
                "prediction": 0.25,
                "_input": "2013-12-01.csv",
                "_row": 0,
                "_as_of": "2013-12-01T00:00:00Z",
            },
        )
        status, answer = app.get("/predictions/c")
        assert status == 404
        assert "version 1 has no prediction for 'c'" in answer["error"]
        assert "/predictions" in answer["hint"]
        output.publish(part("2013-12-02", id=["c"], prediction=[0.5]))
        app.read_until("serving version 2: 2 keys")
        assert app.get("/predictions/c")[1]["prediction"] == 0.5


def test_it_says_what_it_serves(tmp_path: Path) -> None:
    """The front page shows the version, how old and how large it is, and what is wrong."""
    Output(tmp_path).publish(part("2013-12-01", id=["a"], prediction=[0.25]))
    with running(tmp_path) as app:
        status, answer = app.get("/")
        assert status == 200
        assert answer["age_seconds"] < 600
        expected = {"version": 1, "rows": 1, "stale": False, "paused": None, "last_error": None}
        assert expected.items() <= answer.items()
        # This output names a model that is not there: look-ups need none, predicting says so.
        status, answer = app.post("/predictions", {"a": 1})
        assert status == 503
        assert "does not exist" in answer["error"]


def test_several_typed_key_columns_are_a_path(tmp_path: Path) -> None:
    """Key columns are separated by slashes and read as their types; a wrong one is the asker's."""
    Output(tmp_path, key=("flight", "carrier")).publish(
        part("2013-12-01", flight=[7], carrier=["UA"], prediction=[0.25])
    )
    with running(tmp_path) as app:
        assert app.get("/predictions/7/UA")[1]["prediction"] == 0.25
        assert app.get("/predictions/8/UA")[0] == 404
        assert app.get("/predictions/seven/UA")[0] == 400
        assert app.get("/predictions/7")[0] == 400


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
        assert app.post("/predictions", "text")[0] == 400


def test_nothing_to_serve_ends_it_with_a_hint(tmp_path: Path) -> None:
    """An output without a version is an error that says what to do, and an exit code for retries."""
    command = [sys.executable, str(SCRIPT), str(tmp_path / "nowhere")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 75
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
