"""The type of a key: one of the wrong type is an error, not a silent miss."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from batch.errors import DoesNotFit

if TYPE_CHECKING:
    import pyarrow as pa


class KeyType:
    """The names and Python types of the key columns.

    `python` is the type of the whole key: the value of the only key column, or a tuple.
    `is_integer`: a single column of integers that an int64 holds.
    """

    def __init__(self, fields: list[pa.Field]) -> None:
        import pyarrow as pa

        self.names = tuple(field.name for field in fields)
        self._types = tuple(_python_type(field) for field in fields)
        self._zoned = tuple(getattr(field.type, "tz", None) is not None for field in fields)
        self.is_tuple = len(fields) > 1
        self.python = tuple if self.is_tuple else self._types[0]
        self.is_integer = self.python is int and fields[0].type != pa.uint64()
        #: Whether being of type `python` is all there is to check.
        self.is_plain = not self.is_tuple and self.python is not datetime

    def check(self, key: Any) -> None:
        """Raises TypeError for a key that no row could have."""
        parts = key if self.is_tuple and type(key) is tuple else (key,)
        if len(parts) != len(self._types) or not all(map(_is, parts, self._types, self._zoned)):
            raise TypeError(
                f"key {key!r}: found {type(key).__name__}, expected {self._described()}"
            )

    def _described(self) -> str:
        columns = [
            f"{kind.__name__} ({name}{_ZONE[zoned] if kind is datetime else ''})"
            for name, kind, zoned in zip(self.names, self._types, self._zoned, strict=True)
        ]
        return f"a tuple of {', '.join(columns)}" if self.is_tuple else columns[0]


_ZONE = {True: ", with a time zone", False: ", without a time zone"}


def _is(part: Any, kind: type[Any], zoned: bool) -> bool:
    # Not isinstance: a bool is an int, and subclasses may hash unlike the value they hold.
    return type(part) is kind and (kind is not datetime or (part.tzinfo is not None) == zoned)


def _python_type(field: pa.Field) -> type:
    import pyarrow as pa

    is_, kind = pa.types, field.type
    kinds: list[tuple[type, bool]] = [
        (str, is_.is_string(kind) or is_.is_large_string(kind)),
        (int, is_.is_integer(kind)),
        (bool, is_.is_boolean(kind)),
        (float, is_.is_floating(kind)),
        (datetime, is_.is_timestamp(kind)),
        (date, is_.is_date(kind)),
        (bytes, is_.is_binary(kind) or is_.is_large_binary(kind)),
        (Decimal, is_.is_decimal(kind)),
    ]
    for python, holds in kinds:
        if holds:
            return python
    raise DoesNotFit(f"key column {field.name}: keys of type {kind} cannot be looked up")
