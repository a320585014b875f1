"""`planner report` on plans, sweeps and placements, whole and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from page_tools import tags_of, visible
from typer.testing import CliRunner
from view_samples import MAP, latency_sweep, scale_out_sweep, write_solve, write_sweep

from planner.cli.app import app


def run(*words: str) -> tuple[int, str, str]:
    """Run the command."""
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout, result.stderr


def test_a_plan_shows_its_views(tmp_path: Path) -> None:
    """Drawing, curves and front stand on the page of a plan that has them, the drawing's data once."""
    folder = write_solve(tmp_path / "run")
    code, _, _ = run("report", str(folder))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert code == 0
    assert tags_of(page)
    for heading in (
        "Which GPU holds which expert",
        "Cost and step time against the batch",
        "Cost against time per tok",
    ):
        assert heading in visible(page)
    assert page.count(json.dumps(MAP, separators=(",", ":"))) == 1
    assert len(page) < 8_000_000


def test_a_plan_without_views_shows_the_rest(tmp_path: Path) -> None:
    """A run of an earlier version has no views.json; its page has no place for them."""
    folder = write_solve(tmp_path / "run")
    (folder / "views.json").unlink()
    assert run("report", str(folder))[0] == 0
    text = visible((folder / "report.html").read_text(encoding="utf-8"))
    assert "Which GPU holds which expert" not in text
    assert "Where the time of a step goes" in text


def test_a_sweep_says_where_spreading_stops_paying(tmp_path: Path) -> None:
    """At 2,048 tokens two racks pay up to a ratio of 4 and one pays from 9; the figure's caption says it too."""
    folder = write_sweep(tmp_path / "sweep", scale_out_sweep())
    code, out, _ = run("report", str(folder), "--format", "json")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert code == 0
    assert json.loads(out)["path"].endswith("sweep/report.html")
    caption = page.split("<figcaption>")[1].split("</figcaption>")[0]
    assert "stops between 4 and 9 at document_tokens 2,048" in caption
    text = visible(page)
    assert "Cost runs from $102.00 (scale_out_ratio 2, document_tokens 2,048)" in text
    assert "a.price 1.5 to 1.6 small large $80.00 $81.00" in text
    assert "7 points, 6 with a plan, 1 without." in text


def test_a_sweep_under_way_is_shown(tmp_path: Path) -> None:
    """Without Parquet the lines so far are read, a last line cut short is dropped, and the page says it is not all."""
    folder = write_sweep(tmp_path / "sweep", scale_out_sweep())
    (folder / "points.parquet").unlink()
    lines = (folder / "points.jsonl").read_text().splitlines()
    (folder / "points.jsonl").write_text("\n".join([*lines[:3], lines[3][:40]]))
    assert run("report", str(folder))[0] == 0
    text = visible((folder / "report.html").read_text(encoding="utf-8"))
    assert "3 points, 3 with a plan" in text
    assert "The sweep has not ended" in text


def test_a_placement_of_a_load_file_is_shown(tmp_path: Path) -> None:
    """`planner place --out` leaves what the page needs; without it the page says what is missing."""
    load = np.random.default_rng(3).lognormal(0, 0.6, (3, 16)).round(3)
    (tmp_path / "load.json").write_text(json.dumps({"logical_count": (1000 * load).tolist()}))
    folder = tmp_path / "placement"
    words = ("--gpus", "8", "--gpus-per-node", "4", "--redundant", "8", "--out", str(folder), "--quiet")
    assert run("place", "--loads", str(tmp_path / "load.json"), *words)[0] == 0
    assert run("report", str(folder))[0] == 0
    text = visible((folder / "report.html").read_text(encoding="utf-8"))
    assert "Experts on 8 GPUs" in text
    assert "Which GPU holds which expert" in text
    (folder / "views.json").unlink()
    assert run("report", str(folder))[0] == 0
    assert "holds the map alone" in visible((folder / "report.html").read_text(encoding="utf-8"))


