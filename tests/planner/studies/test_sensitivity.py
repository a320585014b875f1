"""What one more unit saves: duals of the relaxation agree with solving again, and looser limits never cost more."""

from __future__ import annotations

import pytest
from serving_helpers import tiny

from planner.instance.instance import Instance
from planner.instance.loading_case import load_case
from planner.studies.sensitivity import neighbours, savings


@pytest.mark.parametrize("case", ["tiny_mixtral_island", "dsv3_h800_day"])
def test_duals_agree_with_solving_again(case: str) -> None:
    """Dual times spared replicas is what the relaxation gains, and no looser limit costs more."""
    instance = load_case(case)
    assert isinstance(instance, Instance)
    found = savings(instance)
    assert any(saving.saves_usd_of_used_gpus > 0 for saving in found)
    for saving in found:
        assert saving.saves_usd_of_used_gpus >= -1e-9
        assert saving.dual_usd_of_used_gpus == pytest.approx(saving.saves_usd_of_used_gpus, rel=1e-3, abs=1e-9)


def test_every_limit_is_asked_about() -> None:
    """HBM, its bandwidth, arithmetic, both kinds of link, the domain, and each class's two limits."""
    limits = {limit for limit, _, _ in neighbours(tiny())}
    assert {"HBM of h100", "domain of h100", "scale-up links of h100", "TTFT of chat", "TPOT of document"} <= limits


def test_a_larger_domain_holds_one_more_gpu() -> None:
    """Nine GPUs an island instead of eight, at the same price each."""
    (changed,) = [instance for limit, _, instance in neighbours(tiny()) if limit == "domain of h100"]
    assert changed.pools[0].gpus_per_domain == 9
    assert changed.pools[0].usd_per_gpu_hour == tiny().pools[0].usd_per_gpu_hour


def test_a_change_that_leaves_a_class_unserved_saves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Islands of nine may divide into no layout that meets the limits: such a neighbour is left out, not an error."""
    plain = tiny()
    hopeless = plain.replace(
        demand=tuple(entry.model_copy(update={"tpot_s": 1e-9, "ttft_s": 1e-9}) for entry in plain.demand)
    )
    monkeypatch.setattr(
        "planner.studies.sensitivity.neighbours", lambda _: [("domain of h100", "1 GPU a domain", hopeless)]
    )
    assert savings(plain) == []
