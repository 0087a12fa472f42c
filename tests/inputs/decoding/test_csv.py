"""CSV: which records are there, what their numbers are, and which inputs cannot be trusted."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.inputs.decoding.streams import BLOCK_BYTES
from batch.records.chunk import RAW_CHARACTERS, UnreadableInput
from batch.records.columns import InputColumn, TextOptions
from tests.support.decoded import Decoded, column

AB = (
    InputColumn(name="a", type="string", nullable=True),
    InputColumn(name="b", type="string", nullable=True),
)


def read(
    path: Path, columns: Any = AB, *, chunk_rows: int = 1000, block_bytes: int = BLOCK_BYTES,
    **text: Any,
) -> Decoded:  # fmt: skip
    """Everything that a CSV file decodes to."""
    usual = {"delimiter": ",", "decimal": ".", "encoding": "utf-8", "names": None,
             "null_values": ("", "NA")}  # fmt: skip
    return Decoded("csv", path, columns, text=TextOptions(**usual | text), chunk_rows=chunk_rows,
                   block_bytes=block_bytes)  # fmt: skip


@pytest.fixture
def decoded(tmp_path: Path) -> Any:
    """A function that decodes these bytes."""

    def decode(data: bytes, columns: Any = AB, *, name: str = "x.csv", **options: Any) -> Decoded:
        (tmp_path / name).write_bytes(data)
        return read(tmp_path / name, columns, **options)

    return decode


@pytest.fixture
def decoded_by_32(decoded: Any) -> Any:
    """The same; files are read 32 bytes at a time, of which Arrow takes half together."""
    return partial(decoded, block_bytes=32)


# Which records are there


def test_records_are_numbered_from_zero(decoded: Any) -> None:
    """The header is no record."""
    found = decoded(b"a,b\n1,2\n3,4\n")
    assert (found.rows, found.records) == ([0, 1], [("1", "2"), ("3", "4")])
    assert found.rejects == {}


def test_the_last_newline_may_be_missing(decoded: Any) -> None:
    """Whether a file is whole was decided before it is read."""
    assert decoded(b"a,b\n1,2\n3,4").records == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_usual_way(decoded: Any, end: str) -> None:
    """Also within quotes, where the line end is part of the value."""
    lines = ["a,b", "1,2", "", f'3,"x{end}y"', ""]
    found = decoded(end.join(lines).encode())
    assert found.records == [("1", "2"), ("3", f"x{end}y")]


def test_blank_lines_have_no_number(decoded: Any) -> None:
    """Before the header, between records and at the end; a quoted nothing is a field."""
    found = decoded(b"\n\na,b\n\n1,2\n\n\n3,4\n5\n\n6,7\n\n")
    assert found.rows == [0, 1, 3]
    assert found.rejects == {2: ": found 1 field, expected 2"}
    single = decoded(b'a\n1\n\n""\n2\n', columns=AB[:1])
    assert (single.rows, single.records) == ([0, 1, 2], [("1",), (None,), ("2",)])


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"\xef\xbb\xbf", b"a,b", b"a,b\n", b"a,b\r\n\r\n\n", b"\xef\xbb\xbfa,b\n"],
)
def test_a_file_without_records_has_none(decoded: Any, data: bytes) -> None:
    """Empty or with a header only: that is no error."""
    assert decoded(data).records == []
    assert decoded(gzip.compress(data), name="x.csv.gz").rejects == {}


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf"])
def test_an_empty_file_without_header_has_no_records(decoded: Any, data: bytes) -> None:
    """Also where the job names the columns."""
    assert decoded(data, names=("a", "b")).records == []


def test_the_job_may_name_the_columns(decoded: Any) -> None:
    """Then the first line is a record, BOM or not."""
    for bom in (b"", b"\xef\xbb\xbf"):
        found = decoded(bom + b"1,2\n\n3\n5,6\n", names=("a", "b"))
        assert (found.rows, found.records) == ([0, 2], [("1", "2"), ("5", "6")])
        assert [*found.rejects] == [1]


def test_columns_are_found_by_name(decoded: Any) -> None:
    """In the order that is wanted; others are not looked at."""
    found = decoded(b"z,b,y,a\nx,2,x,1\n")
    assert found.records == [("1", "2")]
    assert found.raw == ["x,2,x,1"]


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_other_delimiters(decoded: Any, delimiter: str, name: str) -> None:
    """Commas are text then, and the raw record has the delimiter of the file."""
    data = delimiter.join(["a", "b"]) + "\n" + delimiter.join(["1,5", name]) + "\n"
    found = decoded(data.encode(), delimiter=delimiter)
    assert found.records == [("1,5", name)]
    assert found.raw == [delimiter.join(["1,5", name])]


def test_a_decimal_comma(decoded: Any) -> None:
    """With the semicolon that goes with it, for numbers only."""
    columns = [AB[0], column("x", "float64")]
    found = decoded(b"a;x\n1,5;1,5\n2;1.5\n", columns, delimiter=";", decimal=",")
    assert found.records == [("1,5", 1.5)]
    assert found.rejects == {1: "x: found '1.5', expected float64"}


def test_a_record_with_other_fields_than_the_header_is_a_reject(decoded: Any) -> None:
    """With its number, its raw text and both counts."""
    found = decoded(b'a,b\n1,2\n3\n4,"5\n5",6\n7,8\n9,10,\n')
    assert found.rows == [0, 3]
    assert found.rejects == {
        1: ": found 1 field, expected 2",
        2: ": found 3 fields, expected 2",
        4: ": found 3 fields, expected 2",
    }
    assert found.raw_rejects == {1: "3", 2: '4,"5\n5",6', 4: "9,10,"}


@pytest.mark.parametrize("broken", [{0}, {9}, {0, 9}, {3, 4}, {*range(9)}, {*range(1, 10)}])
def test_broken_records_keep_their_numbers_across_blocks(
    decoded_by_32: Any, broken: set[int]
) -> None:
    """Wherever they stand, and if a block holds nothing else."""
    lines = ["broken" if row in broken else f"{row},{row * 7}" for row in range(10)]
    found = decoded_by_32("\n".join(["a,b", *lines, ""]).encode(), chunk_rows=2)
    assert {*found.rejects} == broken
    assert found.records == [(str(row), str(row * 7)) for row in found.rows]
    assert sorted([*found.rows, *broken]) == list(range(10))


def test_broken_records_keep_their_numbers_far_into_a_block(decoded: Any) -> None:
    """Behind more than Arrow reads together; where a record is longer than that, too."""
    lines = [f"{row},{row * 7}" for row in range(200_000)]
    lines[150_000] = "broken"
    for longest in ("", "x" * 2_000_000):
        lines[170_000] = f"{longest},1"
        found = decoded("\n".join(["a,b", *lines, ""]).encode())
        assert [*found.rejects] == [150_000]
        assert found.rows == [row for row in range(200_000) if row != 150_000]
        assert found.records[-1] == ("199999", "1399993")


def test_nothing_but_broken_records(decoded: Any) -> None:
    """They are all named, in a chunk without records."""
    found = decoded(b"a,b\n" + b"1\n" * 5)
    assert ([*found.rejects], found.records) == ([0, 1, 2, 3, 4], [])


def test_chunks_have_at_most_the_rows_asked_for(decoded: Any) -> None:
    """And each record is in one of them."""
    data = b"a,b\n" + b"".join(b"%d,x\n" % row for row in range(10))
    for chunk_rows, chunks in [(1, 10), (3, 4), (10, 1), (11, 1)]:
        found = decoded(data, chunk_rows=chunk_rows)
        assert found.rows == list(range(10))
        assert found.chunks == chunks


def test_two_thousand_columns(decoded: Any) -> None:
    """Wide files are read like others, whole numbers and all."""
    names = [f"c{index}" for index in range(2000)]
    line = ",".join(map(str, range(2000)))
    columns = [column(name, "int64") for name in names]
    found = decoded("\n".join([",".join(names), line, line, ""]).encode(), columns)
    assert found.records == [tuple(range(2000))] * 2


def test_a_long_file_in_many_blocks(decoded: Any) -> None:
    """Records that lie across the border of two blocks are whole."""
    lines = [f'{row},"{"é" * (row % 50)}\r\n"' for row in range(5000)]
    found = decoded("\r\n".join(["a,b", *lines, ""]).encode(), chunk_rows=700, block_bytes=1000)
    assert found.rows == list(range(5000))
    assert found.records == [(str(row), "é" * (row % 50) + "\r\n") for row in range(5000)]


def test_a_record_longer_than_a_block_is_refused(decoded_by_32: Any) -> None:
    """Memory is bounded; the message names the bound and the usual reason."""
    with pytest.raises(UnreadableInput, match=r"longer than 32 bytes: unclosed quote"):
        decoded_by_32(b"a,b\n1," + b"x" * 100 + b"\n")


def test_a_record_of_a_megabyte_is_read(decoded: Any) -> None:
    """With quotes and line ends in it, and a header as long."""
    value = 'é "quoted"\n' * 100_000
    text = '1,"' + value.replace('"', '""') + '"\n'
    long_name = "n" * 200_000
    found = decoded(f"a,b\n{text}".encode())
    assert found.records == [("1", value)]
    with pytest.raises(UnreadableInput, match=r"field larger than field limit|no column 'b'"):
        decoded(f"a,{long_name}\n1,2\n".encode())


# Any text, compared with Python's csv module

PIECES = ["a", "7", " ", ",", '"', '""', "\n", "\r\n", "\r", "\n\n", "é", "1,2\n", '"q","r\ns"\n']
ENDINGS = ["1,2\n", "3\n", "\n", "4,5,6\n", '"x\r\ny",2\n', '7,"a""b"\n', '8,5" z\n', ",\n"]


@given(
    body=st.one_of(
        st.lists(st.sampled_from(PIECES), max_size=25),
        st.lists(st.sampled_from(ENDINGS), max_size=25),
    ).map("".join),
    block=st.sampled_from([24, 40, 1 << 20]),
    chunk_rows=st.sampled_from([1, 2, 1000]),
    has_header=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_records_are_those_that_pythons_csv_module_finds(
    tmp_path_factory: pytest.TempPathFactory, *, body: str, block: int, chunk_rows: int,
    has_header: bool,
) -> None:  # fmt: skip
    """The same values under the same numbers, unless the file as a whole is refused."""
    text = "a,b\r\n" + body if has_header else body
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.encode())
    lines = [row for row in csv.reader(io.StringIO(text, newline="")) if row][has_header:]
    names = None if has_header else ("a", "b")
    try:
        found = read(path, chunk_rows=chunk_rows, block_bytes=block, names=names)
    except UnreadableInput as error:
        assert '"' in body or "longer than" in error.message
        return
    whole = {number: line for number, line in enumerate(lines) if len(line) == 2}
    assert [*found.rejects] == [number for number in range(len(lines)) if number not in whole]
    assert found.rows == [*whole]
    assert found.records == [tuple(value or None for value in line) for line in whole.values()]


# Pieces that are typed by themselves, compared with a reading in order

NUMBERS = ["1", "-0", "-0.0", "0.1", "12345678901234567890", "0x10", "1.0", "+1", " 1", "1 ", "nan",
           "NaN", "NAN", "-nan", "inf", "1e400", "5e-324", "0.1234567890123456789", "-999", "NA", "",
           "x", "1,5", '"1"', '""', "9007199254740993", "é", "\ufffe", "\udcff"]  # fmt: skip
NOTES = ["", "NA", "n", '"a,b"', '"a\r\nb"', '"a ""b"""', '""', "\udcff", "\ufffe", "日", "-999"]
RECORDS = st.tuples(
    st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.sampled_from(["true", "0", "x", "NA"]),
    st.sampled_from(NOTES),
).map(",".join)  # fmt: skip