def test_several_runs_are_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan and two sweeps become outputs/report.html with a list of all three; --out names another file."""
    monkeypatch.chdir(tmp_path)
    write_solve(Path("run"))
    write_sweep(Path("ratio"), scale_out_sweep())
    write_sweep(Path("latency"), latency_sweep())
    code, out, _ = run("report", "run", "ratio", "latency", "--format", "json")
    assert (code, json.loads(out)) == (0, {"path": "outputs/report.html"})
    page = Path("outputs/report.html").read_text(encoding="utf-8")
    assert "3 runs on one page" in visible(page)
    assert page.count("</article>") == 3
    assert run("report", "run", "ratio", "--out", "here.html")[0] == 0
    assert Path("here.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("points.parquet", b"PAR1", "is cut short or no Parquet table"),
        ("sweep.json", b'{"sweep": "ra', "is cut short or not JSON"),
    ],
)
def test_a_sweep_cut_short_is_refused(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    """Exit 2 with the file and a remedy; the page that was there stays."""
    folder = write_sweep(tmp_path / "sweep", scale_out_sweep())
    (folder / "report.html").write_text("as it was")
    (folder / name).write_bytes(content)
    code, _, notes = run("report", str(folder))
    assert code == 2
    assert name in notes
    assert word in notes
    assert (folder / "report.html").read_text() == "as it was"


def test_a_table_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """Parquet has its index at the end: whatever is cut off, no row is shown as if it were all."""
    folder = write_sweep(tmp_path / "sweep", scale_out_sweep())
    whole = (folder / "points.parquet").read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (folder / "points.parquet").write_bytes(whole[:length])
        assert run("report", str(folder))[0] == 2


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses is said with the folder's name, exit 2 (simulated: tests may run as root)."""
    folder = write_solve(tmp_path / "run")

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    code, _, notes = run("report", str(folder))
    assert code == 2
    assert "run: cannot be read: Permission denied" in notes


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A file where the folder of the page should be: exit 2 and nothing written."""
    folder = write_solve(tmp_path / "run")
    (tmp_path / "file").write_text("")
    code, _, notes = run("report", str(folder), "--out", str(tmp_path / "file" / "page.html"))
    assert code == 2
    assert "cannot be written" in notes
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("views", ['{"curves": 3}', '{"drawings": [{"map": "24x11"}]}', "[]", "{"])
def test_damaged_views_are_refused(tmp_path: Path, views: str) -> None:
    """Views of another shape are bad input, not a crash."""
    folder = write_solve(tmp_path / "run")
    (folder / "views.json").write_text(views)
    code, _, notes = run("report", str(folder))
    assert code == 2
    assert "run" in notes
    assert not (folder / "report.html").exists()


def test_scores_of_the_cost_model_stand_beside_a_plan(tmp_path: Path) -> None:
    """What `planner validate` printed goes on the page as it is: 12.5 % for the model, 17.4 % for its baseline."""
    folder = write_solve(tmp_path / "run")
    error = {"n": 30, "mape_tpot": 12.5, "mape_ttft": 33.0, "mape_throughput": None}
    scored = {
        "file": "measured.csv",
        "profile": "fitted",
        "by": "group",
        "left_out": True,
        "rows": 30,
        "groups": [error | {"group": "<b>large</b>_moe"}],
        "overall": error,
        "baselines": {"hand_values": error | {"mape_tpot": 17.4}},
    }
    (tmp_path / "scores.json").write_text(json.dumps(scored))
    page = tmp_path / "page.html"
    assert run("report", str(folder), str(tmp_path / "scores.json"), "--out", str(page))[0] == 0
    text = visible(page.read_text(encoding="utf-8"))
    assert "this model 30 12.5 33.0 - hand values 30 17.4 33.0 -" in text
    assert "each group left out of its own fit" in text
    assert "&lt;b&gt;large&lt;/b&gt; moe" in text
    (tmp_path / "scores.json").write_text('{"rows": 3}')
    code, _, notes = run("report", str(tmp_path / "scores.json"))
    assert (code, "is not what `planner validate" in notes) == (2, True)


def test_bands_of_a_fitted_profile_are_told(tmp_path: Path) -> None:
    """A plan on a scored calibration says how far measurements lay from it, one on hand values that none is."""
    folder = write_solve(tmp_path / "run")
    assert run("report", str(folder))[0] == 0
    assert "its error is unknown" in visible((folder / "report.html").read_text(encoding="utf-8"))
    manifest = json.loads((folder / "manifest.json").read_text())
    band = {"low": 0.82, "high": 1.24}
    bands = {"nominal": 0.8, "tpot": band, "ttft": band, "throughput": band, "hardware": ["h100"], "engines": ["vllm"]}
    manifest["result"]["assumptions"]["calibration"]["bands"] = bands
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert run("report", str(folder))[0] == 0
    text = visible((folder / "report.html").read_text(encoding="utf-8"))
    assert "time per token 0.82 1.24" in text
    assert "80 % lay between these factors" in text


def test_a_device_is_no_page(tmp_path: Path) -> None:
    """A page is renamed into place, which would put a file where /dev/null was: that is refused."""
    code, _, notes = run("report", str(write_solve(tmp_path / "run")), "--out", "/dev/null")
    assert code == 2
    assert "is a device" in notes
    assert Path("/dev/null").is_char_device()
