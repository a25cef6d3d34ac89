"""A person watches `report.html`: both films play and seek together, by mouse and by keyboard."""

import sys
from pathlib import Path

from tests.e2e.browser import Page, browser

APART = "Math.abs(source.currentTime - result.currentTime) * fps"
AT = "Math.floor(result.currentTime * fps + 0.01)"
SETTLED = "!source.seeking && !result.seeking"


def watch(address: str) -> str:
    """Open the page wide and narrow, play, seek and jump; says what was seen, or fails."""
    with browser() as page:
        page.open(address)
        assert page.run("document.querySelectorAll('video').length") == 2, f"{address} shows no films"
        page.run("document.getElementById('play').click()")
        page.until("result.currentTime > 1 && source.currentTime > 1")
        apart = page.run(APART)
        assert apart < 3, f"playing, the films are {apart:.1f} frames apart"
        page.run("document.getElementById('play').click()")
        page.until(f"result.paused && source.paused && {SETTLED}")
        assert page.run(APART) < 1, "paused, they show different frames"
        _seek(page)
        _narrow(page, address)
        assert not page.complaints, page.complaints
    return f"both play ({apart:.1f} frames apart) and seek together; no error in the console; fits into 390 px"


def _seek(page: Page) -> None:
    last = page.run("segments.length - 1")
    page.run(f"document.querySelector('.segments button[data-index=\"{last}\"]').click()")
    page.until(f"{SETTLED} && {AT} === segments[{last}]")
    page.until(f"!document.getElementById('segment-{last}').hidden && {APART} < 0.5")
    page.run("scrub.value = 20; scrub.oninput()")
    page.until(f"{SETTLED} && {AT} === 20 && {APART} < 0.5 && document.getElementById('time').textContent === '0:00.8'")
    page.run("document.getElementById('forth').click()")
    page.until(f"{SETTLED} && {AT} === 21 && {APART} < 0.5")


def _narrow(page: Page, address: str) -> None:
    page.open(address, width=390, height=844)
    assert page.run("document.documentElement.scrollWidth") <= 390, "wider than the screen"
    sizes = "[...document.querySelectorAll('td, p')].map(each => parseFloat(getComputedStyle(each).fontSize))"
    smallest = page.run(f"Math.min(...{sizes})")
    assert smallest >= 12, f"text of {smallest} px"


if __name__ == "__main__":
    print(watch(Path(sys.argv[1]).resolve().as_uri()))
