"""The report of a year of 250 countries in a real browser.

    python -m tests.soak.report_page

Needs Debian's `chromium` and `chromium-driver`, and `selenium`. Makes the page of 91,250 cells with
hostile keys and error texts, opens it, and checks: first paint under a second, the cell under the
pointer is the one that is told, no request leaves the page, what looks like markup is shown as
text. Exit code 0: all of it held; 1: the first thing that did not is on stderr.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from garcon.backfill.cells import Cell, Grid, Mark, Told
from garcon.backfill.paint import Shown
from garcon.backfill.reporting import write_page
from garcon.manifest import Manifest

DAYS, COUNTRIES = 365, 250
BEGAN_S = 1_767_225_600.0
FIRST_PAINT_S = 1.0

HOSTILE = (
    "<script>document.title='taken'</script>",
    "</script><img src=x onerror=\"document.title='taken'\">",
    "\"'`&amp;<b>bold</b>",
    "abc\u202edcba\u2066\u200f",
    "]]><!-- {{7*7}} ${7*7}",
    "http://example.invalid/a.png",
)


def country(number: int) -> str:
    """Return a country's code; the first ones are hostile."""
    return HOSTILE[number] if number < len(HOSTILE) else f"C{number:03}"


def year() -> Told:
    """Return a year of which some instances failed, were retried or never ran."""
    days = tuple({"day": str(date(2026, 1, 1) + timedelta(days=n))} for n in range(DAYS))
    countries = tuple({"country": country(n)} for n in range(COUNTRIES))
    grid = Grid(Manifest("country_day", "metrics_country_day", (days, countries), 5))
    for index in range(DAYS * COUNTRIES):
        if index % 17 == 0:
            continue
        mark = Mark.FAILED if index % 13 == 0 else Mark.DONE
        began_s = BEGAN_S + index / 500
        reason = f"ValueError: {HOSTILE[index % 6]}" if mark is Mark.FAILED else ""
        ended_s = began_s + (index % 100) / 10
        grid.cells[index] = Cell(mark, 1 + (index % 7 == 0), began_s, ended_s, reason)
    return Told({("country_day", ""): grid}, "FAILED", events=300_000, decisions=2_000, shards=92)


def browser() -> Any:
    """Return a headless Chromium that notes what it requests."""
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # Named, so that Selenium looks for none elsewhere.
    service = Service(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def requests_of(driver: Any) -> list[str]:
    """Return the addresses that the page asked for."""
    messages = [json.loads(one["message"])["message"] for one in driver.get_log("performance")]
    sent = [one for one in messages if one["method"] == "Network.requestWillBeSent"]
    return [one["params"]["request"]["url"] for one in sent]


def hover(driver: Any, row: int, column: int) -> str:
    """Return what the page tells of a cell once the pointer is on it."""
    canvas = driver.find_element(By.ID, "grid-0")
    driver.execute_script("arguments[0].parentElement.scrollTop = 0", canvas)
    box = driver.execute_script(
        "const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.width, b.height]",
        canvas,
    )
    size = box[3] // DAYS
    labels = box[2] - COUNTRIES * size
    x, y = box[0] + labels + (column + 0.5) * size, box[1] + 1 + (row + 0.5) * size
    actions = ActionChains(driver)
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    actions.perform()
    return str(driver.find_element(By.ID, "tip").get_property("textContent"))


def check(driver: Any, told: Told) -> None:
    """Check the open page."""
    paints = driver.execute_script(
        "return performance.getEntriesByType('paint').map(one => [one.name, one.startTime])"
    )
    first_s = dict(paints)["first-contentful-paint"] / 1000
    assert first_s < FIRST_PAINT_S, f"first paint after {first_s:.2f} s"
    assert driver.title != "taken", "a text of the history ran as a script"
    grid = told.grids["country_day", ""]
    for row, column in [(0, 0), (0, 5), (3, 1), (7, 2), (20, 3), (40, 100), (99, 4), (60, 249)]:
        index = row * COUNTRIES + column
        text = hover(driver, row, column)
        cell = grid.cells.get(index)
        mark = cell.mark.value if cell else "missing"
        mark = "retried" if cell and mark == "done" and cell.attempts > 1 else mark
        day = str(date(2026, 1, 1) + timedelta(days=row))
        assert text.startswith(day), f"{row},{column} tells {text!r}"
        assert f"\n{mark}" in text, f"{row},{column} should be {mark}: {text!r}"
        shown = country(column).replace("\u202e", "[U+202E]").replace("\u2066", "[U+2066]")
        assert shown.replace("\u200f", "[U+200F]") in text, f"{row},{column}: {text!r}"
    assert not driver.find_elements(By.CSS_SELECTOR, "td b, td img, .tip img, bdi *")
    body = driver.find_element(By.TAG_NAME, "body").text
    assert "</script><img src=x onerror=" in body, "an error text is not shown as it is"
    asked = [url for url in requests_of(driver) if not url.startswith(("file:", "data:"))]
    assert asked == [], f"the page asked for {asked}"
    problems = [one["message"] for one in driver.get_log("browser")]
    assert problems == [], f"the page complains: {problems}"
    print(f"first paint {first_s:.3f} s, {DAYS * COUNTRIES:,} cells")


def main() -> int:
    """Make the page, open it, check it."""
    told = year()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        began_s = time.monotonic()
        moment = datetime.fromtimestamp(BEGAN_S, timezone.utc)
        shown = Shown("2026", f"metrics-{HOSTILE[0]}", "r", told, moment, moment)
        write_page(path, f"metrics {HOSTILE[1]}", [shown])
        size = path.stat().st_size / 1e6
        print(f"made in {time.monotonic() - began_s:.1f} s, {size:.1f} MB")
        driver = browser()
        try:
            driver.get(path.as_uri())
            check(driver, told)
        except AssertionError as error:
            print(f"report: {error}", file=sys.stderr)
            return 1
        finally:
            driver.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
