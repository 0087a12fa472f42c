"""An application: answers from the published predictions, and predicts what has none yet.

python scripts/sample_app.py OUTPUT [--port 8000] [--interval 5]
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any

import msgspec
from flask import Flask, Response, request
from werkzeug.serving import make_server

from batch.client import Predictions
from batch.errors import BadData, BatchError


def main() -> None:
    """Load predictions and model, then serve until interrupted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", metavar="OUTPUT", help="where the job publishes")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--interval", type=float, default=5, help="seconds between two looks")
    options = parser.parse_args()
    try:
        predictions = Predictions(options.output)
    except BatchError as error:
        print(f"sample_app: {error}\n{error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    announce(predictions)
    predictions.start(options.interval, on_change=announce)
    server = make_server("127.0.0.1", options.port, make_app(predictions), threaded=True)
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    with predictions, suppress(KeyboardInterrupt):
        server.serve_forever()


def announce(predictions: Predictions) -> None:
    """Say what is served now, and load its model before somebody waits for it."""
    print(f"serving version {predictions.version}: {predictions.key_count} keys", flush=True)
    try:
        predictions.model()
    except BatchError as error:  # Look-ups need no model.
        print(f"sample_app: {error}", file=sys.stderr, flush=True)


def make_app(predictions: Predictions) -> Flask:
    """The three things it answers, each from the version that is live at that moment."""
    app = Flask(__name__)

    @app.get("/")
    def about() -> Response:
        error = predictions.last_error
        return answer(
            version=predictions.version,
            published_at=predictions.published_at,
            age_seconds=predictions.age.total_seconds(),
            stale=predictions.is_stale(),
            paused=predictions.paused,
            rows=predictions.key_count,
            last_error=error and str(error),
        )

    @app.get("/predictions/<path:text>")
    def look_up(text: str) -> Response:
        try:
            row = predictions.get(parse_key(text, predictions))
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
        body = request.get_json(silent=True)
        records: list[Any] = body if isinstance(body, list) else [body]
        if not all(isinstance(record, dict) for record in records):
            return answer(400, error="expected a JSON object, or a list of objects")
        return answer(predictions=predictions.predict(records))

    @app.errorhandler(BatchError)
    def failed(error: BatchError) -> Response:
        return answer(422 if isinstance(error, BadData) else 503, error=str(error), hint=error.hint)

    return app


def parse_key(text: str, predictions: Predictions) -> Any:
    """The key that a path stands for; several key columns are separated by slashes."""
    types = {column.name: column.type for column in predictions.manifest.columns}
    names = predictions.manifest.key
    key = [
        int(part) if types[name] == "int64" else part
        for name, part in zip(names, text.split("/", len(names) - 1), strict=False)
    ]
    return key[0] if len(names) == 1 else tuple(key)


def answer(status: int = 200, /, **values: Any) -> Response:
    """JSON, with times in ISO 8601."""
    return Response(msgspec.json.encode(values) + b"\n", status, mimetype="application/json")


if __name__ == "__main__":
    main()
