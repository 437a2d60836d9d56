"""How docstrings and comments become descriptions on the pages of the API."""

import io
import re
import tokenize
from functools import cache

import griffe

# docstrings are plain text but for `code`: [n, d] is a shape and no link, u* no emphasis
MARKUP = re.compile(r"(`[^`]*`)|([\[\]*<$|])")


class Descriptions(griffe.Extension):
    """Adds the fields of a class, with their comments, to its docstring."""

    def on_instance(self, *, obj, **_):
        """Escape what Markdown would read as markup."""
        if obj.docstring and not obj.is_class:
            obj.docstring.value = literal(obj.docstring.value)

    def on_class_members(self, *, cls, **_):
        """Describe the fields that have no docstring of their own."""
        if not cls.docstring:
            return
        fields = [
            f"    {field.name}: {literal(described(field))}"
            for field in cls.attributes.values()
            if field.annotation and field.is_public and "property" not in field.labels
        ]
        cls.docstring.value = literal(cls.docstring.value)
        if fields:
            cls.docstring.value += "\n\nAttributes:\n" + "\n".join(fields)


def literal(text):
    """Escape Markdown's markup."""
    return MARKUP.sub(lambda mark: mark[1] or f"\\{mark[2]}", text)


def described(field):
    """Give a field's comment, beside or above it, and its default."""
    comments, lines = read(field.filepath)
    text, line = comments.get(field.endlineno, ""), field.lineno - 1
    while not text and lines[line - 1].lstrip().startswith("#"):
        line -= 1
    text = text or " ".join(comments[number] for number in range(line + 1, field.lineno))
    default = f"default `{field.value}`" if field.value else ""
    return "; ".join(filter(None, (text, default))) or "–"


@cache
def read(path):
    """Read a file's comments by line, and its lines."""
    text = path.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }
    return comments, text.splitlines()
