"""A picture in pixels from the top left, on which boxes, words and plots are put."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image


PAGE, PANEL, EDGE = "#111217", "#181b1f", "#2c2f36"
TEXT, DIM, GRID, LINK = "#d5d6e0", "#9fa1ad", "#2a2d33", "#6e9fff"

_DPI = 100
_POINT = 72 / _DPI


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: its upper left corner, and how large it is."""

    x: float
    y: float
    w: float
    h: float

    def inside(self, *, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0) -> "Box":
        """Return what is left of it without margins."""
        return Box(self.x + left, self.y + top, self.w - left - right, self.h - top - bottom)


class Canvas:
    """A picture of `width` by `height` pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=PAGE)
        self._agg = FigureCanvasAgg(self._figure)
        self._page = self._figure.add_axes((0, 0, 1, 1))
        self._page.set_xlim(0, width)
        self._page.set_ylim(height, 0)
        self._page.axis("off")

    def box(self, box: Box, colour: str, *, edge: str = "none", rounded: bool = True) -> None:
        """Fill a rectangle."""
        at = (box.x, box.y)
        if rounded:
            self._page.add_patch(
                FancyBboxPatch(
                    at,
                    box.w,
                    box.h,
                    boxstyle="round,pad=0,rounding_size=3",
                    facecolor=colour,
                    edgecolor=edge,
                    linewidth=0.8,
                )
            )
        else:
            self._page.add_patch(Rectangle(at, box.w, box.h, facecolor=colour, edgecolor=edge, linewidth=0.8))

    def rule(self, x: float, y: float, width: float, colour: str) -> None:
        """Draw a line from left to right."""
        self._page.plot([x, x + width], [y, y], color=colour, linewidth=_POINT, solid_capstyle="butt")

    def words(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = TEXT,
        *,
        bold: bool = False,
        to: str = "left",
        within: float | None = None,
    ) -> float:
        """Write one line whose middle is at `y`, cut off where it would be longer than `within`. Return its width."""
        if within is not None:
            while len(text) > 1 and self.long(text, size, bold=bold) > within:
                text = text[:-2].rstrip() + "…"
        weight = "bold" if bold else "normal"
        self._page.text(
            x, y, _plain(text), fontsize=size * _POINT, color=colour, fontweight=weight, ha=to, va="center_baseline"
        )
        return self.long(text, size, bold=bold)

    def long(self, text: str, size: float, *, bold: bool = False) -> float:
        """Return how wide some words are."""
        font = self._page.text(0, 0, _plain(text), fontsize=size * _POINT, fontweight="bold" if bold else "normal")
        width = font.get_window_extent(self._agg.get_renderer()).width  # type: ignore[no-untyped-call] # no types there
        font.remove()
        return float(width)

    def paragraph(self, box: Box, markdown: str, size: float) -> None:
        """Write sentences, with **bold**, `code` and links of Markdown, in lines as wide as the box."""
        x, y, space = box.x, box.y + size, self.long("a b", size) - self.long("ab", size)
        for word, bold, colour in _marked(markdown):
            width = self.long(word, size, bold=bold)
            glued = word[0] in ",.:;)"
            if x > box.x and not glued:
                x += space
            if x + width > box.x + box.w:
                x, y = box.x, y + size * 1.6
            self.words(x, y, word, size, colour, bold=bold)
            x += width

    def plot(self, box: Box) -> Axes:
        """Return axes on a rectangle."""
        at = (box.x / self.width, 1 - (box.y + box.h) / self.height, box.w / self.width, box.h / self.height)
        axes = self._figure.add_axes(at, facecolor="none")
        axes.tick_params(colors=DIM, labelsize=11 * _POINT, length=0)
        axes.grid(visible=True, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def save(self, to: Path) -> None:
        """Write the file, in colours that are a bit coarser: no difference to the eye, and two thirds of the size."""
        drawn = BytesIO()
        self._figure.savefig(drawn, facecolor=PAGE)
        image = Image.open(drawn).convert("RGB").point([shade // 8 * 8 + 3 for shade in range(256)] * 3)
        image.save(to, optimize=True)


def _plain(text: str) -> str:
    # A dollar sign would begin a formula.
    return text.replace("$", r"\$")


def _marked(markdown: str) -> Iterator[tuple[str, bool, str]]:
    for part in re.findall(r"\*\*.+?\*\*|\*.+?\*|`.+?`|\[.+?\]\(.+?\)|[^*`\[]+", markdown):
        bold, colour, text = part.startswith("**"), TEXT, part.replace("*", "").replace("`", "")
        if part.startswith("["):
            colour, text = LINK, part[1:].partition("]")[0]
        elif part.startswith("`"):
            colour = "#ffb357"
        for word in text.split():
            yield word, bold, colour
