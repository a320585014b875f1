"""The details of a plan: deployments, domains, step times, expert balance, assumptions and the search."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from planner.report import facts, words
from planner.report.figures import step_deployments
from planner.report.markup import Markup, element, figure, folded, joined, section, table, terms
from planner.report.summary import swatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHADES = 4


def deployments(payload: Mapping[str, Any]) -> Markup:
    """Write layouts and what each deployment serves."""
    usd = facts.deployment_usd_per_hour(payload)
    several = len(payload["decisions"]["pools"]) > 1
    layouts = [
        (
            entry["name"],
            *([entry["pool"]] if several else []),
            words.PHASES[entry["phase"]],
            f"{entry['replicas']:,} x {entry['gpus']:,}",
            words.layout(entry),
            f"{entry['slots_per_gpu']:,}",
            words.batch(entry),
            words.percent(entry["utilisation"]),
            words.percent(facts.memory_share(entry)),
            words.fixed(entry["imbalance"], 4),
            words.usd(usd[entry["name"]]),
        )
        for entry in payload["decisions"]["deployments"]
    ]
    names = ("Name", "Pool", "Phase") if several else ("Name", "Phase")
    columns = (*names, "Replicas x GPUs", "TP / DP / EP / PP", "Slots/GPU", "Batch a rank")
    served = [
        (
            row.deployment,
            row.name,
            words.number(row.requests_per_s),
            words.against(row.ttft_s, row.ttft_limit_s),
            words.against(row.tpot_s, row.tpot_limit_s),
        )
        for row in facts.service_rows(payload)
    ]
    return section(
        "deployments",
        "Deployments",
        "How the model is laid out: tensor, data, expert and pipeline parallelism, expert slots and batch. HBM is the "
        "share of what weights and KV may take; imbalance is the busiest GPU's expert load over the mean.",
        table((*columns, "Utilisation", "HBM", "Imbalance", "$ an hour"), layouts, left=len(names)),
        element("h3", "What each serves"),
        table(("Deployment", "Class", "Requests/s", "TTFT of limit", "TPOT of limit"), served, left=2),
    )


def domains(payload: Mapping[str, Any], plan: Mapping[str, Any]) -> Markup:
    """Draw each kind of domain as a bar of its fragments and idle GPUs."""
    colours = _colours(payload)
    sizes = {pool["pool"]: pool["gpus_per_domain"] for pool in payload["decisions"]["pools"]}
    bars = [_domain(use, sizes.get(use["pool"]), colours) for use in plan["domains"]]
    legend = [element("li", swatch(colour), name) for name, colour in colours.items()]
    rows = [
        (
            pool["pool"],
            pool["hardware"],
            f"{pool['domains_used']:,}" + ("" if pool["domains"] is None else f" of {pool['domains']:,}"),
            f"{pool['gpus_used']:,}",
            f"{pool['gpus_paid']:,}",
            f"{pool['gpus_idle']:,}",
            words.usd(pool["usd_per_gpu_hour"]),
            pool["price"],
        )
        for pool in payload["decisions"]["pools"]
    ]
    columns = ("Pool", "Hardware", "Domains used", "GPUs used", "Paid", "Idle", "$ a GPU-hour")
    return section(
        "domains",
        "Where it runs",
        "A domain is one rack or island with fast links inside. Each bar is a kind of domain: what it holds, in GPUs.",
        *bars,
        element("ul", *legend, element("li", swatch("--idle"), "idle"), _class="legend"),
        _pool_table((*columns, "Price"), rows),
    )


def _pool_table(columns: tuple[str, ...], rows: Sequence[Sequence[object]]) -> Markup:
    prices = [(row[0], row[-1]) for row in rows]
    return joined([table(columns[:-1], [row[:-1] for row in rows], left=2), folded("Sources of prices", terms(prices))])


def _colours(payload: Mapping[str, Any]) -> dict[str, str]:
    """Give each deployment a shade of its phase's colour."""
    seen: Counter[str] = Counter()
    colours = {}
    for entry in payload["decisions"]["deployments"]:
        colours[entry["name"]] = f"--{entry['phase']}-{seen[entry['phase']] % _SHADES}"
        seen[entry["phase"]] += 1
    return colours


def _domain(use: Mapping[str, Any], gpus_per_domain: int | None, colours: Mapping[str, str]) -> Markup:
    held = sum(content["gpus"] for content in use["holds"])
    whole = gpus_per_domain or held
    parts = [
        _segment(content["deployment"], content["gpus"], whole, colours.get(content["deployment"], "--idle"))
        for content in use["holds"]
    ]
    if whole > held:
        parts.append(_segment("idle", whole - held, whole, "--idle"))
    each = "" if use["domains"] == 1 else " each"
    label = f"{words.counted(use['domains'], 'domain')} of {use['pool']}: {whole:,} GPUs{each}, {whole - held:,} idle"
    return element("div", element("div", label, _class="label"), element("div", *parts, _class="bar"), _class="domain")


def _segment(name: str, gpus: int, whole: int, colour: str) -> Markup:
    kind = "idle" if colour == "--idle" else "pale" if colour[-1] in "13" else "part"
    style = f"width:{100 * gpus / whole:.3f}%;background-color:var({colour})"
    return element("span", f"{gpus:,}", style=style, _class=kind, title=f"{name}: {words.counted(gpus, 'GPU')}")


