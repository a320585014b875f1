"""A certified serving plan as one HTML page that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from planner.files import write_text
from planner.report import sections
from planner.report.figures import figures
from planner.report.markup import Markup, element
from planner.report.summary import summary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_report(path: Path, payload: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    """Write the page of a plan, whole or not at all."""
    write_text(path, render_html(payload, plan))


def render_html(payload: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Write a plan's page.

    Parameters
    ----------
    payload
        Document of the plan, as `planner.studies.payload.answer_payload` makes it.
    plan
        ``Plan.model_dump()``; its ``domains`` are drawn.

    Returns
    -------
    str
        HTML with style, figures and scripts inside. A content policy allows these scripts and no other, and no request.
    """
    drawn = figures(payload)
    scripts = _scripts() if drawn else ()
    details = (
        sections.deployments(payload),
        sections.domains(payload, plan),
        sections.step_times(payload),
        sections.experts(payload),
        sections.assumptions(payload),
        sections.search(payload),
    )
    main = element("main", summary(payload), element("h2", "Details", _class="part"), *details)
    body = element("body", main, _data_block(drawn), *(element("script", script) for script in scripts))
    page = element("html", _head(str(payload["title"]), scripts), body, lang="en")
    return f"<!doctype html>\n{page}\n"


def _head(title: str, scripts: tuple[Markup, ...]) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(_asset("page.css"))),
    )


def _policy(scripts: tuple[Markup, ...]) -> str:
    """Allow the page's own scripts by their hash; a script that slips in by a name does not run."""
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts) or "'none'"
    rules = ("default-src 'none'", f"script-src {hashes}", "style-src 'unsafe-inline'", "img-src data: blob:")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _scripts() -> tuple[Markup, ...]:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs()), Markup(_asset("draw.js"))


def _asset(name: str) -> str:
    return resources.files("planner.report").joinpath(name).read_text(encoding="utf-8")


def _data_block(drawn: Mapping[str, Any]) -> Markup:
    """Write the figures as JSON that the page's script reads; "<" is escaped, so that no text can end the block."""
    text = json.dumps(drawn, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return element("script", Markup(text), type="application/json", id="figures")
