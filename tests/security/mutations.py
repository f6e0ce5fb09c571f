"""Inputs nobody should send: documents and bytes spoiled by chance, the same for the same seed."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

DEEP = 20_000
"""Brackets in one another: deeper than any reader may follow."""


class Raw:
    """A piece of JSON that no Python value is written as."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Raw({self.text!r})"


VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        -0.0,
        0.5,
        1e-320,
        1e308,
        -1e308,
        2**53,
        2**53 + 1,
        2**63 - 1,
        2**63,
        -(2**63) - 1,
        10**30,
    ),
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "\udfff\ud800",
        "\u202e\u200b",
        "é" * 300,
        "\U0010ffff",
        "\ufeff",
        "\r\n",
        "\x1b[2J",
        "NaN",
    ),
    *("nan", "inf", "-inf", "1e400", "0x10", "1_000", "１２", "٣", "null", "true", "--", "=1+1", "../../../etc/passwd"),
    *("20180305", "20180305.0", "2018-03-05", "20180230", "00000000", "00010101", "99991231", "99999999", "20180305 "),
    *(
        "201803051",
        "-0180305",
        "20180306T00",
        "19000101",
        "600000.SH",
        "600000.sh",
        "900901.SH",
        "T00018.SH",
        "000905.SH",
    ),
    *("L", "D", "S", "0", "1", "1.0", "实施", "a" * 70_000, [], {}, [[]], [1, "a"], {"a": None}, [None] * 50),
    *(Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e999"), Raw("-1e999"), Raw("1" * 400), Raw("1" * 5000)),
    *(
        Raw("[" * DEEP + "]" * DEEP),
        Raw('{"a":' * DEEP + "1" + "}" * DEEP),
        Raw("[" * DEEP),
        Raw("01"),
        Raw("+1"),
        Raw("'a'"),
    ),
]
"""Values a place may get."""


def spoilt_json(rng: random.Random, document: Any) -> bytes:
    """Return a document with one to four faults in its structure, and sometimes more in its bytes."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        document = _spoilt_once(rng, document)
    body = written(document)
    return spoilt_bytes(rng, body) if rng.random() < 0.1 else body


def _spoilt_once(rng: random.Random, document: Any) -> Any:
    places = list(_places(document)) if isinstance(document, list | dict) else []
    if not places or rng.random() < 0.02:
        return copy.deepcopy(rng.choice(VALUES))
    container, key = rng.choice(places if rng.random() < 0.75 else places[:12])
    kind = rng.randrange(8)
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, list):
        container.insert(rng.randint(0, len(container)), copy.deepcopy(container[key]))
    elif kind == 2 and isinstance(container, list):
        rng.shuffle(container)
    elif kind == 3 and isinstance(container, dict):
        container[rng.choice(["x", "", "__class__", "code", "data", "items"])] = container.pop(key)
    elif kind >= 6 and isinstance(container[key], int | float | str):
        container[key] = near(rng, container[key])
    else:
        container[key] = copy.deepcopy(rng.choice(VALUES))  # a list among them may be spoilt in its turn
    return document


def near(rng: random.Random, value: Any) -> Any:
    """Return a value that might be true: a number of another size or sign, a text with a letter changed."""
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice("0123456789.SHZ") + value[at + 1 :]
    return rng.choice([value * 10, value / 100, -value, value + 0.01, 0, round(value), str(value)])


def _places(value: Any) -> Any:
    """Yield every place of a document as its container and key, outer ones first."""
    level = [value]
    while level:
        inner = []
        for container in level:
            keys = range(len(container)) if isinstance(container, list) else list(container)
            for key in keys:
                yield container, key
                if isinstance(container[key], list | dict):
                    inner.append(container[key])
        level = inner


def written(document: Any) -> bytes:
    """Return a document as JSON; ``Raw`` stands as it is."""
    pieces: dict[str, str] = {}

    def named(value: Any) -> str:
        assert isinstance(value, Raw)
        pieces[f"@raw{len(pieces)}@"] = value.text
        return f"@raw{len(pieces) - 1}@"

    text = json.dumps(document, default=named)
    for name, piece in pieces.items():
        text = text.replace(f'"{name}"', piece)
    return text.encode()


def spoilt_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with some of them flipped, cut out, repeated, exchanged or cut off."""
    spoilt = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at, length = rng.randint(0, len(spoilt)), rng.randint(1, 40)
        kind = rng.randrange(7)
        if kind == 0 and at < len(spoilt):
            spoilt[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del spoilt[at : at + length]
        elif kind == 2:
            spoilt[at:at] = rng.randbytes(length)
        elif kind == 3:
            spoilt[at:at] = spoilt[at : at + length] * rng.randint(1, 3)
        elif kind == 4:
            del spoilt[at:]
        elif kind == 5:
            spoilt[at:at] = rng.choice(
                [b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b",", b"\n", b"\r", b"{", b"]", b"\\u"]
            )
        else:
            spoilt[at : at + 1] = rng.choice([b"9" * 400, b"-", b"e", b".", b"\xc3", "股".encode()])
    return bytes(spoilt)


def spoilt_csv(rng: random.Random, content: bytes) -> bytes:
    """Return a CSV file with broken cells, columns, rows, encodings or bytes."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    for _ in range(rng.choice([1, 1, 2, 4])):
        row = rows[rng.randrange(len(rows))] if rows else []
        kind = rng.randrange(12)
        at = rng.randrange(len(row)) if row else 0
        if kind <= 2 and row:
            row[at] = _cell(rng)
        elif kind == 4 and rows:
            rows.append(list(row))
        elif kind == 5 and row:
            del row[rng.randrange(len(row))]
        elif kind == 6 and row:
            row.append(_cell(rng))
        elif kind == 7 and rows and rows[0]:
            at = rng.randrange(len(rows[0]))
            for line in rows:
                line.append(line[at] if at < len(line) else "")
        elif kind == 3 and len(rows) > 1:
            del rows[rng.randrange(1, len(rows)) :]
        elif kind >= 8 and row and row is not rows[0]:
            row[at] = near(rng, row[at])
    text = rng.choice(["\n"] * 8 + ["\r\n", "\r"]).join(",".join(row) for row in rows) + rng.choice(
        ["\n", "", "\n\n\n"]
    )
    body = text.encode(rng.choice(["utf-8"] * 9 + ["utf-8-sig", "utf-16", "gb18030"]), "surrogatepass")
    return spoilt_bytes(rng, body) if rng.random() < 0.2 else body


def _cell(rng: random.Random) -> str:
    value = rng.choice(VALUES)
    text = value.text[:500] if isinstance(value, Raw) else str(value)
    text = text.encode("utf-8", "replace").decode()
    return f'"{text}"' if rng.random() < 0.2 else text
