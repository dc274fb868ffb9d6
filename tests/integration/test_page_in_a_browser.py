"""The page of a run in a real Chromium: fits a phone, follows light and dark, loads nothing, no text on another."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pages import write

CHROMIUM = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
DARK, LIGHT = 0, 1
LOOK = """<!doctype html><title>looking</title>
<iframe src="page.html" style="width:WIDTHpx;height:800px;border:0"></iframe><pre id="found">nothing</pre>
<script>
onload = () => {
  const inside = document.querySelector("iframe").contentWindow, page = inside.document;
  const boxes = selector => [...page.querySelectorAll(selector)].map(one => one.getBoundingClientRect());
  const overlaps = [...page.querySelectorAll(".plot")].map(plot => {
    const boxes = [...plot.querySelectorAll(".x")].map(one => one.getBoundingClientRect());
    const ticks = boxes.filter(box => box.width);
    return ticks.some((one, at) => at && one.left < ticks[at - 1].right);
  });
  document.getElementById("found").textContent = JSON.stringify({
    wide: page.documentElement.scrollWidth,
    least: Math.min(...[...page.querySelectorAll("body *:not(svg *)")]
      .map(one => parseFloat(inside.getComputedStyle(one).fontSize))),
    plots: boxes(".plot svg").map(box => [box.width, box.height]),
    outside: boxes(".plot span").filter(box => box.left < 0 || box.right > WIDTH).length,
    overlaps,
    cut: [...page.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth)
      .map(one => one.querySelector("th").textContent),
    paper: inside.getComputedStyle(page.body).backgroundColor,
    ink: inside.getComputedStyle(page.body).color,
    loaded: inside.performance.getEntriesByType("resource").map(one => one.name),
  });
};
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")


def look(folder: Path, width: int, scheme: int) -> dict[str, Any]:
    """What a page that lies in the folder looks like, measured from a page around it."""
    write(folder / "page.html")
    (folder / "around.html").write_text(LOOK.replace("WIDTH", str(width)))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    options += [f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}"]
    command = [str(CHROMIUM), *options, (folder / "around.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'<pre id="found">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    return seen


def luminance(colour: str) -> float:
    """Of rgb(r, g, b), from 0 to 1, by the web's guidelines."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("width", "scheme"), [(390, DARK), (320, LIGHT), (1100, LIGHT)])
def test_it_reads_well(tmp_path: Path, width: int, scheme: int) -> None:
    seen = look(tmp_path, width, scheme)
    assert seen["wide"] <= width
    assert seen["least"] >= 12
    assert len(seen["plots"]) == 6
    assert all(box[0] > width * 0.6 and box[1] > 150 for box in seen["plots"] if width < 1000)
    assert (seen["outside"], any(seen["overlaps"])) == (0, False)
    assert width < 390 or set(seen["cut"]) <= {"attempt", "source"}, "wide tables scroll, each in its own box"
    paper, ink = luminance(seen["paper"]), luminance(seen["ink"])
    assert (paper < ink) == (scheme == DARK)
    assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) > 7
    assert seen["loaded"] == []
