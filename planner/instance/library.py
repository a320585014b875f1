"""Where the shipped data files are: the checkout's ``instances`` folder, or the copy inside the installed package."""

from __future__ import annotations

import functools
from pathlib import Path

from planner.errors import InstanceError

KINDS = (
    "hardware",
    "models",
    "families",
    "workloads",
    "laws",
    "calibration",
    "cases",
    "sweeps",
    "prices",
    "prices/api",
    "menus",
    "memory_tiers",
    "tiny",
)


@functools.cache
def instances_root() -> Path:
    """Folder of the shipped data files; a checkout's own folder wins over the installed copy."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "instances"
    return checkout if (package.parent / "pyproject.toml").is_file() and checkout.is_dir() else package / "_instances"


def names(kind: str) -> list[str]:
    """Return the names of the shipped files of one kind, sorted."""
    return sorted(path.stem for path in (instances_root() / kind).glob("*.toml"))


def find(kind: str, name_or_path: str) -> Path:
    """Path of a data file given by name or by path.

    Raises
    ------
    InstanceError
        If there is no such file; the message lists the names that exist.
    """
    for candidate in (Path(name_or_path), instances_root() / kind / f"{name_or_path}.toml"):
        if candidate.suffix == ".toml" and is_file(candidate):
            return candidate
    known = ", ".join(names(kind))
    raise InstanceError.single(
        name_or_path, "", f"no such file in {kind}", f"give a path to a .toml file or one of: {known}"
    )


def is_file(path: Path) -> bool:
    """Whether ``path`` is a file; a name that no file can have, such as one of 5,000 letters, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
