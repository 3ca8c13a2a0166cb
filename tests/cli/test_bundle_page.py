"""The page of a bundle, used as people use it: in a browser, with mouse and keys."""

from __future__ import annotations

import base64
import json
import re

import cv2
import numpy as np
import pytest
from commands import ok, run

from focalsim.camera import coc_diameter_px, sensor_distance_m
from focalsim.pages import html_page, image_url
from focalsim.pages.bundle import bundle_page, sample_data
from focalsim.preview import CELL_WIDTH_PX

GREYS = (40, 120, 200)  # of the slices, far to near
FOCUS_M = (1.0, 0.2, 0.1)


@pytest.fixture
def plain(make_sample):
    """Slices of one grey each; depth rises from left to right through all focus distances, one corner unknown."""
    depth_m = np.tile(1 / np.linspace(1, 10, 24, dtype=np.float32), (16, 1))
    valid = np.ones((16, 24), bool)
    valid[:4, :4] = False

    def make(index=0, **changes):
        images = np.stack([np.full((16, 24, 3), grey, np.uint8) for grey in GREYS])
        return make_sample(index, **{"images": images, "depth_m": depth_m, "valid": valid, **changes})

    return make


@pytest.fixture
def shown(browser, plain, tmp_path):
    """``shown(n=1, width=..., **changes)``: the page of n such samples, open in the browser."""

    def show(n=1, width=1200, **changes):
        text, count = bundle_page(
            iter([plain(i, **changes) for i in range(n)]),
            [("phone", "pixel4"), ("licence", "CC0-1.0"), ("attribution", "</script><b>me</b> & “co”")],
            title="a <bundle>",
            quality=100,
        )
        assert count == n
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        return browser.open(path, width=width)

    return show


def grey(page, x=12, y=8):
    return page.pixels("slice")[4 * (24 * y + x)]


def test_the_slider_moves_the_picture(shown):
    page = shown()
    seen = []
    for n in range(3):
        page.js(
            "const s = document.getElementById('focus'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))", n
        )
        seen.append((grey(page), page.text("focused")))
    assert seen == [(40, "1 m, slice 1 of 3"), (120, "0.2 m, slice 2 of 3"), (200, "0.1 m, slice 3 of 3")]
    assert page.js("return document.getElementById('focus').getAttribute('aria-valuetext')") == "0.1 m, slice 3 of 3"
    assert page.complaints() == []
    assert len(page.requests()) == 1  # the page itself


def test_the_slider_is_moved_by_the_mouse(shown):
    page = shown()
    left, right = page.js(
        "const b = document.getElementById('focus').getBoundingClientRect(); const y = b.top + b.height / 2;"
        "return [[b.left + 2, y], [b.right - 2, y]]"
    )
    for (x, y), expected in ((right, 200), (left, 40)):
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
        assert grey(page) == expected


@pytest.mark.parametrize("canvas", ["slice", "depth", "sharp"])
def test_a_click_picks_the_slice_that_is_sharpest_there(shown, plain, canvas):
    # No breathing here: so that a pixel of any slice is the pixel of the depth.
    still = {"magnification": np.ones(3, np.float32), "principal_point_px": np.zeros((3, 2), np.float32)}
    page, sample = shown(**still), plain(**still)
    for x in (4, 8, 14, 18, 23):
        page.at(canvas, x, 9, click=True)
        away = [abs(1 / s - 1 / sample.depth_m[9, x]) for s in FOCUS_M]
        assert grey(page) == GREYS[int(np.argmin(away))]
    before = grey(page)
    page.at(canvas, 1, 1, click=True)  # unknown depth: nothing to focus on
    assert grey(page) == before
    assert page.text("reading") == "x 1, y 1: depth unknown"


def test_hovering_reads_depth_and_blur(shown, plain):
    page, sample = shown(), plain()
    lens = {"focal_length_m": sample.focal_length_m, "f_number": sample.f_number}
    v_far = float(sensor_distance_m(sample.focal_length_m, 1.0))
    for n, x in ((0, 20), (1, 5), (2, 12)):
        page.js(
            "const s = document.getElementById('focus'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))", n
        )
        page.at("depth", x, 9)
        found = re.fullmatch(r"x (\d+), y 9: depth ([\d.]+) m, blur ([\d.]+) px", page.text("reading"))
        assert found, page.text("reading")
        depth_m = float(sample.depth_m[9, x])
        blur_px = coc_diameter_px(
            depth_m, FOCUS_M[n], width_px=24, sensor_width_m=sample.sensor_width_m,
            sensor_distance=v_far * float(sample.magnification[n] / sample.magnification[0]), **lens,
        )  # fmt: skip
        assert int(found[1]) == x
        assert float(found[2]) == pytest.approx(depth_m, rel=1e-3)  # 4 digits are shown
        assert float(found[3]) == pytest.approx(float(blur_px), abs=0.0051)