@given(
    lines=st.lists(st.one_of(RECORDS, st.sampled_from(["", "1,2", "1,2,true,n,5"])), max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.sampled_from([64, 1 << 20]),
    chunk_rows=st.sampled_from([1, 3, 1000]),
    has_end=st.booleans(),
    nullable=st.booleans(),
    nulls=st.sampled_from([("", "NA"), ("NA", "nan", "NaN"), ("-999", "0.1", "1"), ()]),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_records_are_the_same_in_pieces_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, *, lines: list[str], end: str, block: int,
    chunk_rows: int, has_end: bool, nullable: bool, nulls: tuple[str, ...],
) -> None:  # fmt: skip
    """A quote within the first field makes all of a file be read in order; it changes nothing."""
    columns = [column("a", "int64"), column("x", "float64", nullable=nullable),
               column("ok", "bool", nullable=True), column("s", "string", nullable=nullable)]  # fmt: skip
    found = []
    for first in ("7,2,true,in", '7,2,true,i"n'):
        path = tmp_path_factory.mktemp("csv") / "x.csv"
        text = end.join(["a,x,ok,s", first, *lines]) + end * has_end
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            decoded = read(
                path, columns, chunk_rows=chunk_rows, block_bytes=block, null_values=nulls
            )
        except UnreadableInput as error:
            assert "longer than" in error.message
            return
        found.append((decoded.rows, repr(decoded.records[1:]), decoded.rejects,
                      decoded.raw_rejects, decoded.raw[1:]))  # fmt: skip
    assert found[0] == found[1]


def test_a_null_value_may_be_a_number(decoded: Any) -> None:
    """Where -999 means that there is nothing, a column of numbers has a null there."""
    columns = [AB[0], column("x", "float64", nullable=True), column("n", "int64", nullable=True)]
    found = decoded(b"a,x,n\n1,-999,5\n2,1.5,-999\n", columns, null_values=("-999",))
    assert found.records == [("1", None, 5), ("2", 1.5, None)]


# Quotes


@pytest.mark.parametrize(
    "data",
    [
        b'a,b\n1,"x', b'a,b\n1,"x\n', b'a,b\n"1,x\n2,y\n', b'a,b\n1,x\n2,"y\n3,z\n4,w\n',
        b'a,b\n1,"x""\n2,y\n', b'a,b\n1\n2,"y\n3\n', b'a,b\n1,"y\n2,5" z\n3,x\n',
    ],
)  # fmt: skip
def test_a_quote_that_is_never_closed_makes_an_input_unreadable(decoded: Any, data: bytes) -> None:
    """The records behind it cannot be separated; the message has the line."""
    with pytest.raises(UnreadableInput, match=r"line \d+: unclosed quote"):
        decoded(data)


def test_a_quote_that_swallows_a_record_makes_an_input_unreadable(decoded: Any) -> None:
    """A writer died within a field and went on later: the next quote closes that field."""
    with pytest.raises(UnreadableInput, match="line 3: unclosed quote"):
        decoded(b'a,b,c\n1,"x",2\n3,"abc\n4,"def",5\n6,"y",7\n', columns=AB)


def test_stray_quotes_are_text(decoded: Any) -> None:
    """A quote within a field opens nothing."""
    found = decoded(b'a,b\n1,5" pipe\n2,y\n3,"9"" pipe"\n4,7"\n')
    assert [value for _, value in found.records] == ['5" pipe', "y", '9" pipe', '7"']


def test_text_behind_a_closing_quote_does_no_harm_on_one_line(decoded: Any) -> None:
    """Such a field is read as Python and pyarrow read it; it swallows nothing."""
    found = decoded(b'a,b\n1,"5" pipe\n2,"x\ny"\n3,"5" pipe"\n')
    assert [value for _, value in found.records] == ["5 pipe", "x\ny", '5 pipe"']


def test_an_unclosed_quote_in_a_long_file_is_found(decoded: Any) -> None:
    """Also if the records behind it would fill many blocks."""
    lines = [f"{row},x" for row in range(1000)]
    lines[500] = '500,"x'
    with pytest.raises(UnreadableInput, match="quote"):
        decoded("\n".join(["a,b", *lines, ""]).encode(), block_bytes=1000)


# Encodings


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "iso8859-15", "utf-32"]
)
def test_other_encodings(decoded: Any, encoding: str) -> None:
    """Are recoded on the way, whatever the block border cuts."""
    text = "a,b\n" + "".join(f"{row},é{row}ü\n" for row in range(300))
    found = decoded(text.encode(encoding), encoding=encoding)
    assert found.records == [(str(row), f"é{row}ü") for row in range(300)]


