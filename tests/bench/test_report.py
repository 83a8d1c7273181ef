"""A report is one file that opens without a network, says what the numbers say, and trusts no text."""

from __future__ import annotations

import re

import pytest
from bench_fakes import FakeVLM, yes_no
from PIL import Image

from workbench import bench
from workbench.errors import InputError

HOSTILE = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'


@pytest.fixture
def results(tmp_path):
    """Thinking is right on all ten items, direct on the even ones; item 3 has hostile text everywhere, and
    item 9 the smallest box."""
    picture = Image.new("RGB", (64, 48), "white")
    boxes = [(4.0, 4.0, 20.0 if number < 9 else 10.0, 20.0) for number in range(10)]
    items = [
        bench.Item(str(i), f"What is {i}? {HOSTILE if i == 3 else ''}", f"gold{i}", (picture,), category="c",
                   scoring={"rule": "words"}, boxes=(boxes[i],))
        for i in range(10)
    ]  # fmt: skip

    def reply(images, question, mode):
        number = re.search(r"\d", question)[0]
        right = mode == "think" or int(number) % 2 == 0
        return f"gold{number}" if right else HOSTILE

    task = bench.Task("made <b>up</b>", items)
    return bench.run(FakeVLM(reply), task, folder=tmp_path / "run", progress=False)


def test_the_report_holds_scores_modes_costs_and_pictures_and_fetches_nothing(results, tmp_path) -> None:
    text = bench.report(results, tmp_path / "r.html", resamples=50).read_text()
    assert "50.0" in text  # direct: five of ten
    assert "100.0" in text
    assert "+50.0" in text  # what thinking adds
    assert text.count("<article") == 5  # items that some mode got wrong
    assert text.count("data:image/png;base64,") == 5
    assert not re.findall(r'<[a-z]+\b[^<>]*\s(?:src|href)="(?!data:)', text)
    assert "default-src 'none'" in text
    assert HOSTILE not in text
    assert "<b>up</b>" not in text


def test_a_report_of_one_mode_or_of_failures_says_what_is_missing(tmp_path) -> None:
    one = bench.run(FakeVLM(), yes_no(4), ["auto"], folder=tmp_path / "one", progress=False)
    text = bench.report(one, tmp_path / "one.html", resamples=20).read_text()
    assert "What thinking changes" in text
    assert "nothink" in text  # says which modes are needed
    with pytest.raises(InputError, match="without rows"):
        bench.report(one.where(item="none"), tmp_path / "none.html")


def test_items_that_not_every_mode_answered_are_counted(tmp_path) -> None:
    run = bench.run(FakeVLM(), yes_no(4), folder=tmp_path / "run", progress=False)
    part = run.replaced(run.frame().query("mode != 'auto' or item != '0'"))
    text = bench.report(part, tmp_path / "part.html", resamples=20).read_text()
    assert "1 items that not every point answered are left out" in text


def test_runs_that_share_no_items_have_a_front_each(tmp_path) -> None:
    parts = []
    for name in ("first", "second"):
        run = bench.run(FakeVLM(), yes_no(4, name), ["auto"], folder=tmp_path / name, progress=False)
        parts.append(run.replaced(run.frame().assign(run=name)))
    text = bench.report(parts[0] + parts[1], tmp_path / "two.html", resamples=20).read_text()
    assert "share no items" in text
    assert text.count("output tokens a reply</text>") == 2


@pytest.mark.browser
def test_the_page_filters_and_pages_in_a_browser_and_runs_no_text_as_code(results, tmp_path) -> None:
    import shutil

    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium")
    path = bench.report(results, tmp_path / "r.html", resamples=20)
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        assert page.inner_text("[data-place]") == "1 to 5 of 5"
        page.fill("[data-by=text]", "What is 7")
        assert page.inner_text("[data-place]") == "1 to 1 of 1"
        page.fill("[data-by=text]", "")
        page.select_option("[data-by=pattern]", "direct only")
        assert page.inner_text("[data-place]") == "0 to 0 of 0"
        page.select_option("[data-by=pattern]", "")
        page.fill("[data-by=text]", "")
        assert "What is 1" in page.inner_text("article:first-child .question")
        page.select_option("[data-by=sort]", "size")
        assert "What is 9" in page.inner_text("article:first-child .question")
        assert page.title() == "Benchmark report"
        assert errors == []
        browser.close()
