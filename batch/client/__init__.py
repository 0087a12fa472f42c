"""What applications import: the live predictions, looked up by key while new versions arrive.

    from batch.client import Predictions

    predictions = Predictions("/srv/predictions/flight-delays")
    predictions.start(interval=30)
    predictions.get("2013-12-01-UA1545")

Nothing here writes to OUTPUT or loads pydantic, click, boto3 for local outputs, or pandas and
scikit-learn before they are asked for; pyarrow is loaded with the first version.
"""

from __future__ import annotations

from batch.client.newest import NotPublished
from batch.client.predictions import Predictions

__all__ = ["NotPublished", "Predictions"]
