"""The frame of every page: head, content policy, style, data and scripts in one file that asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from planner.report.markup import Markup, element

if TYPE_CHECKING:
    from collections.abc import Mapping

_DRAWN_BY_PLOTLY = ("drawings", "sweeps")


def whole_page(
    title: str,
    content: Markup,
    figures: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    styles: tuple[str, ...] = (),
) -> str:
    """Write a page.

    Parameters
    ----------
    title
        Name of the page.
    content
        What stands in ``main``.
    figures
        Plotly documents by name; the content has a `planner.report.markup.figure` for each.
    data
        What the page's scripts draw from: ``drawings``, ``maps`` and ``loads`` of experts, ``sweeps``.
    styles
        Style sheets of this folder that the page needs besides those of every page.

    Returns
    -------
    str
        HTML; a content policy allows the page's own scripts and no other, and no request.
    """
    drawn, known = dict(figures or {}), dict(data or {})
    scripts = _scripts(with_plotly=bool(drawn or any(known.get(key) for key in _DRAWN_BY_PLOTLY)))
    body = element(
        "body",
        element("main", content),
        data_block("figures", drawn),
        data_block("data", known),
        *(element("script", script) for script in scripts),
    )
    page = element("html", _head(title, scripts, styles), body, lang="en")
    return f"<!doctype html>\n{page}\n"


def _head(title: str, scripts: tuple[Markup, ...], styles: tuple[str, ...]) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Markup("".join(_asset(name) for name in ("page.css", "views.css", *styles)))),
    )


def _policy(scripts: tuple[Markup, ...]) -> str:
    """Allow the page's own scripts by their hash; a script that slips in by a name does not run."""
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts) or "'none'"
    rules = ("default-src 'none'", f"script-src {hashes}", "style-src 'unsafe-inline'", "img-src data: blob:")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _scripts(*, with_plotly: bool) -> tuple[Markup, ...]:
    if not with_plotly:
        return (Markup(_asset("filter.js")),)
    from plotly.offline import get_plotlyjs

    own = "".join(_asset(name) for name in ("draw.js", "topology.js", "sweep.js", "filter.js"))
    return Markup(get_plotlyjs()), Markup(own)


def _asset(name: str) -> str:
    return resources.files("planner.report").joinpath(name).read_text(encoding="utf-8")


def data_block(name: str, content: Mapping[str, Any]) -> Markup:
    """Write JSON that the page's scripts read; "<" is escaped, so that no text can end the block."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return element("script", Markup(text), type="application/json", id=name)


_HEADING = re.compile(r"<(/?)h([1-5])(?=[ >])")
_NAME = re.compile(
    r' (id|for|aria-labelledby|aria-controls|aria-describedby|data-drawing|data-sweep|data-table)="([^"]*)"'
)


def nested(content: Markup, prefix: str) -> Markup:
    """Make a run's content a part of a larger page: headings one level down, names of elements with ``prefix``.

    Text and attribute values are escaped, so tags and names can be told from them.
    """
    lower = _HEADING.sub(lambda found: f"<{found[1]}h{int(found[2]) + 1}", content)
    return Markup(_NAME.sub(lambda found: f' {found[1]}="{_prefixed(found[2], prefix)}"', lower))


def _prefixed(name: str, prefix: str) -> str:
    start = "figure-" if name.startswith("figure-") else ""
    return f"{start}{prefix}{name.removeprefix('figure-')}"


def renamed(named: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Put ``prefix`` before every name, as `nested` does with the elements that they fill."""
    return {f"{prefix}{name}": value for name, value in named.items()}