def test_letters_across_blocks_are_whole(decoded_by_32: Any) -> None:
    """Two, three and four bytes long."""
    value = "é日🙂" * 3
    for encoding in ("utf-8", "utf-16", "gb18030"):
        assert decoded_by_32(f"a,b\n1,{value}\n".encode(encoding), encoding=encoding).records == [
            ("1", value)
        ]


def test_a_byte_order_mark_is_not_part_of_the_first_name(decoded: Any) -> None:
    """Quoted or not."""
    for header in (b"a,b\n", b'"a",b\n'):
        assert decoded(b"\xef\xbb\xbf" + header + b"1,2\n").records == [("1", "2")]


def test_undecodable_text_is_a_reject(decoded: Any) -> None:
    """Of its record alone, its bytes shown escaped; in a column nobody reads it does no harm."""
    found = decoded("a,b,c\n1,é,x\n2,y,é\n3,z,x\n".encode("latin-1"))
    assert found.records == [("2", "y"), ("3", "z")]
    assert found.rejects == {0: r"b: found '\xe9', expected string"}
    assert found.raw_rejects == {0: r"1,\xe9,x"}
    assert found.raw[0] == r"2,y,\xe9"


def test_undecodable_bytes_do_not_move_delimiters(decoded: Any) -> None:
    """A byte that begins a longer letter does not swallow the comma behind it."""
    found = decoded(b"a,b\n1\xe9,2\n3,\xf0\x9f\n4,5\n")
    assert found.rows == [2]
    assert [*found.rejects] == [0, 1]
    shortened = decoded("a,b\n1,é\n".encode("utf-16")[:-1], encoding="utf-16")
    assert [*shortened.rejects] == [0]


