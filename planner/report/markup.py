"""Build HTML from the inside out: every text is escaped unless it is ``Markup`` already."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_VOID = frozenset({"meta", "link", "br", "input"})


class Markup(str):
    """HTML that is safe to write as it is."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: str) -> Markup:
    """Write one element.

    Parameters
    ----------
    tag
        Name of the element.
    children
        ``Markup`` is taken as it is, anything else is turned to text and escaped.
    attributes
        Values are escaped; a leading underscore of a name is dropped (``_class``), other underscores become hyphens.
    """
    written = "".join(
        f' {name.removeprefix("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{joined(children)}</{tag}>")


def joined(children: Iterable[object]) -> Markup:
    """Write children one after another, text escaped."""
    return Markup("".join(child if isinstance(child, Markup) else html.escape(str(child)) for child in children))


def section(name: str, title: str, sentence: object, *children: object) -> Markup:
    """Write a part of the page: an anchor, a heading in plain words, a sentence and the content."""
    return element("section", element("h2", title), element("p", sentence), *children, id=name)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> Markup:
    """Write a table that scrolls sideways where it is too wide; the first ``left`` columns are text, others numbers."""
    kinds = ["text" if index < left else "number" for index in range(len(columns))]
    head = element("tr", *(element("th", name, _class=kind) for name, kind in zip(columns, kinds, strict=True)))
    body = [
        element("tr", *(element("td", cell, _class=kind) for cell, kind in zip(row, kinds, strict=True)))
        for row in rows
    ]
    return element(
        "div", element("table", element("thead", head), element("tbody", *body)), _class="scroll", tabindex="0"
    )


def terms(entries: Iterable[tuple[object, object]]) -> Markup:
    """Write a list of names, each with what belongs to it."""
    return element("dl", *(element("div", element("dt", name), element("dd", content)) for name, content in entries))


def folded(summary: str, *children: object) -> Markup:
    """Write content that opens on a click."""
    return element("details", element("summary", summary), *children)


def figure(name: str, caption: str) -> Markup:
    """Write the place that ``draw.js`` fills with the figure of this name."""
    frame = element("div", id=f"figure-{name}", _class="plot", role="img", aria_label=caption)
    return element("figure", frame, element("figcaption", caption))
