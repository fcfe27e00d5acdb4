"""Generated pages are those that the code of today generates, and pages find each other."""

import re

from lastlogin_docs.pages import DOCS, PAGES


def test_generated_pages_are_current() -> None:
    """Every generated page says what `make docs` would write now."""
    outdated = [name for name, text in PAGES.items() if (DOCS / name).read_text(encoding="utf-8") != text()]

    assert [] == outdated


def test_links() -> None:
    """Every link from a page to a file of the project, and to a heading of a page, leads somewhere."""
    broken = [
        f"{page.name}: {target}"
        for page in DOCS.glob("*.md")
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if not _leads_somewhere(page.name, target)
    ]

    assert [] == broken


def test_names_of_metrics() -> None:
    """Every metric that another page names is on the page of all metrics."""
    known = set(re.findall(r"^\| `(lastlogin_\w+)`", (DOCS / "metrics.md").read_text("utf-8"), re.MULTILINE))
    for page in DOCS.glob("*.md"):
        for name in re.findall(r"\blastlogin_(?:producer|consumer|audit)_\w+", page.read_text(encoding="utf-8")):
            assert re.sub("_(count|bucket)$", "", name) in known, f"{page.name}: {name}"


def test_rights() -> None:
    """Each role has in the README the rights that it has on the page of Cassandra, where a test runs them."""
    readme, page = ((DOCS.parent / name).read_text("utf-8") for name in ("README.md", "docs/cassandra.md"))
    granted = re.findall(r"^GRANT .*$", readme, re.MULTILINE)

    assert granted
    assert set(granted) <= set(re.findall(r"^GRANT .*$", page, re.MULTILINE))


def _leads_somewhere(page: str, target: str) -> bool:
    path, _, heading = target.partition("#")
    file = DOCS / (path or page)
    if not heading:
        return file.exists()
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return heading in {re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings}
