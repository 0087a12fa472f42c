"""Models: save one with `save_model`, check it, load it, ask it for predictions.

scikit-learn is imported only here, and nothing here knows where records come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.model.save import save_model

__all__ = ["save_model"]


def __getattr__(name: str) -> object:
    # scikit-learn and pandas take a second to import: only who saves a model pays for them.
    if name == "save_model":
        from batch.model.save import save_model

        return save_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
