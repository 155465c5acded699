"""A headless Chromium for the tests of the page, steered over its driver; and why there is none, where that is so."""

import json
import os
import shutil
import subprocess
import time

import pytest

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --force-device-scale-factor=1"
).split()
PATIENCE = 60  # seconds for anything, on a machine that is busy with something else


def why_not():
    """What is missing for these tests, or None."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "needs selenium"
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return "needs Debian's packages chromium and chromium-driver"
    return None


class Browser:
    def __init__(self, profile, dark=False, size=(1440, 1000)):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service(
            shutil.which("chromedriver"), log_output=subprocess.DEVNULL, env={**os.environ, "HOME": str(profile)}
        )
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(PATIENCE)
        self.driver.set_page_load_timeout(PATIENCE)
        self.size(*size)
        self.command("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
        self.scheme("dark" if dark else "light")
        self.errors = []

    def command(self, name, **arguments):
        return self.driver.execute_cdp_cmd(name, arguments)

    def size(self, width, height):
        """The size of the page, not of a window with a frame around it."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def scheme(self, name):
        # without motion: what is asked for is there at once
        features = [
            {"name": "prefers-color-scheme", "value": name},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.command("Emulation.setEmulatedMedia", features=features)

    def open(self, path):
        self.driver.get_log("performance")
        self.driver.get_log("browser")
        self.driver.get(f"file://{path}")
        self.until("return document.documentElement.dataset.state", "the page to be ready")
        assert self.run("return document.documentElement.dataset.state") == "ready", self.said()
        self.settled()

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, script, what):
        """Wait for a script to return something true, and return it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := self.run(script):
                return found
            time.sleep(0.02)
        raise AssertionError(f"waited {PATIENCE} s for {what}: {self.said()}")

    def settled(self):
        """Until what was asked for is drawn: two frames."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        )

    def said(self):
        """What the console said that is no praise."""
        entries = [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        return [entry["message"] for entry in entries if "willReadFrequently" not in entry["message"]]  # that is us

    def requested(self):
        """Everything that the page asked any network or disk for."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    # -- as somebody who does not see it

    def tree(self):
        """The accessibility tree: (role, name, properties) of what is not ignored."""
        nodes = self.command("Accessibility.getFullAXTree")["nodes"]
        return [
            (
                node["role"]["value"],
                node.get("name", {}).get("value", ""),
                {p["name"]: p["value"].get("value") for p in node.get("properties", ())},
            )
            for node in nodes
            if not node["ignored"]
        ]

    def lanes(self):
        return [name for role, name, _ in self.tree() if role == "treeitem"]

    # -- as somebody with a mouse, keys or fingers

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def click(self, selector, text=None):
        found = [one for one in self.all(selector) if text is None or one.text.strip() == text]
        assert found, f"no {selector} {text or ''}"
        found[0].click()
        self.settled()

    def keys(self, *keys, into="#chart"):
        self.run("document.querySelector(arguments[0]).focus()", into)
        for key in keys:
            self.press(key)

    def press(self, key):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(key).perform()
        self.settled()

    def point(self, kind, x, y, **more):
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        self.settled()

    def drag(self, start, end, **more):
        self.point("mousePressed", *start, button="left", buttons=1, clickCount=1, **more)
        for step in (1, 2, 3, 4):
            x, y = (a + (b - a) * step / 4 for a, b in zip(start, end, strict=True))
            self.point("mouseMoved", x, y, button="left", buttons=1, **more)
        self.point("mouseReleased", *end, button="left", buttons=0, clickCount=1, **more)

    def touch(self, kind, *fingers):
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
        self.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self.settled()

    def view(self):
        return self.run("const v = clearloopTimeline.app.view; return [v.begin, v.end]")

    def where(self, lane, time):
        """Where on the screen a lane is at a moment (ns)."""
        return self.run(
            """const { app } = clearloopTimeline, box = document.getElementById("chart").getBoundingClientRect();
            const name = (row) => app.model.strings[row.loop.tasks.name[row.lane]];
            const row = app.rows.find((row) => row.type === "task" && name(row) === arguments[0]);
            const y = 26 + row.top + row.height / 2 - document.getElementById("scroller").scrollTop;
            return [box.left + (arguments[1] - app.view.begin) * app.scale, box.top + y]""",
            lane,
            time,
        )

    def colour(self, x, y):
        """What stands on the chart there: red, green, blue."""
        return self.run(
            """const chart = document.getElementById("chart"), box = chart.getBoundingClientRect();
            const x = Math.round(arguments[0] - box.left), y = Math.round(arguments[1] - box.top);
            return [...chart.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3)""",
            x,
            y,
        )

    def close(self):
        self.driver.quit()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()