# Values


def test_types_come_from_the_job_alone(decoded: Any) -> None:
    """Each value is read by the type of its column, and a misfit names it."""
    columns = [AB[0], column("n", "int64"), column("x", "float64"), column("ok", "bool"),
               column("day", "date"), column("at", "timestamp"),
               column("c", "category", categories=("u", "v"))]  # fmt: skip
    lines = [
        "a,n,x,ok,day,at,c",
        "000651,3.0,1e3,T,2013-12-01,2013-12-01T10:00+01:00,u",
        "2,3.5,1,T,2013-12-01,2013-12-01,u",
        "3,3,x,T,2013-12-01,2013-12-01,u",
        "4,3,1,maybe,2013-12-01,2013-12-01,u",
        "5,3,1,T,2013-02-29,2013-12-01,u",
        "6,3,1,T,2013-12-01,noon,u",
        "7,3,1,T,2013-12-01,2013-12-01,w",
        "8,,1,T,2013-12-01,2013-12-01,u",
    ]
    found = decoded("\n".join(lines).encode(), columns)
    moment = datetime(2013, 12, 1, 9, tzinfo=UTC)
    assert found.records == [("000651", 3, 1000.0, True, date(2013, 12, 1), moment, "u")]
    assert found.rejects == {
        1: "n: found '3.5', expected int64",
        2: "x: found 'x', expected float64",
        3: "ok: found 'maybe', expected bool",
        4: "day: found '2013-02-29', expected date",
        5: "at: found 'noon', expected timestamp",
        6: "c: found 'w', expected category",
        7: "n: null in a non-nullable column",
    }
    assert found.raw_rejects[7] == "8,,1,T,2013-12-01,2013-12-01,u"


