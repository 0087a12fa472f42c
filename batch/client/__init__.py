"""What applications import: the live predictions, looked up by key while they keep changing.

    from batch.client import Predictions

    predictions = Predictions("/srv/predictions/flight-delays")
    predictions.start(interval=30)
    predictions.get("2013-12-01-UA1545")

Importing it loads neither pandas, scikit-learn nor click; pyarrow comes with the first load.
"""

from __future__ import annotations

from batch.client.newest import NotPublished
from batch.client.predictions import Predictions

__all__ = ["NotPublished", "Predictions"]
