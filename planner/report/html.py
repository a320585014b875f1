"""A certified serving plan as one HTML page that needs no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planner.files import write_text
from planner.report import facts, sections, words
from planner.report.cache_section import cache
from planner.report.curves import curves, view_figures
from planner.report.errors_section import model_error
from planner.report.figures import figures
from planner.report.layout_front import front
from planner.report.markup import Markup, element, joined
from planner.report.page import whole_page
from planner.report.side_by_side import headline
from planner.report.summary import summary
from planner.report.topology import drawing_data, topology

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Views = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """What one run puts on a page.

    Attributes
    ----------
    title, content, gist
        Its name, its text, and its answer in a few words for a list of runs.
    figures, data
        The figures that the text leaves room for, and what the scripts draw from.
    headline
        A plan's cells of the table that sets runs side by side (`planner.report.side_by_side.COLUMNS`); else none.
    """

    title: str
    content: Markup
    figures: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    gist: str = ""
    headline: tuple[str, ...] = ()


def write_report(path: Path, payload: Mapping[str, Any], plan: Mapping[str, Any], views: Views | None = None) -> None:
    """Write the page of a plan, whole or not at all."""
    write_text(path, render_html(payload, plan, views))


def render_html(payload: Mapping[str, Any], plan: Mapping[str, Any], views: Views | None = None) -> str:
    """Write a plan's page.

    Parameters
    ----------
    payload
        Document of the plan, as `planner.studies.payload.answer_payload` makes it.
    plan
        ``Plan.model_dump()``; its ``domains`` and ``expert_maps`` are drawn.
    views
        What `planner.studies.views.serving_views` returns; without it there are no curves and no drawing of experts.

    Returns
    -------
    str
        HTML with style, figures and scripts inside. A content policy allows these scripts and no other, and no request.
    """
    part = solve_part(payload, plan, views or {})
    return whole_page(part.title, part.content, part.figures, part.data)


def solve_part(payload: Mapping[str, Any], plan: Mapping[str, Any], views: Views) -> Part:
    """Write what the page of a plan holds."""
    details = (
        sections.deployments(payload),
        sections.domains(payload, plan),
        topology(views, plan["expert_maps"]),
        cache(payload),
        sections.step_times(payload),
        curves(views),
        front(views),
        sections.experts(payload),
        model_error(payload),
        sections.assumptions(payload),
        sections.search(payload),
    )
    content = joined([summary(payload), element("h2", "Details", _class="part"), *details])
    drawn = figures(payload) | view_figures(views)
    data = drawing_data(views, plan["expert_maps"])
    return Part(str(payload["title"]), content, drawn, data, _gist(payload), headline(payload))


def _gist(payload: Mapping[str, Any]) -> str:
    gpus = words.counted(facts.total_gpus(payload)["paid"], "GPU")
    where = f" ({payload['run_dir']})" if payload.get("run_dir") else ""
    return f"{words.usd(payload['cost_usd'])}, gap {words.share(payload['gap'])}, {gpus} paid{where}"