def test_a_record_is_rejected_once(decoded: Any) -> None:
    """For the first column that does not fit."""
    found = decoded(b"a,b,n\n1,2,x\n", [AB[0], column("n", "int64"), column("b", "bool")])
    assert found.rejects == {0: "n: found 'x', expected int64"}


def test_keys_keep_their_digits_and_words(decoded: Any) -> None:
    """2**53+1 is no float, and NA is a key like others; only nothing is a null key."""
    columns = [column("a", "int64"), AB[1]]
    assert decoded(b"a,b\n9007199254740993,x\n,y\n", columns).records == [(2**53 + 1, "x")]
    words = decoded(b"a,b\n9007199254740993,x\nNA,NA\n,y\n", [column("a", "string"), AB[1]])
    assert words.records == [("9007199254740993", "x"), ("NA", None)]
    assert words.rejects == {2: "a: null in a non-nullable column"}


def test_null_values_are_those_of_the_job(decoded: Any) -> None:
    """Nothing else means null."""
    found = decoded(b"a,b\n1,NA\n2,-\n3,\n", null_values=("-",))
    assert found.records == [("1", "NA"), ("2", None), ("3", "")]


def test_nan_in_text_is_null(decoded: Any) -> None:
    """A spelling that is not among the null values is no number either."""
    columns = [AB[0], column("x", "float64")]
    assert decoded(b"a,x\n1,NAN\n2,1\n", columns).rejects == {0: "x: null in a non-nullable column"}


