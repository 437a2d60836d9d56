"""Names of cases and optimizers in a campaign: what they may hold, and which look alike.

Runs are told apart by what was asked; a name is what tables, figures and files show of it.
"""

import re
import unicodedata
from collections.abc import Iterable

from optbench.problems.own import bare

LONGEST = 100  # characters: a column of a table is named so
# control characters and what sets them in other directions, halves of characters, line ends
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def fault(name: str) -> str | None:
    """Say what must be otherwise in a name, if anything."""
    if not name.strip():
        return "must not be blank"
    if len(name) > LONGEST:
        return f"has {len(name)} characters: must have {LONGEST} at most"
    for character in name:
        if unicodedata.category(character) in UNSEEN:
            return f"must not hold the control character U+{ord(character):04X}"
    return None


def seen(name: str) -> str:
    """Give what a reader sees of a name; of a file's it is the bare one."""
    return " ".join(unicodedata.normalize("NFC", bare(name)).split())


def claimed(label: str, optimizers: Iterable[str]) -> str | None:
    """Name the optimizer that a label claims to be, by its letters and digits alone.

    `optimizers` are the known ones; None where it is the name of none of them.
    """
    plain = _plain(bare(label))
    return next((name for name in optimizers if _plain(name) == plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
