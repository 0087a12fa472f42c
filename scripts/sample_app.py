"""An application: answers from the published predictions, and predicts what has none yet.

python scripts/sample_app.py OUTPUT [--port 8000] [--interval 5]
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from datetime import date
from typing import Any

import msgspec
from flask import Flask, Response, request
from werkzeug.serving import make_server

from batch.client import Predictions
from batch.errors import BadData, BatchError


def main() -> None:
    """Load predictions and model, then serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("output", metavar="OUTPUT", help="where the job publishes")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--interval", type=float, default=5, help="seconds between two looks")
    options = parser.parse_args()
    try:
        predictions = Predictions(options.output)
    except BatchError as error:
        tell(error)
        sys.exit(error.exit_code)
    changed(predictions)
    predictions.start(options.interval, on_change=changed, on_error=tell)
    server = make_server("127.0.0.1", options.port, make_app(predictions), threaded=True)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    with predictions, suppress(KeyboardInterrupt):
        server.serve_forever()


def make_app(predictions: Predictions) -> Flask:
    """The three things it answers, all from the version that is live at that moment."""
    app = Flask(__name__)

    @app.get("/")
    def about() -> Response:
        return answer(
            job=predictions.manifest.job,
            version=predictions.version,
            published_at=predictions.published_at,
            age_seconds=predictions.age.total_seconds(),
            stale=predictions.is_stale(),
            paused=predictions.paused,
            rows=predictions.key_count,
            last_error=str(predictions.last_error) if predictions.last_error else None,
        )

    @app.get("/predictions/<path:text>")
    def look_up(text: str) -> Response:
        try:
            row = predictions.get(key_of(text, predictions))
        except (TypeError, ValueError) as error:
            return answer(400, error=str(error))
        if row is None:
            return answer(
                404,
                error=f"version {predictions.version} has no prediction for {text!r}",
                hint="POST the raw record to /predictions: the same model predicts it now",
            )
        return answer(**row)

    @app.post("/predictions")
    def predict() -> Response:
        records = request.get_json(silent=True)
        many = records if isinstance(records, list) else [records]
        if not all(isinstance(record, dict) for record in many):
            return answer(400, error="expected a JSON object, or a list of objects")
        found = predictions.predict(many)
        return answer(model=predictions.manifest.model.sha256, predictions=found)

    @app.errorhandler(BatchError)
    def failed(error: BatchError) -> Response:
        status = 422 if isinstance(error, BadData) else 503
        return answer(status, error=error.message, hint=error.hint)

    return app


def key_of(text: str, predictions: Predictions) -> Any:
    """The key that a path stands for; several key columns are separated by slashes."""
    types = {column.name: column.type for column in predictions.manifest.columns}
    names = predictions.manifest.key
    texts = text.split("/", len(names) - 1)
    convert = {"int64": int, "date32[day]": date.fromisoformat}
    key = tuple(
        convert.get(types[name], str)(part) for name, part in zip(names, texts, strict=False)
    )
    return key if len(names) > 1 else key[0]


def answer(status: int = 200, /, **values: Any) -> Response:
    """JSON with times in ISO 8601."""
    return Response(msgspec.json.encode(values) + b"\n", status, mimetype="application/json")


def changed(predictions: Predictions) -> None:
    """Say what is served now, and load its model before somebody waits for it."""
    print(f"serving version {predictions.version}: {predictions.key_count} keys", flush=True)
    try:
        predictions.model()
    except BatchError as error:  # Look-ups need no model.
        tell(error)


def tell(error: Exception) -> None:
    """Say on stderr what is wrong; the last good version is served all the while."""
    hint = error.hint if isinstance(error, BatchError) else ""
    print(f"sample_app: {error}\n{hint}".rstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