def step_times(payload: Mapping[str, Any]) -> Markup:
    """Draw the terms of a step of each deployment and list them."""
    parts: list[Markup] = []
    for phase, caption in (("decode", "Decode step"), ("prefill", "Prefill batch")):
        if step_deployments(payload, phase):
            parts += [
                figure(f"step-{phase}", f"{caption} of the longest pipeline stage by cause, milliseconds."),
                folded(f"{caption}: the same in numbers", _step_table(payload, phase)),
            ]
    return section(
        "steps",
        "Where the time of a step goes",
        "Time of one pipeline stage by cause, before overlap hides a part of the communication.",
        *parts,
    )


def _step_table(payload: Mapping[str, Any], phase: str) -> Markup:
    overlap = payload["assumptions"]["overlap_share"]
    rows = []
    for entry in step_deployments(payload, phase):
        spent = entry["step_terms_s"]
        hidden = facts.hidden_s(spent, overlap)
        times = [*(spent.get(term, 0.0) for term in words.TERMS), -hidden, sum(spent.values()) - hidden]
        what = words.batch(entry) + (f" of {facts.first_class(payload, entry)}" if phase == "prefill" else "")
        rows.append((entry["name"], what, *(words.fixed(1e3 * time, 2) for time in times)))
    columns = ("Deployment", "A rank works on", *(f"{label}, ms" for label in words.TERMS.values()))
    return table((*columns, "hidden, ms", "stage, ms"), rows, left=2)


def experts(payload: Mapping[str, Any]) -> Markup:
    """Draw the balance of every layer against its bound and list the maps."""
    if not payload["placement"]:
        return Markup("")
    rows = [
        (
            entry["map"],
            f"{len(entry['layers']):,}",
            words.fixed(entry["balance_mean"], 5),
            words.fixed(min(layer["balance"] for layer in entry["layers"]), 5),
            words.fixed(entry["bound_mean"], 5),
            f"{words.fixed(100 * entry['gap_mean'], 4)} %",
        )
        for entry in payload["placement"]
    ]
    columns = ("Map: ranks x slots", "MoE layers", "Balance", "Worst layer", "Proven bound", "Gap")
    drawn = figure("balance", "Balance of each layer and its proven bound.") if facts.choosable(payload) else ""
    return section(
        "experts",
        "How evenly the experts are spread",
        "Balance is the mean load of the GPUs over the busiest one's: 1 is perfect. The map itself is in plan.json.",
        table(columns, rows),
        drawn,
    )


def assumptions(payload: Mapping[str, Any]) -> Markup:
    """Write what the numbers rest on."""
    given = payload["assumptions"]
    model, calibration = given["model"], given["calibration"]
    hidden = f"; {words.share(given['overlap_share'])} of the shorter of communication and the rest is hidden"
    billions = [words.number(model[key] / 1e9, 3) for key in ("total_params", "active_params")]
    shape = f"{billions[0]} billion parameters, {billions[1]} billion active; "
    shape += f"{words.size(model['weight_bytes'])} of weights"
    if model["moe_layers"]:
        shape += (
            f"; {model['moe_layers']} MoE layers, {model['experts_per_token']} of {model['routed_experts']} experts"
        )
    entries = [
        ("Model", f"{model['title']} ({model['name']})"),
        ("Shape", shape),
        ("KV cache", f"{model['kv_format']}, {model['kv_bytes_per_token']:,.0f} B a token"),
        ("Calibration", f"{calibration['title']} ({calibration['name']})"),
        ("Highest utilisation", words.share(calibration["highest_utilisation"])),
        (
            "Overlap",
            words.OVERLAPS.get(given["overlap"], given["overlap"]) + (hidden if given["overlap_share"] else ""),
        ),
        ("Expert loads", given["expert_load"]),
    ]
    return section(
        "assumptions",
        "What this rests on",
        "The answer is as good as these inputs. The bound holds for the cost model with this calibration.",
        terms(entries),
        folded("Sources of the calibration", terms(calibration["sources"].items())),
        folded("Sources of the case", terms(given["case_sources"].items())) if given["case_sources"] else "",
    )


def search(payload: Mapping[str, Any]) -> Markup:
    """Write how the plan was found, to repeat it."""
    record = payload["search"]
    options = record["options"]
    entries = [
        ("Status", f"{payload['status']}; {words.STOPPED.get(payload['stop_reason'], payload['stop_reason'])}"),
        ("Time", f"{words.duration(payload['seconds'])} in all, {words.duration(record['solve_s'])} in the solver"),
        ("Candidates", f"{record['candidates']:,} of {record['candidates_before_pruning']:,} before pruning"),
        ("Program", f"{record['rows']:,} rows, {record['columns']:,} columns, {record['nonzeros']:,} nonzeros"),
        ("Solves", f"{record['solves']:,} in {words.counted(payload['rounds'], 'round')} of placing and solving"),
        ("Options", f"gap {words.share(options['gap'])}, {options['threads']} threads, seed {options['seed']}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in record["versions"].items())),
    ]
    if payload.get("run_dir"):
        entries.append(("Run folder", str(payload["run_dir"])))
    return section("search", "How it was found", "Record of the search, to repeat it.", terms(entries))
