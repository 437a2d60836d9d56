"""asv's published site with the files that its page would fetch from public networks: it opens offline."""

import re
import shutil
from importlib.resources import files
from pathlib import Path

FILES = Path(str(files("optbench.benchmarks"))) / "site"
# a script or a style sheet from elsewhere: the tag up to its address, the address's last
# part
ELSEWHERE = re.compile(
    r'(<script src|<link rel="stylesheet" href)="https?://[^"]*/([^"/]+)"[^>]*>'
)


def carry(site: Path) -> list[str]:
    """Put the files beside the page and let it name them; gives their names. Raises OSError where one is missing."""
    page = site / "index.html"
    text = page.read_text(encoding="utf-8")
    names = [local(name) for _, name in ELSEWHERE.findall(text)]
    (site / "vendor").mkdir(exist_ok=True)
    for file in FILES.iterdir():
        shutil.copy(file, site / "vendor")
    page.write_text(
        ELSEWHERE.sub(lambda tag: f'{tag[1]}="vendor/{local(tag[2])}">', text),
        encoding="utf-8",
    )
    return names


def local(name: str) -> str:
    """Our file of that name, which may not be minified; raises FileNotFoundError."""
    for candidate in (name, name.replace(".min", "")):
        if (FILES / candidate).is_file():
            return candidate
    raise FileNotFoundError(f"asv's page asks for {name}, which is not in {FILES}")
