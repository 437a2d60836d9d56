"""The pictures of docs/gallery.md, drawn when the site is made.

They are kept in `build/gallery/` until the problems or what draws them change.
"""

import hashlib
import re
import sys
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "gallery"
READ = ("problems/**/*.py", "problems/data/*", "docs/made/gallery_page.py")
PICTURE = re.compile(r"^<!-- picture (\w+) -->$", re.MULTILINE)
for place in (str(ROOT), str(ROOT / "docs" / "made")):
    if place not in sys.path:
        sys.path.insert(0, place)

import gallery_page as gallery  # noqa: E402


def on_files(files, config):
    """Draw the pictures that are not kept, and add them."""
    digest = hashlib.sha256()
    for pattern in READ:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    folder = KEPT / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURE.findall(gallery.PAGE.read_text(encoding="utf-8")):
        kept = folder / f"{name}.png"
        if not kept.is_file():
            kept.write_bytes(gallery.picture(name))
        files.append(File.generated(config, f"gallery/{name}.png", abs_src_path=str(kept)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Put a picture with its caption where a page asks for it."""
    return PICTURE.sub(shown, markdown)


def shown(found):
    """Write a picture and its caption."""
    caption = gallery.caption(found[1])
    return f"![{caption}](gallery/{found[1]}.png){{ loading=lazy }}\n\n*{caption}*"
