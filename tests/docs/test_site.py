"""The site as `make site` left it, in a real browser: it fits, it links, it is searched."""

from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urldefrag
from urllib.request import Request, urlopen

import pytest
from browsers import needs_browser, served

SITE = Path(__file__).parents[2] / ".site"
WIDTHS = (400, 1600)
pytestmark = [
    pytest.mark.slow,
    needs_browser,
    pytest.mark.skipif(
        not (SITE / "index.html").is_file(), reason="no .site: make site makes it"
    ),
]
# of a page: how far it is wider than the window, what it links to and shows, its anchors
SEEN = """() => ({
  beyond: document.documentElement.scrollWidth - window.innerWidth,
  links: [...document.querySelectorAll("a[href], link[href]")].map((link) => link.href)
    .concat([...document.querySelectorAll("img[src]")].map((image) => image.src)),
  anchors: [...document.querySelectorAll("[id]")].map((element) => element.id),
})"""


@pytest.fixture(scope="module")
def address():
    with served(SITE) as address:
        yield address


@pytest.fixture(scope="module", params=WIDTHS)
def tab(request, browser, address):
    """A window that keeps what its pages complained of and asked for elsewhere."""
    tab = browser.new_page(viewport={"width": request.param, "height": 900})
    tab.issues = []
    tab.on("pageerror", lambda error: tab.issues.append(f"{tab.url}: {error}"))
    tab.on("console", partial(complain, tab))

    def only_here(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            return route.continue_()
        tab.issues.append(f"{tab.url}: asks for {route.request.url}")
        return route.abort()

    tab.route("**/*", only_here)
    yield tab
    tab.close()


def complain(tab, message):
    if message.type in ("error", "warning"):
        tab.issues.append(f"{tab.url}: {message.text}")


@pytest.fixture(scope="module")
def seen(tab, address):
    """What is seen on every page, by its address."""
    seen = {}
    for file in sorted(SITE.rglob("*.html")):
        if file.name not in ("404.html", "error.html"):  # asv's is for browsers of old
            page = address + file.relative_to(SITE).as_posix().removesuffix("index.html")
            tab.goto(page)
            seen[page] = tab.evaluate(SEEN)
    return seen


def test_every_page_is_whole_without_a_network(seen, tab, address):
    assert {address, f"{address}choose/", f"{address}methods/kfac/"} < set(seen)
    assert tab.issues == []


def test_no_page_is_wider_than_the_window(seen):
    # asv's page is its own, made for a desk
    wide = {page: of["beyond"] for page, of in seen.items() if not page.endswith("/asv/")}
    assert {page for page, beyond in wide.items() if beyond > 0} == set()


def test_every_link_leads_somewhere(seen, address):
    links = {(page, link) for page, of in seen.items() for link in of["links"]}
    broken, answers = [], {}
    for page, link in sorted(links):
        target, anchor = urldefrag(link)
        if not target.startswith(address):
            continue
        if target not in answers:
            answers[target] = answer(target)
        known = (
            not anchor
            or target.endswith("/asv/")  # where it says what is to be drawn
            or anchor in seen.get(target, {}).get("anchors", ())
        )
        if answers[target] != 200 or not known:
            broken.append(f"{page} -> {link}: {answers[target]}")
    assert broken == []
    assert len(answers) > len(seen)


def answer(address):
    try:
        with urlopen(Request(address, method="HEAD")) as response:
            return response.status
    except HTTPError as error:
        return error.code


def test_results_and_asv_lead_back(seen, address):
    reports = [page for page in seen if page.endswith("report.html")]
    assert reports
    for page in reports:
        assert {address, f"{address}results/"} <= set(seen[page]["links"])
    if (SITE / "asv").is_dir():
        assert {address, f"{address}results/"} <= set(seen[f"{address}asv/"]["links"])
        assert f"{address}asv/" in seen[f"{address}step_costs/"]["links"]


def test_a_search_for_kfac_opens_a_page_that_speaks_of_it(tab, address):
    tab.goto(address)
    button, field = (
        tab.locator(name)
        for name in (".md-header__button[for=__search]", ".md-search__input")
    )
    (button if button.is_visible() else field).click()  # a phone has a button alone
    tab.get_by_text("Type to start searching").wait_for()  # the index has been read
    field.press_sequentially("KFAC")
    found = tab.locator(".md-search-result__item a").first
    found.wait_for()
    assert "KFAC" in tab.locator(".md-search-result__list").inner_text()
    found.click()
    tab.wait_for_url(lambda url: url.split("?")[0].rstrip("/") != address.rstrip("/"))
    assert "KFAC" in tab.locator("article").inner_text()
