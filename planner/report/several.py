"""One page of one run, or of several side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report.markup import Markup, element, joined
from planner.report.page import nested, renamed, whole_page
from planner.report.side_by_side import side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.report.html import Part

TITLE = "{count} runs on one page"


def page_of_parts(parts: Sequence[Part]) -> str:
    """Write a page: a single run as it is; several below their list and table, with headings one level down."""
    if len(parts) == 1:
        return whole_page(parts[0].title, parts[0].content, parts[0].figures, parts[0].data)
    figures: dict[str, Any] = {}
    data: dict[str, dict[str, Any]] = {}
    articles: list[Markup] = []
    for number, part in enumerate(parts, 1):
        prefix = f"r{number}-"
        figures |= renamed(part.figures, prefix)
        for kind, named in part.data.items():
            data.setdefault(kind, {}).update(renamed(named, prefix))
        articles.append(element("article", nested(part.content, prefix), id=f"run{number}", aria_label=part.title))
    title = TITLE.format(count=len(parts))
    links = [
        element("li", element("a", f"{part.title}", href=f"#run{number}"), _about(part))
        for number, part in enumerate(parts, 1)
    ]
    contents = element("nav", element("ol", *links, _class="runs"), aria_label="Runs on this page")
    top = [element("header", element("h1", title), contents), side_by_side(parts)]
    return whole_page(title, joined([*top, *articles]), figures, data)


def _about(part: Part) -> str:
    return f": {part.gist}" if part.gist else ""
