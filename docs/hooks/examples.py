"""The examples run when the site is made; a page shows source, output and figure of each.

A paragraph that is a link to a file of `examples/` and nothing else becomes all that. What
an example said is kept in `build/examples/` until it or the package changes.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "examples"
# all that an example can read
READ = (
    "optbench/**/*.py",
    "problems/**/*.py",
    "implementations/**/*.py",
    "results/cpu/*/SHA256SUMS",
)
LINE = re.compile(r"^\[[^\]]*\]\(\.\./examples/(\w+)\.py\)$", re.MULTILINE)
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def on_files(files, config):
    """Run the examples whose output is not kept, and add their figures."""
    for script in sorted((ROOT / "examples").glob("*.py")):
        for figure in sorted(done(script).glob("*.svg")):
            files.append(
                File.generated(config, f"examples/{figure.name}", abs_src_path=str(figure))
            )
    return files


def on_page_markdown(markdown, page, config, files):
    """Show the examples that a page names."""
    return LINE.sub(lambda found: shown(ROOT / "examples" / f"{found[1]}.py"), markdown)


def done(script):
    """Give the folder in which a script has run; raise PluginError where it fails."""
    digest = hashlib.sha256(script.read_bytes())
    for pattern in READ:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    folder = KEPT / f"{script.stem}-{digest.hexdigest()[:16]}"
    said = folder / "output.txt"
    if not said.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        ended = subprocess.run(
            [sys.executable, script],
            cwd=folder,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
            check=False,
            capture_output=True,
            text=True,
        )
        if ended.returncode:
            raise PluginError(f"{script}:\n{ended.stdout}{ended.stderr}")
        said.write_text(ended.stdout, encoding="utf-8")
    return folder


def shown(script):
    """Write the section of a script: source, output, figures."""
    folder = done(script)
    parts = [
        f'```python title="examples/{script.name}"\n{script.read_text(encoding="utf-8")}```'
    ]
    parts.append(
        f'```text title="Output"\n{(folder / "output.txt").read_text(encoding="utf-8")}```'
    )
    parts += [f"![{f.stem}](examples/{f.name})" for f in sorted(folder.glob("*.svg"))]
    return "\n\n".join(parts)
