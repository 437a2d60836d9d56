"""What people wrote, as text wherever it is shown: Markdown, LaTeX, CSV.

A name of a case, an optimizer, a campaign is data: nothing in it is markup, mathematics, a
formula of a spreadsheet or a comment, and none of its characters is lost in silence.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any

# what a spreadsheet takes for a formula, and what marks that a text was none
FORMULA = ("=", "+", "-", "@", "'")
FORMULA_AFTER = re.compile(r"([,;]\s*)(?=[=+\-@])")
# what begins markup inside of a line: backslashes are known to every Markdown, of the
# others only the entities; _ within a word begins nothing
MARKDOWN = re.compile(
    r"(?P<escaped>[\\`*{}#|]|\](?=[(\[])|(?<![^\W_])_|_(?![^\W_]))|[&<~$]|:(?=//)"
)
# a word of LaTeX that may be broken, and after how many characters each
LONG_WORD, EVERY = re.compile(r"\S{21,}"), 5
MARKS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING DOT BELOW}": "d",
    "\N{COMBINING CEDILLA}": "c",
    "\N{COMBINING MACRON BELOW}": "b",
}  # LaTeX's accents
TEXT = {
    **dict(zip("#$%&_{}", (r"\#", r"\$", r"\%", r"\&", r"\_", r"\{", r"\}"), strict=True)),
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    '"': r"{\char34}",
    # after a line's end they would be its arguments
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "°": r"\textdegree{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "•": r"\textbullet{}",
    "©": r"\textcopyright{}",
    "®": r"\textregistered{}",
    "£": r"\pounds{}",
    "€": r"\texteuro{}",
    "¥": r"\textyen{}",
    "µ": r"$\mu$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "¡": "!`",
    "¿": "?`",
    "\N{FRACTION SLASH}": "/",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    # Greek letters that look as Latin ones do
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True)),
}  # commands of text
GREEK = {
    "αβγδεζηθ": "alpha beta gamma delta epsilon zeta eta theta",
    "ικλμνξπρς": "iota kappa lambda mu nu xi pi rho varsigma",
    "στυφχψω": "sigma tau upsilon phi chi psi omega",
    "ΓΔΘΛΞΠΣΥΦΨΩ": "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega",
    "ϵϕϑ": "epsilon phi vartheta",
}
SYMBOLS = {
    **{
        letter: name
        for letters, names in GREEK.items()
        for letter, name in zip(letters, names.split(), strict=True)
    },
    "≤": "le",
    "≥": "ge",
    "≠": "neq",
    "≪": "ll",
    "≫": "gg",
    "≈": "approx",
    "≡": "equiv",
    "∼": "sim",
    "≃": "simeq",
    "∝": "propto",
    "±": "pm",
    "∓": "mp",
    "×": "times",
    "÷": "div",
    "·": "cdot",
    "∙": "cdot",
    "∘": "circ",
    "⊗": "otimes",
    "⊕": "oplus",
    "∞": "infty",
    "∂": "partial",
    "∇": "nabla",
    "∫": "int",
    "∑": "sum",
    "∏": "prod",
    "√": "surd",
    "∈": "in",
    "∉": "notin",
    "⊂": "subset",
    "⊆": "subseteq",
    "∪": "cup",
    "∩": "cap",
    "∅": "emptyset",
    "∀": "forall",
    "∃": "exists",
    "¬": "neg",
    "∧": "wedge",
    "∨": "vee",
    "→": "rightarrow",
    "←": "leftarrow",
    "↔": "leftrightarrow",
    "↑": "uparrow",
    "↓": "downarrow",
    "↦": "mapsto",
    "⇒": "Rightarrow",
    "⇐": "Leftarrow",
    "⇔": "Leftrightarrow",
    "‖": "|",
    "∥": "parallel",
    "⊥": "perp",
    "⟨": "langle",
    "⟩": "rangle",
    "′": "prime",
    "ℓ": "ell",
    "ℏ": "hbar",
    "★": "star",
    "⋆": "star",
}  # commands of mathematics


def visible(text: str) -> str:
    r"""Write what cannot be seen, a line's end, a mark of direction, as `\n`, `\u202e`."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1]
        for character in text
    )


def shortened(text: str, longest: int) -> str:
    """Cut a text that is longer, and tell it apart from others that begin like it."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 9]}…{digest(text)}"


def digest(text: str) -> str:
    """Give eight digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def markdown(text: str) -> str:
    """Write a text inside of a line, a heading or a table's cell of Markdown."""
    return MARKDOWN.sub(
        lambda found: f"\\{found[0]}" if found["escaped"] else f"&#{ord(found[0])};",
        visible(text),
    )


def latex(text: str) -> str:
    """Write a text in LaTeX's ASCII; a character that it does not know as its number."""
    shown = visible(text)
    breaks = {
        place
        for word in LONG_WORD.finditer(shown)
        for place in range(word.start() + EVERY, word.end(), EVERY)
    }
    return "".join(
        (r"\allowbreak{}" if place in breaks else "")
        + _command(character)
        # two hyphens would be a dash
        + ("{}" if shown[place : place + 2] == "--" else "")
        for place, character in enumerate(shown)
    )


@cache
def _command(character: str) -> str:
    if character in TEXT:
        return TEXT[character]
    if character.isascii():
        return character
    if character in SYMBOLS:
        return rf"$\{SYMBOLS[character]}$"
    kind, parts = _parts(character)
    if kind in ("super", "sub"):
        inside = "".join(map(_command, parts)).replace("$", "")
        return f"$^{{{inside}}}$" if kind == "super" else f"$_{{{inside}}}$"
    if parts and parts[-1] in MARKS:
        return rf"\{MARKS[parts[-1]]}{{{''.join(map(_command, parts[:-1]))}}}"
    return "".join(map(_command, parts)) if parts else number(character)


def number(character: str) -> str:
    """Give what stands for a character that cannot be shown."""
    return f"(U+{ord(character):04X})"


def _parts(character: str) -> tuple[str, str]:
    """Give Unicode's decomposition of a character: its kind, and what it is made of."""
    kind, _, codes = unicodedata.decomposition(character).rpartition("> ")
    return kind.lstrip("<"), "".join(chr(int(code, 16)) for code in codes.split())


def csv(table: Any, form: Callable[[float], str] = repr) -> str:
    """Write a data frame: every text in quotes, numbers bare, nothing where there is none.

    A text that begins as a formula does has an apostrophe before it. `form` writes floats.
    Quotes keep a # from beginning a comment.
    """
    rows = [list(table.columns), *table.itertuples(index=False)]
    return "".join(",".join(_field(cell, form) for cell in row) + "\n" for row in rows)


def comment(text: str) -> str:
    """Write the line above a CSV's names; cut at its commas, it has no formula either."""
    return "# " + FORMULA_AFTER.sub(r"\1'", visible(text))


def cell(text: str) -> str:
    """Write a text so that no spreadsheet takes it for a formula."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _field(value: Any, form: Callable[[float], str]) -> str:
    if isinstance(value, str):
        return '"' + cell(value).replace('"', '""') + '"'
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return form(float(value)) if isinstance(value, float) else str(value)
