"""Arrays in lists, tuples and named tuples: taken out in order, and put back."""

from typing import Any


def leaves(tree: Any) -> list[Any]:
    """The arrays and numbers in lists, tuples and named tuples, in order."""
    return (
        [leaf for part in tree for leaf in leaves(part)]
        if isinstance(tree, list | tuple)
        else [tree]
    )


def like(tree: Any, values: list[Any]) -> Any:
    """The tree with other leaves; empties `values`."""
    if not isinstance(tree, list | tuple):
        return values.pop(0)
    parts = [like(part, values) for part in tree]
    kind: Any = type(tree)
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
