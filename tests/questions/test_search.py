"""Results of a search, as notebooks show them."""

from PIL import Image

from csa.errors import DataError
from csa.questions.search import SearchAnswer


def test_results_are_shown_as_html():
    items = {"fox.png": Image.new("RGB", (300, 200), "orange"), "a <b>": "a <b>"}

    def load(value):
        if value not in items:
            raise DataError(f"{value}: no such file")
        return items[value]

    found = [
        {"rank": 1, "score": 2.5, "item": "fox.png", "partner": "a <fox>"},
        {"rank": 2, "score": -1.0, "item": "gone.png", "partner": "a cat"},
    ]
    html = SearchAnswer("q", "a <query>", found, load)._repr_html_()
    assert html.count("<td>") == 2 and html.count("<img src='data:image/webp;base64,") == 1
    assert "2.500" in html and "a &lt;fox&gt;" in html and "<caption>a &lt;query&gt;" in html
    assert "gone.png (the file is gone)" in html

    texts = [{"rank": 1, "score": 0.0, "item": "a <b>", "partner": "fox.png"}]
    assert "<td>a &lt;b&gt;<br>0.000" in SearchAnswer("q", "fox.png", texts, load)._repr_html_()
