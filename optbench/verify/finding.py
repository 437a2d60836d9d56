"""What a rule says: issues, and remarks where nothing is wrong."""


class Remark(str):
    """A line that tells what is unusual or could not be checked, and is no issue."""

    __slots__ = ()
