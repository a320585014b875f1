"""`planner tokens`: the token budget alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from planner.errors import NoPlanFound
    from planner.studies.token_budget import TokenAnswer

EXAMPLE = (
    "Example: planner tokens --law hoffmann --match-params 100e9 --match-tokens 200e12 --inference-tokens 259.2e12 "
    "--decode-penalty 3"
)


def tokens(
    law: Annotated[
        str,
        typer.Option(
            help="A law by name or path; 'all' answers under every shipped law.", autocompletion=complete.laws
        ),
    ],
    inference_tokens: Annotated[float, typer.Option(help="Tokens served over the model's life, T.")],
    loss: Annotated[float | None, typer.Option(help="Loss to reach, nats a token.")] = None,
    match_params: Annotated[float | None, typer.Option(help="Reach the loss of a model of this size.")] = None,
    match_tokens: Annotated[
        float | None, typer.Option(help="Its pre-training tokens; default: the law's optimum for its size.")
    ] = None,
    budget_flop: Annotated[float | None, typer.Option(help="Least loss for this many training FLOP in all.")] = None,
    decode_penalty: Annotated[float, typer.Option(help="Training MFU over decode MFU.")] = 1.0,
    rl_tokens: Annotated[float | None, typer.Option(help="RL tokens.")] = None,
    rl_ratio: Annotated[float | None, typer.Option(help="RL tokens as a multiple of pre-training tokens.")] = None,
    rl_flop_per_param_token: Annotated[
        float | None,
        typer.Option(help="Default 6 + 2 x decode penalty: each rollout generated once and trained on once."),
    ] = None,
    train_usd_per_flop: Annotated[float | None, typer.Option(help="Price of a training FLOP.")] = None,
    serve_usd_per_flop: Annotated[
        float | None, typer.Option(help="Price of a serving FLOP, before the penalty.")
    ] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Choose active parameters and pre-training tokens, given how much the model will serve."""
    with reporting(output_format, quiet=quiet) as output:
        from planner.instance import library
        from planner.instance.law import load_law
        from planner.studies.token_budget import TokenQuestion, token_budget, under_laws

        question = TokenQuestion(
            inference_tokens=inference_tokens,
            loss=loss,
            match_params=match_params,
            match_tokens=match_tokens,
            budget_flop=budget_flop,
            decode_penalty=decode_penalty,
            rl_tokens=rl_tokens,
            rl_ratio=rl_ratio,
            rl_flop_per_param_token=rl_flop_per_param_token,
            train_usd_per_flop=train_usd_per_flop,
            serve_usd_per_flop=serve_usd_per_flop,
        )
        question.check()
        if law == "all":
            answers = under_laws(question, [load_law(name) for name in library.names("laws")])
            payload = {"laws": [_entry(name, answer) for name, answer in answers.items()]}
            output.document(payload, lambda: _table(answers))
            return
        answer = token_budget(question, load_law(law))
        output.document(_entry(law, answer), lambda: _text(answer))


tokens.__doc__ = f"{tokens.__doc__}\n\n{EXAMPLE}"


def _entry(law: str, answer: TokenAnswer | NoPlanFound) -> dict[str, Any]:
    from planner.errors import NoPlanFound

    if isinstance(answer, NoPlanFound):
        return {"law": law, "status": "none", "stop_reason": "infeasible", "reasons": list(answer.reasons)}
    return {"status": "optimal", "stop_reason": "optimal_within_gap", **vars(answer)}


def _text(answer: TokenAnswer) -> str:
    from planner.units import with_prefix

    usd = "" if answer.cost_usd is None else f" = {with_prefix(answer.cost_usd, '$', 4)}"
    regret = "does not apply" if answer.equal_spend_regret is None else f"costs {answer.equal_spend_regret:.2%} more"
    rows = [
        ("active parameters", with_prefix(answer.params, "", 5)),
        ("pre-training tokens", with_prefix(answer.tokens, "", 5)),
        ("RL tokens", with_prefix(answer.rl_tokens, "", 5)),
        ("loss", f"{answer.loss:.6f} nats a token"),
        ("cost", f"{answer.cost_flop:.6g} FLOP{usd}"),
        ("proven bound", f"{answer.bound_flop:.6g} FLOP for this loss; gap {answer.gap:.1e}"),
        (
            "over-training",
            f"{answer.overtraining_rule20:.4g} x 20 N; {answer.overtraining_law:.4g} x the law's optimum",
        ),
        ("serving / training", f"{answer.serving_over_training:.4g}"),
        ("equal-spend rule", regret),
    ]
    lines = [f"law {answer.law}", *(f"  {name:<20} {value}" for name, value in rows)]
    return "\n".join(lines + [f"warning: {warning}" for warning in answer.warnings])


def _table(answers: dict[str, TokenAnswer | NoPlanFound]) -> str:
    from planner.errors import NoPlanFound

    lines = [
        f"{'law':<13}{'params':>9}{'tokens':>10}{'loss':>9}{'cost FLOP':>11}{'D/20N':>8}{'D/law':>8}{'serve/train':>12}"
    ]
    for name, answer in answers.items():
        if isinstance(answer, NoPlanFound):
            lines.append(f"{name:<13} no plan: {'; '.join(answer.reasons)}")
            continue
        lines.append(
            f"{name:<13}{answer.params:>9.3g}{answer.tokens:>10.3g}{answer.loss:>9.4f}{answer.cost_flop:>11.4g}"
            f"{answer.overtraining_rule20:>8.3g}{answer.overtraining_law:>8.3g}{answer.serving_over_training:>12.3g}"
        )
    warnings = [f"warning: {text}" for a in answers.values() if not isinstance(a, NoPlanFound) for text in a.warnings]
    return "\n".join(lines + warnings)
