"""Formulas become MathML, which browsers draw; the site carries a font for them."""

import html
import re
from importlib.util import find_spec
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>',
    re.DOTALL,
)
# what latex2mathml does not know, as it knows it
KNOWN = (
    (re.compile(r"\{aligned\}"), r"{split}"),
    (re.compile(r"\\(math\w+|boldsymbol|hat|bar|tilde) ([A-Za-z])"), r"\\\1{\2}"),
)
# the name of a function stands apart from its argument
FUNCTION = re.compile(r"(<m[io]>(?:dim|exp|ln|log|sin|cos|tanh)</m[io]>)(?=<m[in]|<mover)")
# what it makes of what it does not know
UNKNOWN = re.compile(r">\s*(\\\w*|&amp;|&)\s*<|linebreak=")
# ziamath is installed for this font alone
FONT = Path(find_spec("ziamath").origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"


def on_files(files, config):
    """Add the font that docs/site.css names."""
    files.append(File.generated(config, f"assets/{FONT.name}", content=FONT.read_bytes()))
    return files


def on_page_content(content, page, config, files):
    """Convert a page's formulas; raise PluginError where the converter fails."""

    def mathml(found):
        latex = html.unescape(found["latex"]).strip()
        known = latex
        for pattern, form in KNOWN:
            known = pattern.sub(form, known)
        block = found["tag"] == "div"
        try:
            made = convert(known, display="block" if block else "inline")
        except Exception as error:
            raise PluginError(f"{page.file.src_uri}: {latex!r}: {error!r}") from error
        if unknown := UNKNOWN.search(made):
            raise PluginError(
                f"{page.file.src_uri}: {latex!r}: {unknown[0]!r} in its MathML"
            )
        made = FUNCTION.sub(r'\1<mspace width="0.167em" />', made)
        return f'<div class="formula">{made}</div>' if block else made

    return FORMULA.sub(mathml, content)
