"""A page in Debian's Chromium, with all that it complained about or asked for."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium"),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open one Chromium."""
    with sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield opened
        opened.close()


class Opened:
    """A page on a laptop in daylight; ``waits_for`` is a selector of the last thing that is drawn."""

    def __init__(self, browser: Browser, path: Path, waits_for: str) -> None:
        self.page: Page = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light").new_page()
        self.address = path.as_uri()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(self.address)
        self.page.locator(waits_for).last.wait_for()

    def _dismiss(self, dialog: Any) -> None:  # noqa: ANN401 - playwright's own type
        self.complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()
