"""The page of `csa serve` as people meet it: in a browser, at three widths, dark and light."""

import pytest
from browser import FAINT_TEXT, chromium
from served import serving, shapes_workspace

IMAGE = "shapes/images/red-star.png"


@pytest.fixture(scope="module")
def browser():
    with chromium() as program:
        yield program


@pytest.fixture(scope="module")
def served(tmp_path_factory, browser, local_registry):
    ws = shapes_workspace(tmp_path_factory.mktemp("page") / "repo", ({"score": "canonical"},))
    with serving(ws.root) as client:
        client.ws = ws
        yield client


class Page:
    """The page in a browser, with what it said and what it asked of others."""

    def __init__(self, browser, address, width=1280, scheme="light"):
        viewport = {"width": width, "height": 900}
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.page, self.said = self.context.new_page(), []
        self.page.on("console", lambda one: self.said.append(f"{one.type}: {one.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self._note(request.url, address))
        self.page.goto(address)
        self.page.wait_for_selector("#search input[type=text]")

    def _note(self, url, address):
        if not url.startswith((address, "data:", "blob:")):
            self.said.append(f"request: {url}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.context.close()

    def search(self, words):
        self.page.fill("#search input[type=text]", words)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".card")
        self.page.wait_for_load_state("networkidle")

    def texts(self):
        return self.page.locator(".card .text").all_text_contents()


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (800, "dark"), (1280, "light")])
def test_search_label_and_judge(browser, served, width, scheme):
    with Page(browser, served.address, width, scheme) as opened:
        page = opened.page
        assert page.title() == "shapes"
        assert "Version 1 (challenger, champion)" in page.inner_text("#version")
        assert "R@1" in page.inner_text("#quality")
        opened.search("a red circle")
        found = served.ask("/v1/search", {"query": {"text": ["a red circle"]}, "top": 12})[1]
        assert opened.texts() == [one["items"]["text"] for one in found["found"][0]["results"]]
        images = page.evaluate("[...document.images].map((image) => image.alt)")
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function(
            "[...document.images].every((i) => i.complete && i.naturalWidth > 0)"
        )
        assert len(images) == 12 and all(images)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        faint = page.evaluate(FAINT_TEXT)
        assert faint["seen"] > 40 and faint["faint"] == []

        page.locator(".card button").first.click()
        page.wait_for_selector("h2:has-text('More like red-circle')")
        assert "a red circle" not in opened.texts()

        page.click("#tab-label")
        page.set_input_files("#label input[type=file]", served.ws.root / IMAGE)
        page.wait_for_selector("#label .drop img")
        page.fill("#labels", "a red star\na blue line\na green circle")
        page.click("#label button.main")
        page.wait_for_selector(".labels li")
        assert page.locator(".labels .text").first.text_content() == "a red star"
        assert "may fit (✓)" in page.inner_text("#answer")

        page.click("#tab-judge")
        page.set_input_files("#judge input[type=file]", served.ws.root / IMAGE)
        page.wait_for_selector("#judge .drop img")
        page.fill("#judge input[type=text]", "a green circle")
        page.click("#judge button.main")
        page.wait_for_selector(".verdict.mismatch")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(FAINT_TEXT)["faint"] == []
        assert opened.said == []


def test_a_picture_finds_texts_and_filters_hold(browser, served):
    with Page(browser, served.address) as opened:
        page = opened.page
        page.set_input_files("#search input[type=file]", served.ws.root / IMAGE)
        page.wait_for_selector("#search .drop img")
        page.select_option("#split", "test")
        page.click("#search button.main")
        page.wait_for_selector(".card")
        facts = page.locator(".facts").all_text_contents()
        assert facts and all(fact.endswith("test") for fact in facts)
        page.fill("#search input[type=text]", "a red circle")  # the last that was given counts
        assert page.locator("#search .drop img").count() == 0
        page.click("#search button.main")
        page.wait_for_function("document.querySelectorAll('.card').length > 0")
        assert opened.said == []


def test_the_keyboard_reaches_everything(browser, served):
    with Page(browser, served.address) as opened:
        page = opened.page
        page.focus("#tab-search")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-label"
        assert page.is_visible("#label") and not page.is_visible("#search")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.type") == "text"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.type") == "file"
        assert opened.said == []


def test_what_is_wrong_is_said(browser, served):
    with Page(browser, served.address) as opened:
        page = opened.page
        page.click("#search button.main")
        assert page.inner_text("#said") == "Type a sentence, or drop a file."
        page.click("#tab-judge")
        page.set_input_files("#judge input[type=file]", served.ws.root / "params.yaml")
        page.wait_for_selector(
            "#judge .drop img, #judge .drop :text('params.yaml')", state="attached"
        )
        page.fill("#judge input[type=text]", "a star")
        page.click("#judge button.main")
        page.wait_for_selector("#said.bad:has-text('image 0')")
        assert "422" in " ".join(opened.said)  # the browser's own note of the refusal
