"""The timeline page for those who need more than a large screen shows: small windows, contrast, names of everything."""

import pytest
from page_browser import browser, why_not  # noqa: F401
from page_models import ten_blocked

from clearloop.show import page as html

pytestmark = [pytest.mark.skipif(why_not() is not None, reason=why_not() or ""), pytest.mark.timeout(300)]

# https://www.w3.org/TR/WCAG22/#contrast-minimum: the relative luminances of a text and of what stands behind it
CONTRASTS = """
const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
function behind(element) {
  for (; element; element = element.parentElement) {
    const colour = numbers(getComputedStyle(element).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
}
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!element.offsetParent || !words) continue;
  const ink = luminance(numbers(getComputedStyle(element).color)), paper = luminance(behind(element));
  const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  found.push([contrast, element.textContent.trim().slice(0, 40)]);
}
return found"""
PARTS = """
function box(selector) {
  const found = document.querySelector(selector).getBoundingClientRect();
  return [found.left, found.top, found.right, found.bottom];
}
const lanes = document.querySelector("#names").getBoundingClientRect();
const seen = [...document.querySelectorAll("#names .lane")].filter((lane) => {
  const b = lane.getBoundingClientRect();
  return b.height >= 8 && b.bottom <= lanes.bottom + 1;
});
return { title: box("h1"), search: box("#search"), lanes: seen.length, table: box("#table"), details: box("#details"),
  wide: document.documentElement.scrollWidth, high: document.documentElement.scrollHeight }"""


@pytest.fixture
def opened(browser, tmp_path):  # noqa: F811
    def opens(scheme="light", size=(1440, 1000)):
        path = tmp_path / "page.html"
        html.write(ten_blocked(), path)
        browser.size(*size)
        browser.scheme(scheme)
        browser.open(path)
        return browser

    yield opens
    browser.size(1440, 1000)
    assert browser.said() == []


# A telephone, either way up; a laptop's window at 200 %; a low one
@pytest.mark.parametrize("size", [(360, 640), (640, 360), (640, 380), (1280, 420), (800, 900)])
def test_in_a_small_window_nothing_is_squeezed_to_nothing(opened, size):
    page = opened(size=size)
    parts = page.run(PARTS)
    left, top, right, bottom = parts["title"]
    assert right <= parts["search"][0] or bottom <= parts["search"][1]  # none lies upon the other
    assert right <= size[0] and parts["wide"] <= size[0]
    assert parts["lanes"] >= 10
    assert parts["table"][3] - parts["table"][1] >= 90
    assert parts["details"][3] <= parts["high"]  # all of it is there, for who scrolls
    page.click("#table tbody tr .link")
    assert "time.sleep(1)" in page.find("#details").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(opened, scheme):
    page = opened(scheme)
    page.click("#keys")  # the help, too
    page.click("#table tbody tr .link")
    found = page.run(CONTRASTS)
    assert len(found) > 50
    assert [text for contrast, text in found if contrast < 4.5] == []


def test_everything_that_can_be_used_has_a_name(opened):
    usable = {"button", "searchbox", "slider", "tab", "tree", "treeitem", "application", "image", "table", "separator"}
    nodes = [(role, name) for role, name, _ in opened().tree() if role in usable]
    assert {role for role, _ in nodes} == usable
    assert [role for role, name in nodes if not name.strip()] == []
