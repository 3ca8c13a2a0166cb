"""The pictures of made scenes in the documents: python docs/pictures.py [CHECKPOINT]

CHECKPOINT is a network that benchmarks/learn.py left in --work (dff-wild/model.pt); without one depth.png stays as it
is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from focalsim.camera import load_profile
from focalsim.color import linear_to_srgb
from focalsim.config import RenderConfig
from focalsim.job import plan_job, render_sample
from focalsim.preview import contact_sheet
from focalsim.rng import sample_rng
from focalsim.sources import FrameRequest, open_source

IMAGES = Path(__file__).resolve().parent / "images"
COLUMNS, ROWS, SIZE = 6, 5, (240, 160)
CHOSEN = 0  # of the thirty, whose stack is shown
REQUEST = FrameRequest(*SIZE, near_m=0.1, far_m=1.0, focal_over_width=0.79)


def main() -> None:
    """The pictures, into docs/images."""
    scenes()
    stack()
    for checkpoint in sys.argv[1:]:
        depth(Path(checkpoint).resolve())
    if which("chromium") and which("chromedriver"):
        page()
    else:
        print("no chromium and chromedriver: docs/images/page.jpg stays as it is")


def stack() -> None:
    """The focal stack of a scene that has something in front of something everywhere."""
    config = RenderConfig(phones=(load_profile("pixel4").to_dict(),), slices=4)
    sample = render_sample(plan_job(config, open_source(None), CHOSEN + 1), CHOSEN)
    cv2.imwrite(str(IMAGES / "stack.png"), contact_sheet([sample])[..., ::-1])


def scenes() -> None:
    """Thirty scenes in order of their seed, none chosen, each above its inverse depth (bright is near)."""
    source = open_source(None)
    rows = []
    for row in range(ROWS):
        scenes = [source.load(n, REQUEST, sample_rng(0, n, "scene")) for n in range(row * COLUMNS, (row + 1) * COLUMNS)]
        rows.append(np.hstack([_small(linear_to_srgb(scene.rgb_linear)) for scene in scenes]))
        rows.append(np.hstack([_inverse_depth(scene.depth_m) for scene in scenes]))
    cv2.imwrite(str(IMAGES / "scenes.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 82])


def depth(checkpoint: Path) -> None:
    """The median of 24 unseen scenes, as a network finds its depth."""
    with TemporaryDirectory() as folder:
        _run("focalsim render --samples 24 --slices 6 --seed 100 --out unseen", folder)
        _run(f"dffnet eval {checkpoint} unseen --out eval", folder)
        shutil.copyfile(Path(folder) / "eval/median.png", IMAGES / "depth.png")


def page() -> None:
    """The page of a bundle, focused by a click, as Chromium shows it."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = which("chromium")
    for switch in ("--headless", "--no-sandbox", "--disable-gpu"):
        options.add_argument(switch)
    with TemporaryDirectory() as folder:
        for command in ("render --samples 6 --phone all --out made", "preview made --samples 3 --out page.html"):
            _run(f"focalsim {command}", folder)
        driver = webdriver.Chrome(options=options, service=Service(which("chromedriver")))
        size = {"width": 1200, "height": 860, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get((Path(folder) / "page.html").as_uri())
        slice_ = driver.find_element("id", "slice")
        webdriver.ActionChains(driver).pause(1).move_to_element_with_offset(slice_, 60, 20).click().pause(1).perform()
        pixels = cv2.imdecode(np.frombuffer(driver.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
        driver.quit()
    cv2.imwrite(str(IMAGES / "page.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])


def _run(command: str, folder: str) -> None:
    program, *arguments = command.split()
    subprocess.run([Path(sys.executable).parent / program, *arguments], cwd=folder, check=True)


def _small(rgb: np.ndarray) -> np.ndarray:
    return cv2.resize(rgb[..., ::-1], SIZE, interpolation=cv2.INTER_AREA)


def _inverse_depth(depth_m: np.ndarray) -> np.ndarray:
    inverse = (1 / depth_m - 1 / REQUEST.far_m) / (1 / REQUEST.near_m - 1 / REQUEST.far_m)
    codes = np.clip(255 * inverse, 0, 255).astype(np.uint8)
    half = cv2.resize(codes, (SIZE[0], SIZE[1] // 2), interpolation=cv2.INTER_AREA)
    return cv2.applyColorMap(half, cv2.COLORMAP_MAGMA)


if __name__ == "__main__":
    main()