def test_a_pixel_of_a_raw_slice_is_traced_to_the_depth_it_shows(shown):
    """x_n = c + m (x - c) + t: docs/conventions.md."""
    page = shown(
        magnification=np.array([0.5, 0.9, 1], np.float32),
        principal_point_px=np.array([[3, -2], [0, 0], [0, 0]], np.float32),
    )
    page.key("HOME")
    page.at("slice", 15, 6)  # x = c + (15 - c - 3) / 0.5 = 12.5 and y = 8.5, c = (11.5, 7.5)
    assert page.text("reading").startswith("x 12, y 8:") or page.text("reading").startswith("x 13, y 9:")
    page.at("slice", 0, 0)  # beyond the reference slice
    assert page.text("reading").startswith("Point at")
    page.js("document.getElementById('aligned').click()")
    page.at("slice", 15, 6)
    assert page.text("reading").startswith("x 15, y 6:")


def test_aligned_slices_have_the_geometry_of_the_reference_slice(shown):
    images = np.zeros((3, 16, 24, 3), np.uint8)
    images[0, 7:9, 14:16] = 255  # about (14.5, 7.5) in the farthest slice
    page = shown(
        images=images,
        magnification=np.array([0.5, 1, 1], np.float32),
        principal_point_px=np.array([[1, 0], [0, 0], [0, 0]], np.float32),
    )
    page.key("HOME")
    centres = []
    for _ in range(2):
        light = np.array(page.pixels("slice"), float).reshape(16, 24, 4)[..., 0]
        centres.append((light.sum(axis=0) @ np.arange(24)) / light.sum())
        page.js("document.getElementById('aligned').click()")
    # x = c + (14.5 - c - 1) / 0.5
    assert centres == pytest.approx([14.5, 11.5 + 2 / 0.5], abs=0.1)


def test_keys(shown):
    page = shown(n=3, magnification=np.ones(3, np.float32))
    expected = {
        "HOME": ("1 m", 0), "ARROW_RIGHT": ("0.2 m", 0), "ARROW_UP": ("0.1 m", 0), "ARROW_LEFT": ("0.2 m", 0),
        "ARROW_DOWN": ("1 m", 0), "END": ("0.1 m", 0), "PAGE_DOWN": ("0.1 m", 1), "PAGE_UP": ("0.1 m", 0),
    }  # fmt: skip
    for key, (focus, sample) in expected.items():
        page.key(key)
        page.wait(f"return document.body.dataset.ready === '{sample}'")
        assert page.text("focused").startswith(f"{focus}, "), key
        assert page.js("return document.getElementById('sample').value") == str(sample), key
    page.key("PAGE_UP")  # there is none before the first
    assert page.complaints() == []


def test_samples_are_paged_through(shown):
    page = shown(n=2)
    assert page.js("return ['previous', 'next'].map(id => document.getElementById(id).disabled)") == [True, False]
    page.js("document.getElementById('next').click()")
    page.wait("return document.body.dataset.ready === '1'")
    assert page.js("return document.getElementById('sample').selectedOptions[0].textContent") == "1: Köln/x"
    assert page.js("return document.getElementById('next').disabled")


def test_facts_stand_on_top_and_are_only_text(shown):
    page = shown()
    assert page.js("return document.querySelector('h1').textContent") == "a <bundle>"
    facts = page.js("return [...document.querySelectorAll('.facts div')].map(d => d.textContent)")
    assert facts == [
        "phonepixel4",
        "licenceCC0-1.0",
        "attribution</script><b>me</b> & “co”",
        "on this page1 sample",
    ]


@pytest.mark.parametrize("width", [360, 768])
def test_a_phone_is_wide_enough(shown, width):
    page = shown(n=2, width=width, source_id="a/very/" + "long" * 30)
    assert page.overflow_px() == 0
    boxes = page.js(
        "return ['slice', 'depth', 'sharp', 'focus', 'next', 'sample'].map(id => { const b ="
        " document.getElementById(id).getBoundingClientRect(); return [b.left, b.right, b.height] })"
    )
    assert all(left >= 0 and right <= width and height >= 32 for left, right, height in boxes)


