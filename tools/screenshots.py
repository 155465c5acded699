"""Makes the pictures of the timeline that stand in the documentation, with the commands that it names.

    python tools/screenshots.py [FOLDER]    docs/images unless said otherwise

Needs clearloop compiled in src, selenium, and Debian's chromium and chromium-driver; with pillow the pictures have 256
colours and are a third as large.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).parents[1]
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
FLAGS += "--disable-component-update --disable-sync --hide-scrollbars"
SIZE = (1280, 760)
SHOWN = Path("/tmp/demo")
TRIES = 30
# What is done before: false when a busy machine held somebody, too, and it has to be taken again.
JOB_1 = """
const rows = [...document.querySelectorAll("#table tbody tr")];
rows.find((row) => row.children[1].innerText === "job 1").click();
return rows.length === 10"""
NO_RED = "return document.getElementById('details').innerText.startsWith('Nothing held the loop')"
# picture: program, scheme, what is done before
PICTURES = {
    "timeline-blocked.png": ("ten_jobs_blocked.py", "light", JOB_1),
    "timeline-free.png": ("ten_jobs_free.py", "light", NO_RED),
    "timeline-blocked-dark.png": ("ten_jobs_blocked.py", "dark", JOB_1),
}


def timeline(program, path):
    """The page of an example, by the command that users type, in a folder whose name may be seen."""
    SHOWN.mkdir()
    try:
        shutil.copy(HOME / "examples" / program, SHOWN)
        environment = {**os.environ, "CLEARLOOP_LIVE": "0", "PYTHONPATH": str(HOME / "src")}
        words = [sys.executable, "-m", "clearloop", "run", "--timeline", path, program]
        subprocess.run(words, check=True, cwd=SHOWN, env=environment)
    finally:
        shutil.rmtree(SHOWN)


def chromium(profile):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def take(driver, page, scheme, action, path):
    """Take the picture; False when what it is to show is not there."""
    width, height = SIZE
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get(f"file://{page}")
    deadline = time.monotonic() + 60
    while driver.execute_script("return document.documentElement.dataset.state") != "ready":
        assert time.monotonic() < deadline, "the page does not get ready"
        time.sleep(0.05)
    if not driver.execute_script(action):
        return False
    time.sleep(0.5)  # it rests: drawn finely
    driver.save_screenshot(str(path))
    try:
        from PIL import Image
    except ImportError:
        print("no pillow: the picture is large")
    else:
        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} KiB")
    return True


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else HOME / "docs" / "images").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        driver = chromium(Path(temporary, "profile"))
        try:
            for name, (program, scheme, action) in PICTURES.items():
                for _ in range(TRIES):
                    page = Path(temporary, program).with_suffix(".html")
                    timeline(program, page)
                    if take(driver, page, scheme, action, folder / name):
                        break
                else:
                    sys.exit(f"{name}: the machine is too busy for a picture of what the program does by itself")
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
