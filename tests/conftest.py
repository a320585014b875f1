"""Its place makes ``tests/`` importable, so that every test finds ``helpers``.

Properties are tried on the same examples in every run, so that a change is judged by the change; set
HYPOTHESIS_PROFILE to ``explore`` to try new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
