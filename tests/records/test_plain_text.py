"""What people wrote is text in every format, and what cannot be shown is seen."""

import io
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from optbench.records import plain_text

MARKUP = st.text(alphabet="ab_*`~[]()<>&|\\#!$:/'\"=+-@%^{}.,; \n\t1é²Δ", max_size=30)
GFM = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(markdown):
    """The texts of a line's parts; an assertion fails where one is markup."""
    (inline,) = [token for token in GFM.parse(markdown) if token.type == "inline"]
    assert {part.type for part in inline.children} <= {"text", "text_special"}
    return "".join(part.content for part in inline.children)


@settings(max_examples=200, deadline=None)
@example("**x** _y_ `z` ~~s~~ [l](http://x) <b> &amp; a|b")
@example("![a][b] _ __a__ \\| |\\")
@given(MARKUP)
def test_a_cell_of_markdown_shows_the_text(text):
    cells = GFM.parse(f"| {plain_text.markdown(text)} |\n|---|\n| x |")
    inline = [token for token in cells if token.type == "inline"]
    assert [token.type for token in cells].count("th_open") == 1
    parts = inline[0].children or []
    assert {part.type for part in parts} <= {"text", "text_special"}
    assert "".join(part.content for part in parts) == plain_text.visible(text).strip()


def test_a_heading_and_a_line_of_markdown_show_the_text():
    assert shown(f"### {plain_text.markdown('case #1 ##')}") == "case #1 ##"
    assert shown(f"A campaign {plain_text.markdown('_a_ <!-- b')}.") == (
        "A campaign _a_ <!-- b."
    )


def test_ordinary_names_stay_as_they_are_in_markdown():
    for name in ("lbfgs_wolfe", "Poisson 2d, D = 257, the paper's", "1.2e-03 [1e-4, 2e-3]"):
        assert plain_text.markdown(name) == name


def test_what_cannot_be_seen_is_written():
    assert plain_text.visible("a\nb\t\u202ec\u200bd\x00") == r"a\nb\t\u202ec\u200bd\x00"
    assert plain_text.visible("Δu ≥ 5 € kfac²") == "Δu ≥ 5 € kfac²"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("# $ ^ ~ & % _", r"\# \$ \textasciicircum{} \textasciitilde{} \& \% \_"),
        ("{a} \\lambda", r"\{a\} \textbackslash{}lambda"),
        ("Δ ≥ ν", r"$\Delta$ $\ge$ $\nu$"),
        ("kfac², x₁", r"kfac$^{2}$, x$_{1}$"),
        ("é ő ñ", r"\'{e} \H{o} \~{n}"),
        ("Α ℝ ½ ﬁ", "A R 1/2 fi"),
        ("中", "(U+4E2D)"),
        ("-->", r"-{}-\textgreater{}"),
        ("[a] *", "{[}a{]} {*}"),
        ("lbfgs 1.2e-03", "lbfgs 1.2e-03"),
    ],
)
def test_latex_has_commands(text, command):
    assert plain_text.latex(text) == command


def test_latex_is_ascii_and_every_character_leaves_something():
    for code in range(32, 0x11000):
        character = chr(code)
        if unicodedata.category(character) != "Cs":
            written = plain_text.latex(character)
            assert written.isascii(), character
            assert written, character


@settings(max_examples=200, deadline=None)
@example(["=1+1", "#a", "'b", '"', "a,b"])
@given(st.lists(st.one_of(MARKUP, st.text(max_size=5)), min_size=1, max_size=4))
def test_csv_is_read_back_and_has_no_formula(texts):
    texts = [text for text in texts if not text.encode(errors="ignore").isspace()]
    data = pd.DataFrame(
        {"#name": [f"{text}x" for text in texts], "n": -1.5, "none": np.nan, "m": 3}
    )
    caption = plain_text.comment('A "caption", =1+1;-2, #')
    written = f"{caption}\n{plain_text.csv(data)}"
    back = pd.read_csv(io.StringIO(written), comment="#", dtype={"#name": str})
    assert list(back) == list(data)
    # pandas takes a doubled quote and all else as they are; ours is the apostrophe alone
    for text, cell in zip(data["#name"], back["#name"], strict=True):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        bare = cell[1:] if cell.startswith("'") else cell
        assert bare == plain_text.visible(text)
    assert back["n"].tolist() == [-1.5] * len(texts)
    assert back["m"].tolist() == [3] * len(texts)
    assert back["none"].isna().all()


def test_numbers_stay_numbers():
    data = pd.DataFrame({"a": [-1, 2], "b": [1 / 3, np.inf], "c": [True, False]})
    assert plain_text.csv(data, "{:.8g}".format) == (
        '"a","b","c"\n-1,0.33333333,True\n2,inf,False\n'
    )


def test_no_part_of_a_caption_is_a_formula():
    caption = plain_text.comment('on m,=HYPERLINK("x"), +2; @a a-b')
    assert caption == "# on m,'=HYPERLINK(\"x\"), '+2; '@a a-b"


def test_a_long_name_is_cut_and_stays_its_own():
    names = [f"{'x' * 300}{end}" for end in "ab"]
    one, other = (plain_text.shortened(name, 60) for name in names)
    assert one != other
    assert len(one) == len(other) == 60
    assert plain_text.shortened("x" * 60, 60) == "x" * 60
