"""Make data or a model, in a process of its own: `making data JSON FOLDER`, `making model NAME FOLDER`.

Whoever measures stays small: what it holds in memory would be copied, mapped and counted with
whatever it starts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.benchmark.data import Data, write_data


def main(kind: str, text: str, folder: Path) -> None:
    """Fill a new folder."""
    if kind == "data":
        write_data(Data(**json.loads(text)), folder)
        return
    from scripts.benchmark.models import save

    folder.mkdir(parents=True)
    save(text, folder / "model.joblib")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
