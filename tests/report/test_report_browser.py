"""Reports as people meet them: in a browser, light and dark, wide and narrow, and on paper."""

import pytest
from browser import FAINT_TEXT, chromium, opened
from PIL import Image
from workspaces import HOSTILE, two_versions

from csa.datasets.exclude import read_excluded
from csa.operations.report.comparison import write_comparison
from csa.operations.report.run import write_report
from csa.report.shown import Shower
from csa.report.suspected import Review, Suspect, suspects_page

WIDTHS = (360, 1280)
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def files(tmp_path_factory, browser):
    """A report, and the page of two versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        ws = two_versions(tmp_path_factory.mktemp("browser") / "repo").ws
        write_comparison(ws, "1", "2", ws.root / "comparison.html")
    return {"report": write_report(ws), "comparison": ws.root / "comparison.html"}


@pytest.fixture
def file(files):
    return files["report"]


@pytest.mark.parametrize("kind", ["report", "comparison"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_quiet_and_whole(browser, files, kind, width):
    with opened(browser, files[kind], width) as (page, said):
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        images = page.evaluate(
            "[...document.images].map((image) => [image.complete, image.naturalWidth, image.alt])"
        )
        assert len(images) > 20 and all(done and wide > 0 and alt for done, wide, alt in images)
        assert page.evaluate("document.querySelectorAll('svg[role=img] > title').length") >= 3
        anchors = page.evaluate(
            "[...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))"
        )
        assert len(anchors) >= 3 and all(page.query_selector(anchor) for anchor in anchors)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        beyond = page.evaluate(
            "[...document.querySelectorAll('main *')].filter((e) => e.checkVisibility() && "
            "!e.closest('.scroll, .hidden, svg') &&"
            " e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, "
            "120))"
        )
        assert beyond == []
        assert said == []


@pytest.mark.parametrize("kind", ["report", "comparison"])
@pytest.mark.parametrize("scheme", THEMES)
def test_text_can_be_read_in_both_themes(browser, files, kind, scheme):
    with opened(browser, files[kind], scheme=scheme) as (page, _):
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        found = page.evaluate(FAINT_TEXT)
        assert found["seen"] > 150 and found["faint"] == []
        page.evaluate("document.querySelector('h1').style.color = 'var(--rule)'")
        assert len(page.evaluate(FAINT_TEXT)["faint"]) == 1  # the check does see what is faint


def test_the_theme_follows_the_system_until_a_person_chooses(browser, file):
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, file, scheme="dark") as (page, said):
        dark = page.evaluate(ground)
        page.click("#theme")
        light = page.evaluate(ground)
        assert page.inner_text("#theme") == "Theme: light" and light != dark
        page.reload()
        assert page.inner_text("#theme") == "Theme: light" and page.evaluate(ground) == light
        page.click("#theme")
        assert page.evaluate(ground) == dark
        assert said == []
    with opened(browser, file, scheme="light") as (page, _):
        assert page.evaluate(ground) == light


def test_hostile_captions_do_nothing(browser, file):
    with opened(browser, file) as (page, said):
        page.hover("main")
        shown = page.evaluate("[...document.querySelectorAll('.text')].map((e) => e.textContent)")
        assert set(HOSTILE) - {caption for caption in HOSTILE if len(caption) > 300} <= set(shown)
        assert page.title() == "shapes: report" and page.evaluate("document.scripts.length") == 1
        assert (
            page.evaluate(
                "document.querySelectorAll('[onload], [onerror], [onmouseover], iframe, "
                "object').length"
            )
            == 0
        )
        # What a hostile caption could do if escaping failed, the page's own policy still forbids.
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.org/x.png'}))"
        )
        page.wait_for_timeout(100)
        assert [line for line in said if "Content Security Policy" in line]


def test_it_prints_in_light_with_everything_unfolded(browser, file):
    with opened(browser, file, scheme="dark") as (page, said):
        page.emulate_media(media="print")
        assert (
            page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        )
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 30, 34)"
        assert not page.is_visible("#theme") and not page.is_visible(".contents")
        assert len(page.pdf(format="A4")) > 20_000
        assert said == []
    with opened(browser, file, scheme="dark") as (page, _):
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("[...document.querySelectorAll('details')].every((part) => part.open)")


@pytest.fixture(scope="module")
def suspects(tmp_path_factory):
    """A page of suspects with hostile texts, and pair ids that a list has to quote."""
    image = Shower("image", "image", lambda name: Image.new("RGB", (300, 200), "teal"))
    text = Shower("text", "text", str)
    ids = ["p1", 'with "quotes", and a comma', *(f"{i}{'x' * 90}" for i in range(len(HOSTILE)))]
    shown = [
        Suspect(
            image(f"{i}.png"),
            text(HOSTILE[i % len(HOSTILE)]),
            text(f"better {i}"),
            pair_id,
            i + 1,
            0.9,
            -3.0,
            4.0,
            0.25,
        )
        for i, pair_id in enumerate(ids)
    ]
    file = tmp_path_factory.mktemp("suspects") / "page.html"
    file.write_text(
        suspects_page(
            Review("Suspected pairs", "A few.", ["A note."], ("image", "text"), shown, "f" * 64)
        ),
        encoding="utf-8",
    )
    return file, ids


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", THEMES)
def test_the_page_of_suspects_is_quiet_and_can_be_read(browser, suspects, width, scheme):
    file, ids = suspects
    with opened(browser, file, width, scheme) as (page, said):
        page.locator(".mark").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.images].every((image) => image.complete && image.naturalWidth > 0 && "
            "image.alt)"
        )
        found = page.evaluate(FAINT_TEXT)
        assert found["seen"] > 4 * len(ids) and found["faint"] == []
        assert said == []


def test_marked_pairs_are_a_list_that_ingest_reads_and_stay_marked(browser, suspects, tmp_path):
    file, ids = suspects
    with opened(browser, file) as (page, said):
        assert page.is_visible("#marked-none") and not page.is_visible("#marked-some")
        for i in (1, 0, 4):
            page.locator(".mark").nth(i).click()
        page.locator(".mark").nth(4).click()
        page.reload()
        assert (
            page.inner_text("#marked-count") == "2 marked" and page.locator("li.wrong").count() == 2
        )
        with page.expect_download() as download:
            page.click("#marked-save")
        saved = tmp_path / download.value.suggested_filename
        assert saved.name != "exclude.csv", "it must not take the place of one that is there"
        download.value.save_as(saved)
        assert read_excluded(saved).pairs.keys() == set(ids[:2])
        assert said == []
