"""`gatepost demo`: the story's claims by command, and the page in a real browser."""

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.peers.postfix import free_port, wait_for_port

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def test_once() -> None:
    """The command exits 0 only if every promise was kept, and says which they were."""
    done = subprocess.run(
        [sys.executable, "-m", "gatepost", "demo", "--once", "--json"],
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["holds"] is True
    assert len(told["claims"]) >= 15
    assert [one["claim"] for one in told["claims"] if not one["holds"]] == []
    assert len(told["exchanges"]) == 6
    assert done.stderr == b""


@pytest.fixture(scope="module")
def page_url() -> Iterator[str]:
    """The address of a running demo."""
    port = free_port()
    command = [sys.executable, "-m", "gatepost", "demo", "--port", str(port)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            wait_for_port(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)
            said.seek(0)
            assert b"Traceback" not in (told := said.read()), told.decode()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 400),
    ],
)
def test_orders_from_elsewhere(page_url: str, headers: dict[str, str], code: int) -> None:
    """Another site open in the same browser cannot play with the demo."""
    for path in ("send", "reply", "tamper", "certificate"):
        request = urllib.request.Request(f"{page_url}/{path}", b"text=x", headers, method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=PATIENCE)
        assert refused.value.code == code
        refused.value.close()


@pytest.mark.peer("chromium")
@pytest.mark.slow
def test_page_in_a_browser(page_url: str) -> None:
    """What a visitor clicks works, under a policy that lets no foreign script run."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  heavy, needed here only

    complaints: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=list(QUIET), timeout=1000 * PATIENCE
        )
        page = browser.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("console", lambda one: complaints.append(f"{one.type}: {one.text}"))
        page.on("pageerror", lambda one: complaints.append(f"error: {one}"))
        page.on("response", lambda one: None if one.ok else complaints.append(one.url))
        answer = page.goto(f"{page_url}/")
        assert answer is not None
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        _play(page)
        at_end = list(complaints)
        browser.close()
    assert at_end == []


def _play(page: Any) -> None:
    page.locator("#badge.valid").wait_for()
    assert "2.4 million" in page.locator("#read-text").inner_text()
    assert "2.4 million" not in page.locator("#wire").inner_text()
    assert page.locator("#tree li").count() >= 2
    page.get_by_role("button", name="Send, and flip one bit on the wire").click()
    page.locator("#badge.invalid").wait_for()
    assert "2.4 million" not in page.locator("#read-text").inner_text()
    page.get_by_role("button", name="Remove Bob’s certificate").click()
    page.locator("#refused").wait_for(state="visible")
    assert "550 5.7.1" in page.locator("#refused").inner_text()
    page.get_by_role("button", name="Give Bob his certificate back").click()
    page.get_by_role("button", name="Remove Bob’s certificate").wait_for()
    page.get_by_role("textbox", name="Message").fill("Dear Bob, <b>this is new</b>.")
    page.get_by_role("button", name="Alice sends").click()
    page.get_by_text("Dear Bob, <b>this is new</b>.").nth(1).wait_for()
    page.get_by_role("button", name="Bob replies").click()
    page.locator("#badge.valid").wait_for()
