"""The list of intended differences is docs/differences.md: a paragraph each, which begins with its name in bold."""
import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "differences.md"


def headings():
    """The names, without the full stop that ends them."""
    text = PAGE.read_text()
    return {" ".join(name.split()).rstrip(".:") for name in re.findall(r"^\*\*(.+?)\*\*", text, re.M | re.S)}
