"""An application: serves published predictions, and predicts records that have none yet.

python scripts/sample_app.py OUTPUT [--port 8000] [--interval 5]
"""

from __future__ import annotations

import sys
from typing import Any

import click
from flask import Flask, request
from werkzeug.serving import make_server

from batch.client import Predictions
from batch.errors import BadData, BatchError


@click.command()
@click.argument("output")
@click.option("--port", default=8000, help="0 picks a free one.")
@click.option("--interval", default=5.0, help="Seconds between checks for a new version.")
def main(output: str, port: int, interval: float) -> None:
    """Load predictions and model, then serve until interrupted."""
    try:
        predictions = Predictions(output)
        predictions.model()
    except BatchError as error:
        sys.exit(f"sample_app: {error.message}\n{error.hint}")
    announce(predictions)
    predictions.start(interval, on_change=announce)
    server = make_server("127.0.0.1", port, make_app(predictions), threaded=True)
    print(f"listening on http://127.0.0.1:{server.port}/", flush=True)
    server.serve_forever()


def announce(predictions: Predictions) -> None:
    """Print the version that is served now."""
    print(f"serving version {predictions.version}: {predictions.key_count} keys", flush=True)


def make_app(predictions: Predictions) -> Flask:
    """Three routes, each answering from the version that is live at that moment."""
    app = Flask(__name__)

    @app.get("/")
    def about() -> dict[str, Any]:
        return {
            "version": predictions.version,
            "published_at": predictions.published_at.isoformat(),
            "age_seconds": round(predictions.age.total_seconds()),
            "stale": predictions.is_stale(),
            "keys": predictions.key_count,
            "last_error": str(predictions.last_error or ""),
        }

    @app.get("/predictions/<key>")
    def look_up(key: str) -> Any:
        found = predictions.get(key)
        if found is None:
            hint = "POST the raw record to /predictions: the same model predicts it now"
            return {"error": f"no prediction for {key!r}", "hint": hint}, 404
        return found | {"_as_of": found["_as_of"].isoformat()}

    @app.post("/predictions")
    def predict() -> dict[str, Any]:
        body: Any = request.get_json(silent=True)
        records: list[Any] = body if isinstance(body, list) else [body]
        if not all(isinstance(record, dict) for record in records):
            raise BadData("expected a record as a JSON object, or a list of them")
        return {"predictions": predictions.predict(records)}

    @app.errorhandler(BatchError)
    def refused(error: BatchError) -> Any:
        return {"error": error.message, "hint": error.hint}, 422

    return app


if __name__ == "__main__":
    main()
