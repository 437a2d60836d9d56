"""The pictures of docs/gallery.md and a page for each problem, made with the site.

Pictures are kept in `build/gallery/` until the problems, the results or what draws them
change.
"""

import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "gallery"
READ = ("problems/**/*.py", "problems/data/*", "docs/made/gallery_page.py")
# what the pictures of results are made of
OF_RESULTS = (
    "results/*/*/SHA256SUMS",
    "docs/made/problem_pages.py",
    "optbench/report/*.py",
)
PICTURE = re.compile(r"^<!-- picture (\w+) -->$", re.MULTILINE)
for place in (str(ROOT), str(ROOT / "docs" / "made")):
    if place not in sys.path:
        sys.path.insert(0, place)

import gallery_page as gallery  # noqa: E402
import problem_pages  # noqa: E402


def on_files(files, config):
    """Draw the pictures that are not kept, and add them and the pages of problems."""
    folder, of_results = folder_for(READ), folder_for(OF_RESULTS)
    errors = gallery.results()
    for name in PICTURE.findall(gallery.PAGE.read_text(encoding="utf-8")):
        kept = folder / f"{name}.png"
        if not kept.is_file():
            kept.write_bytes(gallery.picture(name))
        files.append(File.generated(config, f"gallery/{name}.png", abs_src_path=str(kept)))
        drawn = of_results / name
        if not drawn.is_dir():
            with tempfile.TemporaryDirectory(dir=of_results) as new:
                problem_pages.draw(name, Path(new))
                shutil.copytree(new, drawn)
        for file in (problem_pages.CURVES, problem_pages.LEARNED):
            if (drawn / file).is_file():
                path = str(drawn / file)
                files.append(File.generated(config, f"{name}/{file}", abs_src_path=path))
        page = problem_pages.page(name, drawn, errors)
        files.append(File.generated(config, f"{name}.md", content=page))
    return files


def folder_for(patterns):
    """Give the folder in which pictures are kept that are made from these files."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    folder = KEPT / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def on_page_markdown(markdown, page, config, files):
    """Put a picture with its caption where a page asks for it."""
    in_gallery = page.file.src_uri == gallery.PAGE.name
    return PICTURE.sub(lambda found: shown(found[1], linked=in_gallery), markdown)


def shown(name, linked):
    """Write a picture and its caption, and where all results on the problem are."""
    caption = gallery.caption(name)
    link = f"\n\n[Every result on `{name}`]({name}.md)." * linked
    return f"![{caption}](gallery/{name}.png){{ loading=lazy }}\n\n*{caption}*{link}"