def test_everything_to_operate_has_a_name_and_a_ring(shown):
    page = shown(n=2)
    names = page.js(
        "return [...document.querySelectorAll('button, select, input')].map(e => e.getAttribute('aria-label')"
        " || [...(e.labels || [])].map(l => l.textContent.trim()).join())"
    )
    assert names == ["Previous sample", "Sample", "Next sample", "aligned", "Focus"]
    page.key("TAB")
    ring = page.js("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth]")
    assert ring == ["solid", "3px"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(shown, scheme):
    """At least 4.5 to 1 for every colour of text: WCAG 2.1, 1.4.3."""
    page = shown()
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    names = ["--ink", "--quiet", "--accent", "--good", *(f"--series-{n}" for n in range(1, 7))]
    colours = page.js(
        "const s = getComputedStyle(document.documentElement);"
        "return arguments[0].map(n => s.getPropertyValue(n).trim())",
        ["--paper", "--card", *names],
    )
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def luminance(colour):
        channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    assert (luminance(colours[0]) < 0.1) == (scheme == "dark")
    for ground in colours[:2]:
        for name, colour in zip(names, colours[2:], strict=True):
            low, high = sorted([luminance(ground), luminance(colour)])
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, colour, ground)


def test_nothing_is_let_out(browser, tmp_path):
    """Were there a picture from elsewhere in a page, the browser would refuse it."""
    path = tmp_path / "page.html"
    path.write_text(html_page("x", '<img src="http://127.0.0.1:9/x.png">'), encoding="utf-8")
    page = browser.open(path)
    assert any("Content Security Policy" in line for line in page.complaints())


def test_depth_is_stored_to_a_ten_thousandth_of_its_range(plain):
    sample = plain()
    code = sample_data(sample, 90)["depth"]
    png = np.frombuffer(base64.b64decode(code["image"].partition(",")[2]), np.uint8)
    _, low, high = np.moveaxis(cv2.imdecode(png, cv2.IMREAD_COLOR), -1, 0).astype(int)
    value, (far, near) = 256 * high + low, code["dioptres"]
    np.testing.assert_array_equal(value > 0, sample.valid)
    decoded = far + (value - 1) / 65534 * (near - far)
    assert np.abs(decoded - 1 / sample.depth_m)[sample.valid].max() < 1e-4 * (near - far)


def test_lossless_pictures_are_lossless():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    for quality, same in ((100, True), (50, False)):
        content = base64.b64decode(image_url(image, quality).partition(",")[2])
        back = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.array_equal(back, image) is same


def test_the_command_writes_a_page_of_as_many_samples_as_fit(write_shard, tmp_path):
    shard = write_shard(tmp_path / "s.h5", n=4)
    result = ok("preview", shard, "--out", tmp_path / "all.html", "--samples", 9)
    assert result.stdout.strip() == str(tmp_path / "all.html")
    assert "4 samples" in result.stderr
    whole = (tmp_path / "all.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', whole, re.DOTALL)[1])
    assert [s["index"] for s in data["samples"]] == [0, 1, 2, 3]
    assert "nobody: “made up”" in whole
    assert not re.search(r"(src|href)=\"(?!data:)", whole)
    part = len(str(data["samples"][0])) * 2.5 / 1e6
    assert "2 samples" in ok("preview", shard, "--out", tmp_path / "some.html", "--max-mb", part).stderr
    assert "--quality" in run("preview", shard, "--out", tmp_path / "none.html", "--max-mb", 1e-4).stderr
    assert not (tmp_path / "none.html").exists()


def test_the_command_writes_an_animation(write_shard, tmp_path):
    images = np.stack([np.full((16, 24, 3), grey, np.uint8) for grey in GREYS])
    shard = write_shard(tmp_path / "s.h5", n=3, images=images)
    for name, flags in (("sweep.gif", []), ("sweep", ["--gif"])):
        ok("preview", shard, "--out", tmp_path / name, *flags)
        read, animation = cv2.imreadanimation(str(tmp_path / name))
        assert read
        # There and back, without the ends twice; three samples in two columns.
        assert [int(frame[50, 50, 0]) for frame in animation.frames] == pytest.approx([40, 120, 200, 120], abs=4)
        assert animation.frames[0].shape[1] == 2 * CELL_WIDTH_PX


def test_what_cannot_be_shown(write_shard, tmp_path):
    shard = write_shard(tmp_path / "s.h5", n=1)
    assert run("preview", shard, "--out", tmp_path / "x.bmp").exit_code == 2
    (tmp_path / "x.html").write_text("mine")
    assert "exists" in run("preview", shard, "--out", tmp_path / "x.html").stderr
    assert (tmp_path / "x.html").read_text() == "mine"