def test_long_values_are_shortened_for_people(decoded: Any) -> None:
    """In the reason to a glance, in the raw record to a page."""
    found = decoded(b"a,n\n1," + b"x" * 50_000 + b"\n", [column("n", "int64")])
    assert len(found.rejects[0]) < 150
    assert len(found.raw_rejects[0]) == RAW_CHARACTERS


# Inputs that are not what they should be


def test_a_missing_column_is_named(decoded: Any) -> None:
    """With those that were found, also if there are no records."""
    for data in (b"a,c\n1,2\n", b"a,c", b"a,c\n"):
        with pytest.raises(UnreadableInput, match=r"no column 'b'; found 'a', 'c'"):
            decoded(data)


def test_a_header_of_the_wrong_delimiter_is_a_missing_column(decoded: Any) -> None:
    """The header shows what happened."""
    with pytest.raises(UnreadableInput, match=r"no column 'a', 'b'; found 'a;b'"):
        decoded(b"a;b\n1;2\n")


def test_a_doubled_name_is_refused(decoded: Any) -> None:
    """Nobody can tell which of the two is meant; among columns nobody reads it does no harm."""
    for header in (b"a,b,b", b"a,b,b\n"):
        with pytest.raises(UnreadableInput, match="duplicate column 'b'"):
            decoded(header)
    assert decoded(b"a,b,,,\n1,2,3,,\n").records == [("1", "2")]


LINES = b"a,b\n" + b"".join(b"%d,%d\n" % (row, row * 7919 % 1000) for row in range(20_000))
PACKED = {
    "x.csv.gz": gzip.compress,
    "x.csv.zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
every_packing = pytest.mark.parametrize("name", PACKED)


@every_packing
def test_compressed_files_are_read_by_their_suffix(decoded: Any, name: str) -> None:
    """Also if they consist of several members, as log shippers write them."""
    pack: Any = PACKED[name]
    assert len(decoded(pack(LINES), name=name).rows) == 20_000
    found = decoded(pack(b"a,b\n1,2\n") + pack(b"3,4\n"), name=name)
    assert found.records == [("1", "2"), ("3", "4")]


@every_packing
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
def test_a_truncated_compressed_file_is_unreadable(decoded: Any, name: str, kept: float) -> None:
    """Wherever it was cut, nothing of it is trusted."""
    pack: Any = PACKED[name]
    packed = pack(LINES)
    with pytest.raises(UnreadableInput, match=r"not readable as CSV: .*Truncated"):
        decoded(packed[: int(len(packed) * kept)], name=name)


@every_packing
def test_a_damaged_compressed_file_is_unreadable(decoded: Any, name: str) -> None:
    """Garbage from the start, and garbage at the end."""
    pack: Any = PACKED[name]
    for data in (b"garbage", LINES, pack(LINES) + b"garbage"):
        with pytest.raises(UnreadableInput, match="not readable as CSV"):
            decoded(data, name=name)


def test_a_gzip_file_with_a_wrong_checksum_is_unreadable(decoded: Any) -> None:
    """The bytes unpack, but they are not those that were packed."""
    packed = bytearray(gzip.compress(LINES))
    packed[-8] ^= 1
    with pytest.raises(UnreadableInput, match="incorrect data check"):
        decoded(bytes(packed), name="x.csv.gz")


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    """It went after it was listed."""
    with pytest.raises(UnreadableInput, match="not readable as CSV"):
        read(tmp_path / "nothing.csv")
