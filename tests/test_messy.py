"""Text files in the ways people write them: each is read rightly, or refused in one sentence that says what to do."""

from __future__ import annotations

import datetime
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from pushforward.data import DataError, Reading, load, read

AB = {"a": [1.5, 2.5], "b": [1, 2]}
DAY = datetime.date
TIME = datetime.datetime
OF_DAY = datetime.time
UTC = datetime.UTC


@dataclass(frozen=True)
class File:
    """A file and what it says: columns by name with their values, or part of a sentence; notes that are to be given."""

    content: str | bytes
    expected: dict[str, list[Any]] | str
    name: str = "t.csv"
    reading: Reading = field(default_factory=Reading)
    notes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def bytes(self) -> bytes:
        return self.content.encode() if isinstance(self.content, str) else self.content


def many(line: str, count: int = 40_000) -> str:
    return "".join(line.format(i=i) for i in range(count))


FILES = {
    # what separates cells
    "commas": File("a,b\n1.5,1\n2.5,2\n", AB, types=("double", "int64")),
    "semicolons": File("a;b\n1.5;1\n2.5;2\n", AB),
    "tabs in a .csv": File("a\tb\n1.5\t1\n2.5\t2\n", AB),
    "tabs": File("a\tb\n1.5\t1\n2.5\t2\n", AB, "t.tsv"),
    "pipes": File("a|b\n1.5|1\n2.5|2\n", AB, "t.txt"),
    "one blank": File("a b\n1.5 1\n2.5 2\n", AB, "t.txt"),
    "blanks in columns": File("   a    b\n 1.5    1 \n 2.5    2\n", AB, "t.data"),
    "sep= line": File("sep=;\na;b\n1.5;1\n2.5;2\n", AB),
    "sep= line of a comma": File("sep=,\r\na,b\r\n1.5,1\r\n2.5,2\r\n", AB),
    "said separator": File("a:b\n1.5:1\n2.5:2\n", AB, reading=Reading(sep="colon")),
    "one column": File("a\n1.5\n2.5\n", {"a": [1.5, 2.5]}),
    "one column of sentences": File("text\nfirst things first\nsecond, and last\n", {"text": ["first things first", "second, and last"]}),
    "each line ends in a separator": File("a,b,\n1.5,1,\n2.5,2,\n", AB),
    "decimal commas and semicolons": File("a;b\n1,5;1\n2,5;2\n", AB, notes=("'1,5' is 1.5",)),
    "decimal commas without header": File("1,5;2,5\n3,5;4,5\n", {"x0": [1.5, 3.5], "x1": [2.5, 4.5]}),
    "one column of decimal commas": File("a\n1,5\n2,5\n", {"a": [1.5, 2.5]}),
    # quotes and lines
    "commas in a quoted header of a ; file": File('"a, b, c";d\n1.5;1\n2.5;2\n', {"a, b, c": [1.5, 2.5], "d": [1, 2]}),
    "commas in quotes": File('a,b\n"1, 2",1\n"3, 4",2\n', {"a": ["1, 2", "3, 4"], "b": [1, 2]}),
    "quotes within quotes": File('a,b\n"say ""so""",1\nno,2\n', {"a": ['say "so"', "no"], "b": [1, 2]}),
    "backslashes before quotes": File('a,b\n"say \\"so\\", do",1\nno,2\n', {"a": ['say "so", do', "no"], "b": [1, 2]}),
    "single quotes": File("a;b\n'x; y';1\n'z';2\n", {"a": ["x; y", "z"], "b": [1, 2]}),
    "apostrophes are no quotes": File("a,b\nO'Neill,1\nD'Arcy,2\n", {"a": ["O'Neill", "D'Arcy"], "b": [1, 2]}),
    "inches are no quotes": File('a,b\n5" pipe,1\nplain,2\n', {"a": ['5" pipe', "plain"], "b": [1, 2]}),
    "quoted numbers": File('"a","b"\n"1.5","1"\n"2.5","2"\n', AB),
    "a line end in quotes": File('a,b\n"x\ny",1\nz,2\n', {"a": ["x\ny", "z"], "b": [1, 2]}),
    "a line end in the header": File('"a\nb",c\n1.5,1\n2.5,2\n', {"a\nb": [1.5, 2.5], "c": [1, 2]}),
    "Windows' line ends": File("a,b\r\n1.5,1\r\n2.5,2\r\n", AB),
    "old Macintoshes' line ends": File("a,b\r1.5,1\r2.5,2\r", AB),
    "line ends of two kinds": File("a,b\r\n1.5,1\n2.5,2\r\n", AB),
    "empty lines": File("\n\na,b\n1.5,1\n\n2.5,2\n\n\n", AB),
    "no end of the last line": File("a,b\n1.5,1\n2.5,2", AB),
    "blanks around cells": File("a, b\n1.5, 1\n 2.5 , 2\n", AB),
    # before and around the table
    "a title": File("Sales of 2021\n\na,b\n1.5,1\n2.5,2\n", AB, notes=("Passed over before the table: Sales of 2021.",)),
    "lines to skip": File("x,y\nunits,none\na,b\n1.5,1\n2.5,2\n", AB, reading=Reading(skip=2)),
    "comments above": File("# made by hand\n# in 2021\na,b\n1.5,1\n2.5,2\n", AB, notes=("begin with #",)),
    "comments between": File("a,b\n1.5,1\n# a break, a short one, ends\n2.5,2\n", AB, notes=("begin with #",)),
    "a commented header": File("#a\tb\n1.5\t1\n2.5\t2\n", AB, "t.tsv"),
    "cells that begin with #": File("a,b\n#ff0000,1\n#00ff00,2\n", {"a": ["#ff0000", "#00ff00"], "b": [1, 2]}),
    "labels as R writes them": File('"a" "b"\n"1" 1.5 1\n"2" 2.5 2\n', {"row": [1, 2], **AB}, "t.txt", notes=("called row",)),
    "pandas' own index": File(",a,b\n0,1.5,1\n1,2.5,2\n", {"x0": [0, 1], **AB}),
    "no header": File("1.5,1\n2.5,2\n", {"x0": [1.5, 2.5], "x1": [1, 2]}),
    "no header, and text": File("1.5,x\n2.5,y\n3.5,x\n", {"x0": [1.5, 2.5, 3.5], "x1": ["x", "y", "x"]}),
    "no header, a mark at the start": File(b"\xef\xbb\xbf1.5,1\n2.5,2\n", {"x0": [1.5, 2.5], "x1": [1, 2]}),
    "numbered columns": File("0,1,2\n1.5,2.5,1\n3.5,1.5,7\n", {"0": [1.5, 3.5], "1": [2.5, 1.5], "2": [1, 7]}),
    "years for names": File("who,2019,2020,2021\nx,1,2,3\ny,4,5,9\n", {"who": ["x", "y"], "2019": [1, 4], "2020": [2, 5], "2021": [3, 9]}),
    "text only": File("name,city\nBo,Paris\nCy,Rome\n", {"name": ["Bo", "Cy"], "city": ["Paris", "Rome"]}),
    "blanks around names": File(" a , b\n1.5,1\n2.5,2\n", AB),
    # encodings
    "a mark": File(b"\xef\xbb\xbfa,b\n1.5,1\n2.5,2\n", AB),
    "UTF-16": File("a\tb\n1.5\t1\n2.5\t2\n".encode("utf-16"), AB),
    "UTF-16 said": File("a,b\n1.5,1\n2.5,2\n".encode("utf-16-le"), AB, reading=Reading(encoding="utf-16-le")),
    "UTF-16 unsaid": File("a,b\n1.5,1\n2.5,2\n".encode("utf-16-le"),
                         "NUL bytes, as UTF-16 has; say its encoding (fit --encoding utf-16-le)"),
    "Windows-1252": File("größe;ort\n1,5;Köln\n2,5;5 €\n".encode("cp1252"), {"größe": [1.5, 2.5], "ort": ["Köln", "5 €"]},
                         notes=("no UTF-8 (byte 2) and was read as Windows-1252",)),
    "a strange letter far below": File(("a,b\n" + many("{i},x\n") + "1,ü\n").encode("latin-1"), "", notes=("Windows-1252",)),
    "said encoding": File("a,b\nж,1\nя,2\n".encode("koi8-r"), {"a": ["ж", "я"], "b": [1, 2]}, reading=Reading(encoding="koi8-r")),
    "wrong encoding": File("a,b\nж,1\nя,2\n".encode("koi8-r"), "is not written in utf-8 (", reading=Reading(encoding="utf-8")),
    "gz": File(gzip.compress(b"a,b\n1.5,1\n2.5,2\n"), AB, "t.csv.gz"),
    "zst": File(pa.compress(b"a;b\n1,5;1\n2,5;2\n", "zstd", asbytes=True), AB, "t.csv.zst"),
    "no gz": File(b"a,b\n1.5,1\n2.5,2\n", "can't be read as .gz", "t.csv.gz"),
    "a name with marks": File("a,b\n1.5,1\n2.5,2\n", AB, "t[1] *?{x}.csv"),
    # missing values
    "empty cells": File("a,b,c\n1.5,,x\n,2,\n", {"a": [1.5, None], "b": [None, 2], "c": ["x", None]}),
    "question marks": File("a, b\n1.5, x\n?, ?\n", {"a": [1.5, None], "b": ["x", None]}, notes=("Read as missing: '?' (a, b)",)),
    "other words": File("a,b,c,d,e,f\n1.5,1,1,1,1,1\n-,.,NA,N/A,None,null\n", {n: [1.5 if n == "a" else 1, None] for n in "abcdef"},
                        types=("double", *["int64"] * 5)),
    "words of one's own": File("a,b\n-999,NA\n2,x\n", {"a": [None, 2], "b": ["NA", "x"]}, reading=Reading(null=("-999",))),
    "a column of nothing": File("a,b\n1.5,\n2.5,NA\n", {"a": [1.5, 2.5], "b": [None, None]}),
    # numbers
    "thousands": File('a,b\n"1,234",1\n"1,234,567.5",2\n', {"a": [1234, 1234567.5], "b": [1, 2]},
                      notes=("Read as numbers: a ('1,234' is 1234",)),
    "thousands in Europe": File("a;b\n1.234,5;1.000\n12,25;2.500\n", {"a": [1234.5, 12.25], "b": [1000, 2500]}),
    "thousands apart": File("a;b\n1 234;1\n1\u202f234\u00a0567;2\n", {"a": [1234, 1234567], "b": [1, 2]}),
    "Swiss thousands": File("a;b\n1'234.5;1\n12;2\n", {"a": [1234.5, 12], "b": [1, 2]}),
    "either": File('a,b\n"1,234",1\n"2,345",2\n', {"a": [1234, 2345], "b": [1, 2]}, notes=("Warning: the decimal mark could be another",)),
    "either, in Europe": File("a;b\n1,234;1\n2,345;2\n", {"a": [1.234, 2.345], "b": [1, 2]}, notes=("Warning: the decimal mark",)),
    "either, decided by another": File('a,b\n"1,234",1.25\n"2,345",2.5\n', {"a": [1234, 2345], "b": [1.25, 2.5]},
                                      notes=("Read as numbers: a",)),
    "shares in Europe": File("a;b\n0,125;1\n0,250;2\n", {"a": [0.125, 0.25], "b": [1, 2]}, notes=("Read as numbers: a",)),
    "telephones": File("a,b\n030 123 456,1\n040 123 456,2\n", {"a": ["030 123 456", "040 123 456"], "b": [1, 2]}),
    "codes of digits": File("a,b\n00501,1\n90210,2\n", {"a": ["00501", "90210"], "b": [1, 2]},
                            notes=("zeros stand before them: a (00501)",)),
    "codes of digits, some missing": File("a,b\n007,1\nNA,2\n 12,3\n", {"a": ["007", None, "12"], "b": [1, 2, 3]}, notes=("a (007)",)),
    "zeros are no codes": File("a,b\n0,007.5\n-10,00\n", {"a": [0, -10], "b": [7.5, 0.0]}),
    "a said mark": File('a,b\n"1,234",1\n"2,345",2\n', {"a": [1.234, 2.345], "b": [1, 2]}, reading=Reading(decimal=",")),
    "dollars": File('a,b\n"$1,234.50",1\n-$7,2\n', {"a": [1234.5, -7.0], "b": [1, 2]}),
    "euros": File("a;b\n1.234,50 €;1\n7,00 €;2\n", {"a": [1234.5, 7.0], "b": [1, 2]}),
    "debts in brackets": File('a,b\n"(1,200)",1\n300,2\n', {"a": [-1200, 300], "b": [1, 2]}),
    "percents": File("a,b\n12.5%,1\n7 %,2\n", {"a": [12.5, 7.0], "b": [1, 2]}, notes=("'12.5%' is 12.5",)),
    "two currencies": File("a,b\n$5,1\n€7,2\n", {"a": ["$5", "€7"], "b": [1, 2]}),
    "signs and powers": File("a,b\n+1.5,1e3\n-2.5,-2E-2\n", {"a": [1.5, -2.5], "b": [1000.0, -0.02]}),
    "long whole numbers": File("a,b\n12345678901234567890,1\n99999999999999999999999,2\n",
                               {"a": ["12345678901234567890", "99999999999999999999999"], "b": [1, 2]}),
    "unsigned whole numbers": File("a,b\n12345678901234567890,1\n7,2\n", {"a": [12345678901234567890, 7], "b": [1, 2]}),
    "a fraction far below": File("a,b\n" + many("{i},2\n") + "0.5,2\n", "", types=("double", "int64")),
    "numbers of base 16": File("a,b\n0x1F,1\n0x2A,2\n", {"a": ["0x1F", "0x2A"], "b": [1, 2]}),
    "a word among numbers": File("a,b\n1,1\nabout 2,2\n", {"a": ["1", "about 2"], "b": [1, 2]}),
    # truth values and times
    "truth values": File("a,b\ntrue,TRUE\nFalse,FALSE\n", {"a": [True, False], "b": [True, False]}),
    "days": File("a,b\n2021-03-04,1\n,2\n", {"a": [DAY(2021, 3, 4), None], "b": [1, 2]}, types=("date32[day]", "int64")),
    "moments": File("a,b\n2021-03-04 05:06:07,2021-03-04T05:06:07Z\n2021-03-04,2021-03-04T05:06:07.5Z\n",
                    {"a": [TIME(2021, 3, 4, 5, 6, 7), TIME(2021, 3, 4)],
                     "b": [TIME(2021, 3, 4, 5, 6, 7, tzinfo=UTC), TIME(2021, 3, 4, 5, 6, 7, 500_000, UTC)]},
                    types=("timestamp[s]", "timestamp[ms, tz=UTC]")),
    "days first": File("a,b\n3/4/2021,1\n25/12/2021,2\n", {"a": [DAY(2021, 4, 3), DAY(2021, 12, 25)], "b": [1, 2]},
                       notes=("a (%d/%m/%Y)",)),
    "months first": File("a,b\n03/04/2021,1\n12/25/2021,2\n", {"a": [DAY(2021, 3, 4), DAY(2021, 12, 25)], "b": [1, 2]}),
    "either first": File("a,b\n03/04/2021,1\n05/06/2021,2\n", {"a": ["03/04/2021", "05/06/2021"], "b": [1, 2]},
                         notes=("stay text: a (%d/%m/%Y or %m/%d/%Y); say which (fit --date-format)",)),
    "a said format": File("a,b\n03/04/2021,1\n05/06/2021,2\n", {"a": [DAY(2021, 4, 3), DAY(2021, 6, 5)], "b": [1, 2]},
                          reading=Reading(date_format="%d/%m/%Y")),
    "a format of nothing": File("a,b\nx,1\ny,2\n", "no column is written as %d/%m/%Y", reading=Reading(date_format="%d/%m/%Y")),
    "days as numbers": File("a,b\n20210304,1\n20211225,2\n", {"a": [DAY(2021, 3, 4), DAY(2021, 12, 25)], "b": [1, 2]},
                            reading=Reading(date_format="%Y%m%d")),
    "German days": File("a;b\n3.4.2021;1\n5.6.2021;2\n", {"a": [DAY(2021, 4, 3), DAY(2021, 6, 5)], "b": [1, 2]}),
    "half past": File("a,b\n1/31/2021 5:30 PM,1\n2/1/2021 12:05 AM,2\n",
                      {"a": [TIME(2021, 1, 31, 17, 30), TIME(2021, 2, 1, 0, 5)], "b": [1, 2]}),
    "months by name": File("a,b\n4 Mar 2021,1\n25 Dec 2021,2\n", {"a": [DAY(2021, 3, 4), DAY(2021, 12, 25)], "b": [1, 2]}),
    "times of day": File("a,b\n05:30,5:30 PM\n23:59:58,12:00 am\n",
                         {"a": [OF_DAY(5, 30), OF_DAY(23, 59, 58)], "b": [OF_DAY(17, 30), OF_DAY(0)]}),
    "no such day": File("a,b\n31/02/2021,1\n25/12/2021,2\n", {"a": ["31/02/2021", "25/12/2021"], "b": [1, 2]}),
    # what is none
    "nothing": File("", "is empty; give a file with a table in it"),
    "comments only": File("# nothing\n# yet\n", "begins with a cell of more than 128 KiB, or with comments only"),
    "an endless cell": File("a,b\n" + "x" * 200_000 + ",1\n" + many("{i},2\n"), "begins with a cell of more than 128 KiB"),
    "a long line far below": File("a,b\n" + many("{i},2\n") + "x" * 3_000_000 + ",1\n", "", types=("string", "int64")),
    "blank lines": File("\n\n\n", "is empty"),
    "a line too short": File("a,b\n1,2\n3\n5,6\n", "t.csv can't be read as .csv (line 3 has 1 cells instead of 2: '3')"),
    "a line too long": File("a,b\n1,2\n3,4,5\n5,6\n", "line 3 has 3 cells instead of 2"),
    "a quote that does not end": File('a,b\n1,2\n"3,4\n5,6\n', "line 3 has 1 cells instead of 2: '\"3,4"),
    "a name twice": File("a,a\n1,2\n3,4\n", "more than one column is called 'a'; rename them"),
    "an unknown ending": File("a,b\n", "unknown ending '.docx'", "t.docx"),
    # objects by line
    "objects": File('{"a": 1.5, "b": 1}\n{"b": 2, "a": 2.5}\n', AB, "t.jsonl"),
    "objects that lack keys": File('{"a": 1, "w": "x"}\n{"b": "2021-03-04", "w": null}\n',
                               {"a": [1, None], "w": ["x", None], "b": [None, DAY(2021, 3, 4)]}, "t.ndjson"),
    "moments in objects": File('{"t": "2021-03-04T05:06:07Z"}\n', {"t": [TIME(2021, 3, 4, 5, 6, 7, tzinfo=UTC)]}, "t.jsonl",
                               types=("timestamp[us, tz=UTC]",)),
    "objects in gz": File(gzip.compress(b'{"a": 1.5, "b": 1}\n{"a": 2.5, "b": 2}\n'), AB, "t.jsonl.gz"),
    "no objects": File('{"a": 1.5\n', "can't be read as .jsonl", "t.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("which", FILES)
def test_files(tmp_path, which):
    file = FILES[which]
    path = tmp_path / file.name
    path.write_bytes(file.bytes)
    if isinstance(file.expected, str) and file.expected:
        with pytest.raises(DataError) as error:
            read(path, file.reading)
        sentence = str(error.value)
        assert file.expected in sentence and "\n" not in sentence and len(sentence) < 400, sentence
        return
    source = read(path, file.reading)
    if file.expected:
        assert source.table.to_pydict() == file.expected
    if file.types:
        assert tuple(map(str, source.table.schema.types)) == file.types
    said = " ".join(source.notes)
    assert all(words in said for words in file.notes), said
    assert list(tmp_path.iterdir()) == [path]


def test_line_ends_in_quotes_beyond_the_first_megabytes(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,note\n" + many('{i}.5,"a note of\nseveral lines, of some length"\n', 100_000))
    table = read(path).table
    assert path.stat().st_size > 4 * 2**20 and table["x"].to_pylist()[-1] == 99_999.5
    assert set(table["note"].to_pylist()) == {"a note of\nseveral lines, of some length"}


def test_two_thousand_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"c{i}" for i in range(2000)) + "\n" + many(",".join(["{i}.5"] * 2000) + "\n", 30))
    table = read(path).table
    assert table.num_columns == 2000 and set(table["c1999"].to_pylist()) == {i + 0.5 for i in range(30)}


def test_files_without_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    assert read(path).table.num_rows == 0 and read(path).table.column_names == ["a", "b"]
    with pytest.raises(DataError, match=r"t\.csv: there are no rows in it; give at least 20"):
        load(path)


def test_a_file_reads_no_other(tmp_path):
    """Neither by a name that is a pattern, nor by folders that look like partitions."""
    (tmp_path / "k=1").mkdir()
    (tmp_path / "k=1" / "a*.csv").write_text("a,b\n1,2\n")
    (tmp_path / "k=1" / "ab.csv").write_text("a,b\n3,4\n")
    assert read(tmp_path / "k=1" / "a*.csv").table.to_pydict() == {"a": [1], "b": [2]}
    assert read(tmp_path / "k=1" / "ab.csv").table.to_pydict() == {"a": [3], "b": [4]}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"sep": "semicolom"}, "did you mean 'semicolon'"),
        ({"sep": "\n"}, "sep (fit --sep) can't be"),
        ({"decimal": ";"}, "decimal (fit --decimal) must be '.' or ','"),
        ({"encoding": "latin_2x"}, "there is no encoding (fit --encoding) 'latin_2x'; did you mean"),
        ({"encoding": "base64"}, "there is no encoding"),
        ({"null": "NA"}, "null (fit --null) must be words"),
        ({"date_format": "dd/mm/yyyy"}, "can't read the date_format (fit --date-format) 'dd/mm/yyyy'"),
        ({"skip": -1}, "skip (fit --skip) must be a number of lines"),
    ],
)
def test_what_reading_refuses(said, words):
    with pytest.raises(DataError) as error:
        Reading(**said)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_reading_survives_json():
    reading = Reading(sep="tab", decimal=",", encoding="cp1252", null=("-999", ""), date_format="%d/%m/%Y", skip=3)
    assert Reading.from_json(json.loads(json.dumps(reading.to_json()))) == reading
    assert Reading().to_json() == {} and Reading.from_json({}) == Reading()
    with pytest.raises(DataError, match="decimal"):
        Reading.from_json({"decimal": "x"})
    with pytest.raises(DataError, match="there is no 'sepp'; did you mean 'sep'"):
        Reading.from_json({"sepp": ","})


def test_what_was_done_is_told_by_load(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("price;share\n" + many("{i},5;{i}0 %\n", 40))
    data = load(path)
    assert load(path, reading={"decimal": ","}).schema.names == data.schema.names
    assert data.schema.names == ["price", "share"] and any("'0,5' is 0.5" in note for note in data.notes)
