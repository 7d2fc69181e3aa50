import time
from html.parser import HTMLParser

import pytest

from labeling.markdown import render, render_sample

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![p](https://e.vil/p.png)",
    "<a href='x' onclick=alert(1)>",
    "<style>body{display:none}</style>",
    "<iframe src=//e.vil></iframe>",
    '[x](https://e.vil "onmouseover=alert(1)")',
    "```html\n<script>alert(1)</script>\n```",
    "<svg/onload=alert(1)>",
    '<div style="position:fixed" id=task class=dock>',
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]


class Markup(HTMLParser):
    """The tags and attributes that a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_in_a_sample_is_run_fetched_or_followed(text: str) -> None:
    markup = Markup(render_sample(text))
    assert markup.tags <= {"p", "span", "pre", "code"}
    assert markup.attributes <= {"dir", "title"}


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_in_guidelines_is_run_or_fetched(text: str) -> None:
    html = render(text)
    for bad in ("<script", "<img", "<style", "<iframe", "<svg", "<div", 'href="javascript', 'href="data'):
        assert bad not in html, html


def test_links_of_guidelines_open_without_telling_where_from() -> None:
    assert 'rel="noopener noreferrer"' in render("[rules](https://example.org)")


def test_a_link_in_a_sample_shows_its_text_and_address_and_leads_nowhere() -> None:
    assert render_sample("see [this](https://example.org/a)") == (
        '<p dir="auto">see <span title="https://example.org/a">this</span></p>\n'
    )


def test_a_picture_in_a_sample_is_shown_as_words() -> None:
    assert "fetch" in render_sample("![fetch](https://example.org/p.png)")


def test_code_tables_lists_and_line_breaks_are_kept() -> None:
    html = render_sample("one\ntwo\n\n```python\nx < 1\n```\n\n| a |\n|---|\n| 1 |\n\n- item\n\n~~no~~")
    for part in ("one<br>", "<pre><code>x &lt; 1\n</code></pre>", "<td>1</td>", "<li>item</li>", "<s>no</s>"):
        assert part in html


def test_each_block_is_written_in_the_direction_of_its_own_letters() -> None:
    html = render_sample("مرحبا\n\nhello\n\n- شيء")
    assert html.count('<p dir="auto">') == 2
    assert '<ul dir="auto">' in html


def test_headings_of_a_sample_stand_below_those_of_the_page() -> None:
    html = render_sample("# One\n\n###### Six")
    assert '<h3 dir="auto">One</h3>' in html
    assert '<h6 dir="auto">Six</h6>' in html


def test_raw_markup_is_shown_as_it_was_written() -> None:
    assert "&lt;b&gt;bold&lt;/b&gt;" in render_sample("<b>bold</b>")


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "> " * 5_000, "*a" * 10_000, "`" * 20_000, "- " * 3_000, "|" * 9_000]
)
def test_long_and_strange_texts_take_no_time(text: str) -> None:
    started = time.monotonic()
    render_sample(text)
    assert time.monotonic() - started < 5
