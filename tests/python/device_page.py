"""The device's page in a real browser, against a real daemon.

Arguments: the port, the browser, the file of the board's temperature, a picture to write (or nothing). The daemon
has the pipelines `door` and `yard`, the model `brightness` at a release that can be rolled back with the token
`s3cret`, and samples its board once a second. `stop` on standard output asks for the daemon's end, `start` for its
start; a line on standard input says that it runs again. What is not as a person wants it is an AssertionError; the last line is
`all well`.
"""

import pathlib
import sys
import time

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import sync_playwright

PORT, BROWSER, TEMPERATURE = sys.argv[1:4]
PICTURE = sys.argv[4] if len(sys.argv) > 4 else None
BASE = f"http://127.0.0.1:{PORT}/"
# Longest wait for anything: charts are asked for every ten seconds.
PATIENCE_S = 25
WIDTHS = {"phone": (390, 844), "desktop": (1280, 900)}
# What a picture shows now, as text.
SHOWN = """(name) => {
  const picture = document.querySelector(`#pipelines [data-key="${name}"] img`);
  if (!picture || !picture.naturalWidth) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 36];
  canvas.getContext("2d").drawImage(picture, 0, 0, 64, 36);
  return canvas.toDataURL();
}"""


def wait(what, level):
    """Asks for `level` until it is something; that."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = level()
        if found:
            return found
        assert time.monotonic() < until, f"not within {PATIENCE_S} s: {what}"
        page.wait_for_timeout(100)


def text(selector):
    return page.text_content(selector) or ""


def moves(name):
    """The picture of pipeline `name` becomes another one."""
    first = wait(f"a picture of {name}", lambda: page.evaluate(SHOWN, name))
    wait(f"{name} moves", lambda: page.evaluate(SHOWN, name) not in (None, first))


def accessible(scheme, size, where):
    """axe finds nothing serious, and nothing needs to be scrolled sideways."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{where}: {wide} pixels are to the right of the screen"
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    grave = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    told = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in grave]
    assert not told, f"{where}: {told}"
    assert len(found["passes"]) > 10, f"{where}: axe looked at little"


def roll_back(token):
    page.click("#models >> text=Roll back brightness")
    if token is not None:
        page.fill("#token", token)
        page.keyboard.press("Enter")


with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    wrong, elsewhere = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: request.url.startswith((BASE, "data:")) or elsewhere.append(request.url))

    # --- it loads, and says that all is well ---
    page.goto(BASE)
    wait("ready", lambda: text("#state").startswith("ready"))
    assert "Orin NX" in text("#board"), text("#board")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip", "the first stop is the way past the head"

    # --- frames move ---
    moves("door")
    moves("yard")

    # --- a chart updates: to be seen once it was asked for again ---
    wait("a chart", lambda: "47.4" in text("#charts"))
    pathlib.Path(TEMPERATURE).write_text("61250\n")

    # --- it is readable, in light and dark, on a phone and on a desk, with its dialog open too ---
    page.evaluate(AXE_SCRIPT)
    for scheme in ("light", "dark"):
        for name, size in WIDTHS.items():
            accessible(scheme, size, f"{scheme}, {name}")
    roll_back(None)
    accessible("dark", WIDTHS["phone"], "the dialog")
    page.keyboard.press("Escape")
    accessible("light", WIDTHS["desktop"], "after the dialog")
    wait("the chart goes on", lambda: "61.3" in text("#charts") or "61.2" in text("#charts"))
    if PICTURE:
        page.set_viewport_size({"width": 1100, "height": 1300})
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=PICTURE, type="jpeg", quality=80)

    # --- a roll-back is asked and happens, and a token that was refused is asked for again ---
    assert "2.0.0" in text("#models"), text("#models")
    roll_back("wrong")
    wait("a refusal", lambda: "Not rolled back" in text("#asked"))
    roll_back("s3cret")
    wait("a roll-back", lambda: "factory model" in text("#models") and "brightness: " in text("#asked"))
    wait("what was rolled back", lambda: "Refused: 2.0.0" in text("#models"))

    # --- it survives the daemon's end and start ---
    print("stop", flush=True)
    wait("nobody answers", lambda: "does not answer" in text("#state"))
    print("start", flush=True)
    assert sys.stdin.readline(), "the daemon does not start again"
    wait("ready again", lambda: text("#state").startswith("ready"))
    moves("door")

    assert not wrong, wrong
    assert not elsewhere, elsewhere
    browser.close()
print("all well")
