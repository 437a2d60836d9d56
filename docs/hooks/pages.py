"""Files of the repository that are pages of the site, and links between them.

A link in Markdown is written as in the repository (`../results/README.md`,
`../problems/problem.py`), where any forge and editor follows it, and becomes here the link
to the page or the file of the site.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# files outside of docs/ that are pages of their own
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "results/README.md": "results/index.md",
}
ORIGINS = {page: file for file, page in PAGES.items()}
SOURCE = "source/"  # where a page shows any other file that something links to
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)\s#]+)(?=[)\s#])")
SECTION = re.compile(
    r"(?P<folder>.+?)/(?:(?:tables/)?(?P<table>\w+)\.md|(?P<part>tables|figures))"
)
LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".yml": "yaml"}


def on_files(files, config):
    """Add the pages, and one for each file that a page links to."""
    for file, page in PAGES.items():
        files.append(File.generated(config, page, content=read(ROOT / file)))
    for page in list(files.documentation_pages()):
        for found in LINK.finditer(page.content_string):
            file, target = resolved(page.src_uri, found[1])
            if target.startswith(SOURCE) and files.get_file_from_path(target) is None:
                files.append(File.generated(config, target, content=shown(file)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links as they are in the repository into links of the site."""

    def link(found):
        _, target = resolved(page.file.src_uri, found[1])
        if not target:
            return found[1]
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(link, markdown)


def resolved(page, link):
    """Give the repository's file that a page's link names, and its place in the site.

    The place is "" where the link needs no change: within docs/, or to what does not
    exist, which MkDocs then says.
    """
    file = posixpath.normpath(posixpath.join(posixpath.dirname(origin(page)), link))
    if file.startswith("..") or not (ROOT / file).exists():
        return file, ""
    return file, place(file)


def origin(page):
    """Name the file of the repository that a page is made from."""
    if page in ORIGINS:
        return ORIGINS[page]
    if page.startswith("results/"):
        return page
    return page.removeprefix(SOURCE) if page.startswith(SOURCE) else f"docs/{page}"


def place(file):
    """Name the place in the site of a file or a folder of the repository."""
    if file in PAGES:
        return PAGES[file]
    if file.startswith("docs/"):
        return file.removeprefix("docs/")
    if file.startswith("results/asv"):
        return file if (ROOT / file).is_file() else "step_costs.md"
    if file.startswith("results"):
        # a table or a part of a folder of results has its section on the folder's page
        if section := SECTION.fullmatch(file):
            return f"{section['folder']}/index.md#{section['table'] or section['part']}"
        return file if (ROOT / file).is_file() else f"{file}/index.md"
    return f"{SOURCE}{file}.md"


def shown(file):
    """Show a file, or list a folder, as a page."""
    path = ROOT / file
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir() if each.name[0] not in "._")
        return f"# {file}/\n\n" + "".join(f"- `{name}`\n" for name in names)
    language = LANGUAGES.get(path.suffix, "text")
    return f"# {file}\n\n````{language}\n{read(path)}\n````\n"


def read(path):
    """Read a text file."""
    return path.read_text(encoding="utf-8")
