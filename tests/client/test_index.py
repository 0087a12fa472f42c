from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.client import Predictions
from batch.client.index import key_index
from batch.client.key_hash import MODULUS, SPREAD, TEXT_BITS, text_hashes
from batch.output.latest import earliest_first
from tests.support.published import Output, part

if TYPE_CHECKING:
    from pathlib import Path

ANY_TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(ANY_TEXTS, st.sampled_from([pa.string(), pa.large_string()]), st.integers(0, 3))
def test_a_column_of_texts_is_hashed_as_python_hashes_each(
    texts: list[str], kind: pa.DataType, skipped: int
) -> None:
    """Of any length and script, and of a slice too, the hash is that of the lookup's formula."""
    found = text_hashes(pa.array(texts, kind)[skipped:]).tolist()
    wanted = [int.from_bytes(text.encode()) * SPREAD % MODULUS for text in texts[skipped:]]
    assert found == wanted
    assert MODULUS.bit_length() == TEXT_BITS


def test_long_texts_beside_short_ones_are_hashed_right() -> None:
    """One long text among many short ones, and more texts than one chunk holds."""
    texts = [*map(str, range(70_000)), "x" * 10_000, ""]
    wanted = [int.from_bytes(text.encode()) * SPREAD % MODULUS for text in texts]
    assert text_hashes(pa.array(texts, pa.string())).tolist() == wanted


@given(st.data())
def test_every_row_that_is_the_latest_of_its_key_is_found(data: st.DataObject) -> None:
    """Whatever keys repeat in whatever order, both lookups give the latest row of each."""
    kinds = {
        "int": (pa.int64(), st.integers(-3, 3)),
        "big": (pa.int64(), st.sampled_from([-(2**63), 2**63 - 1, 0])),
        "text": (pa.string(), st.text("aé\0", max_size=3)),
        "bytes": (pa.binary(), st.binary(max_size=1)),
    }
    kind, values = kinds[data.draw(st.sampled_from(list(kinds)))]
    keys = data.draw(st.lists(values, max_size=12))
    order = np.array(data.draw(st.permutations(range(len(keys)))), np.int64)
    latest = {keys[row]: row for row in order.tolist()}
    index = key_index(pa.table({"key": pa.array(keys, kind)}), ["key"], order)
    asked = [*keys, data.draw(values)]
    assert [index.find(key) for key in asked] == [latest.get(key) for key in asked]
    assert index.find_many(asked).tolist() == [latest.get(key, -1) for key in asked]
    assert index.rows.tolist() == [row for row in order.tolist() if row in latest.values()]
    assert len(index) == len(latest)


@pytest.mark.parametrize("named", ["{0:06}", "customer-{0}", "{0}"])
def test_keys_that_follow_each_other_do_not_share_buckets(named: str) -> None:
    """Numbered texts, short ones too, spread as random ones would."""
    texts = pa.array([named.format(number) for number in range(50_000)])
    index = key_index(pa.table({"key": texts}), ["key"], np.arange(50_000))
    assert np.diff(index._start_array).max() < 10


def test_half_a_character_finds_nothing(tmp_path: Path) -> None:
    """A lone surrogate is a str that no column can hold, and no error."""
    output = Output(tmp_path)
    output.publish(part("2013-12-01", id=["a", ""], prediction=[0.5, 0.25]))
    predictions = Predictions(tmp_path)
    assert predictions.get("\ud800") is None
    assert [row and row["id"] for row in predictions.get_many(["\ud800", "a", ""])] == [
        None,
        "a",
        "",
    ]


def test_an_empty_text_is_not_a_missing_one(tmp_path: Path) -> None:
    """A key of null, should there be one, is no empty text."""
    output = Output(tmp_path)
    output.publish(part("2013-12-01", id=["a", None], prediction=[0.5, 0.25]))
    predictions = Predictions(tmp_path)
    assert predictions.get("") is None
    assert predictions.get_many(["", "a"]) == [None, predictions.get("a")]


def test_columns_of_any_name_are_given(tmp_path: Path) -> None:
    """Names that are no identifiers, or look like code, are names and nothing else."""
    names = ["probability_ü x", 'a"b', "it's", "{row}", "key", "\\", "c0", "new\nline"]
    output = Output(tmp_path)
    columns = {name: [number + 0.5] for number, name in enumerate(names)}
    output.publish(part("2013-12-01", id=["a"], **columns))
    predictions = Predictions(tmp_path, columns=names)
    assert predictions.get("a") == {"id": "a"} | {name: columns[name][0] for name in names}
    assert predictions.get_many(["a"]) == [predictions.get("a")]


def test_many_rows_are_the_rows_that_are_got_one_by_one(tmp_path: Path) -> None:
    """Nulls, texts of other scripts, bools and moments are the same by either way."""
    output = Output(tmp_path)
    keys = ["a", "b", "c", "d"]
    output.publish(part(
        "2013-12-01", id=keys, prediction=[1, None, 3, 2**60], text=["x", "é", None, "long"],
        plain=["", "b", "cc", "d"], flag=[True, None, False, True], share=[0.5, None, -0.0, 1e300],
        whole=[True, False, True, False],
    ))  # fmt: skip
    predictions = Predictions(tmp_path)
    asked = ["d", "nobody", "c", "a", "a", "b"]
    assert predictions.get_many(asked) == [predictions.get(key) for key in asked]
    types = [[type(value) for value in (row or {}).values()] for row in predictions.get_many(asked)]
    assert types == [
        [type(value) for value in (predictions.get(key) or {}).values()] for key in asked
    ]
    assert predictions.get_many([]) == []


@pytest.mark.parametrize("first", ["a", 1, 0.5])
def test_a_part_that_alone_is_left_is_the_same_as_before(tmp_path: Path, first: Any) -> None:
    """It is the end of an older version's table, in which its rows do not come first."""
    output = Output(tmp_path)
    values = {
        "prediction": [1, None, 3], "text": ["x", "é", None], "plain": ["", "b", "cc"],
        "flag": [None, True, False], "share": [0.5, None, -0.0], "whole": [True, False, True],
    }  # fmt: skip
    both = output.publish(
        part(
            "2013-12-01", id=[first * 2, first * 3], **{name: values[name][:2] for name in values}
        ),
        part("2013-12-02", id=[first, first * 4, first * 5], **values),
    )
    predictions = Predictions(tmp_path)
    output.publish(files=both.files[1:])
    assert predictions.refresh()
    anew = Predictions(tmp_path)
    keys = [first * times for times in range(1, 6)]
    assert [predictions.get(key) for key in keys] == [anew.get(key) for key in keys]
    assert predictions.get_many(keys) == anew.get_many(keys) == [anew.get(key) for key in keys]
    assert [row and row["text"] for row in anew.get_many(keys)] == ["x", None, None, "é", None]
    assert predictions.table().to_pylist() == anew.table().to_pylist()


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=8), st.booleans())
def test_rows_are_ordered_by_moment_input_and_row(
    rows: list[tuple[int, int, int]], comes_sorted: bool
) -> None:
    """Whether they come in that order already or not."""
    rows = sorted(rows) if comes_sorted else rows
    moments, inputs, numbers = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table({
        "_as_of": pa.array(moments, pa.timestamp("us", "UTC")),
        "_input": pa.array(map(str, inputs), pa.string()).dictionary_encode(),
        "_row": pa.array(numbers, pa.int64()),
    })  # fmt: skip
    wanted = sorted(range(len(rows)), key=rows.__getitem__)
    assert earliest_first(table).tolist() == wanted
