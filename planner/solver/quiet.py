"""HiGHS without its banner: a command's stdout may hold one JSON document and nothing else."""

from __future__ import annotations

import highspy


class QuietHighs(highspy.Highs):
    """A HiGHS object that never writes to the console.

    highspy prints a banner to stdout when it switches its callbacks on, which its constructor does before anybody can
    set an option; so the console log is switched off there.
    """

    def enableCallbacks(self) -> None:
        """Switch the callbacks on, the console log off first."""
        self.setOptionValue("log_to_console", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]
