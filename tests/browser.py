"""Pages in a real headless Chromium: what it draws, what it complains of, what it asks the network for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Page:
    """A page opened from disk; ``js`` runs a function's body in it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def js(self, body: str, *arguments: Any) -> Any:
        return self.driver.execute_script(body, *arguments)

    def open(self, path: Path, *, width: int = 1200, height: int = 900) -> Page:
        """Open a file in a window of that size, and wait until the page says that it is ready, if it ever does."""
        from selenium.webdriver.support.wait import WebDriverWait

        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)  # what earlier pages left
        self.driver.get(path.resolve().as_uri())
        WebDriverWait(self.driver, 20, 0.02).until(lambda _: self.js("return document.body.dataset.ready !== ''"))
        return self

    def wait(self, body: str) -> Any:
        """What ``body`` returns, once that is true."""
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, 10, 0.02).until(lambda _: self.js(body))

    def text(self, element: str) -> str:
        return str(self.js("return document.getElementById(arguments[0]).textContent", element))

    def pixels(self, canvas: str) -> list[int]:
        """RGBA of a canvas."""
        body = """const c = document.getElementById(arguments[0]);
            const copy = Object.assign(document.createElement("canvas"), {width: c.width, height: c.height});
            const context = copy.getContext("2d", {willReadFrequently: true});
            context.drawImage(c, 0, 0);
            return [...context.getImageData(0, 0, c.width, c.height).data]"""
        values: list[int] = self.js(body, canvas)
        return values

    def at(self, canvas: str, x: int, y: int, *, click: bool = False) -> None:
        """Move the mouse onto the middle of a canvas' pixel (x, y)."""
        body = """const c = document.getElementById(arguments[0]); c.scrollIntoView({block: "center"});
            const b = c.getBoundingClientRect();
            const [x, y] = [arguments[1] + 0.5, arguments[2] + 0.5];
            return [b.left + x * b.width / c.width, b.top + y * b.height / c.height]"""
        left, top = self.js(body, canvas, x, y)
        kinds = ["mouseMoved", *(["mousePressed", "mouseReleased"] if click else [])]
        for kind in kinds:
            pressed = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
            self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": left, "y": top, **pressed})

    def key(self, name: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        ActionChains(self.driver).send_keys(getattr(Keys, name)).perform()

    def complaints(self) -> list[str]:
        """What stands in the console."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Every URL that was asked for since :meth:`open`, without those that hold their content."""
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def overflow_px(self) -> int:
        """By how much the page is wider than its window."""
        return int(self.js("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def start(profile: Path) -> Iterator[Page]:
    """A browser with the empty folder ``profile`` for its own; skips where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("no chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = programs[0]
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=Service(programs[1]))
    try:
        yield Page(driver)
    finally:
        driver.quit()
