"""Bytes of a file, unpacked and decoded; what kind of file it is comes from the content, not from its name."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 2**31
"""A larger file, or one that unpacks to more, is no load and no map."""

GZIP_MAGIC = b"\x1f\x8b"
NUMPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked where it is gzipped.

    Raises
    ------
    InstanceError
        If the file cannot be read, is empty, or is too large.
    """
    file = str(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InstanceError.single(file, "", f"is larger than {MOST_BYTES >> 30} GiB", "give one recording")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InstanceError.single(file, "", f"cannot be read: {reason}", "check the path") from error
    if data.startswith(GZIP_MAGIC):
        data = _unpacked(path)
    if not data.strip():
        raise InstanceError.single(file, "", "is empty", "give a file with content")
    return data


def _unpacked(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            data = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InstanceError.single(str(path), "", f"is damaged gzip: {error}", "copy the file again") from error
    if len(data) > MOST_BYTES:
        raise InstanceError.single(str(path), "", f"unpacks to more than {MOST_BYTES >> 30} GiB", "give one recording")
    return data


def decode(data: bytes, file: str) -> str:
    """Turn bytes into text: UTF-8 or UTF-16 with a mark, UTF-8, else GBK, which omni-infer's logs may use.

    Raises
    ------
    InstanceError
        If the bytes are no text.
    """
    encodings = [name for mark, name in _MARKS if data.startswith(mark)] or ["utf-8", "gbk"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InstanceError.single(file, "", "is neither text nor a known binary file", "give a load, map or routing file")


def looks_like_json(text: str) -> bool:
    """Whether text begins like a JSON object, list or comment before one."""
    start = text.lstrip()
    return (start[:1] in ("{", "[") and not re.match(r"\[[A-Za-z]", start)) or start.startswith(("//", "/*"))


def parse_json(text: str, file: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Parse one JSON document, or JSON lines, which become a list.

    Raises
    ------
    InstanceError
        If it is not JSON; comments, dots for left-out numbers and trailing commas are named.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and str(error).startswith("Extra data"):
            try:
                return [json.loads(line) for line in lines]
            except (ValueError, RecursionError):
                pass
        raise InstanceError.single(file, "", f"is not JSON: {error}{_hint(text)}", _remedy(text)) from error


def _hint(text: str) -> str:
    bare = _STRINGS.sub('""', text)
    found = []
    if re.search(r"//|/\*|^\s*#", bare, re.MULTILINE):
        found.append("comments")
    if re.search(r"\.\.\.|\u2026", bare):
        found.append("dots in place of left-out numbers")
    if re.search(r",\s*[\]}]", bare):
        found.append("a comma before a closing bracket")
    return f"; it has {' and '.join(found)}" if found else ""


def _remedy(text: str) -> str:
    if re.search(r"\.\.\.|\u2026", _STRINGS.sub('""', text)):
        return "an excerpt cannot be used: give the whole file"
    return "give a whole JSON document"
