"""Draw which part of bnadapt imports which, as docs/import-graph.svg: `python -m docs.import_graph`, from the root."""

from html import escape
from pathlib import Path

from tests.test_structure import GRAPH, LAYERS, unit_of

PATH = Path(__file__).with_name("import-graph.svg")
WIDTH, ROW, BOX = 900, 62, 26  # pixels of the drawing, of a row, and of the height of a box
LETTER, MARGIN = 7.4, 12


def imports() -> dict[str, set[str]]:
    """Which units a unit imports; the whole of bnadapt apart."""
    graph: dict[str, set[str]] = {unit: set() for units in LAYERS for unit in units}
    for module, used in GRAPH.items():
        for each in used:
            if "__init__" not in (module, each) and unit_of(module) != unit_of(each):
                graph[unit_of(module)].add(unit_of(each))
    return graph


def direct(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without what a unit also imports by way of another: a graph with the same paths and the fewest arrows."""

    def reached(unit: str) -> set[str]:
        return graph[unit].union(*map(reached, graph[unit]))

    return {unit: used - set().union(*map(reached, used)) for unit, used in graph.items()}


def svg() -> str:
    """The drawing: what imports stands above what is imported."""
    rows = list(reversed(LAYERS))
    places = {
        unit: ((number + 0.5) * WIDTH / len(units), row * ROW + ROW / 2)
        for row, units in enumerate(rows)
        for number, unit in enumerate(units)
    }
    arrows = [_arrow(places[unit], places[other]) for unit, used in direct(imports()).items() for other in sorted(used)]
    boxes = [_box(unit, *place) for unit, place in places.items()]
    size = f'width="{WIDTH}" height="{len(rows) * ROW}" viewBox="0 0 {WIDTH} {len(rows) * ROW}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *arrows, *boxes, "</svg>", ""])


def _arrow(upper: tuple[float, float], lower: tuple[float, float]) -> str:
    (x, y), (u, v) = upper, lower
    middle = (y + v) / 2
    way = f"M{x:.0f},{y:.0f} C{x:.0f},{middle:.0f} {u:.0f},{middle:.0f} {u:.0f},{v:.0f}"
    return f'<path d="{way}" fill="none" stroke="#8aa" stroke-width="1.2"/>'


def _box(unit: str, x: float, y: float) -> str:
    name = unit.removesuffix("/__init__")
    width = LETTER * len(name) + 2 * MARGIN
    box = f'x="{x - width / 2:.0f}" y="{y - BOX / 2:.0f}" width="{width:.0f}" height="{BOX}" rx="6"'
    text = f'<text x="{x:.0f}" y="{y + 4.5:.1f}" text-anchor="middle">{escape(name)}</text>'
    return f'<rect {box} fill="#eef6f6" stroke="#00798c"/>{text}'


if __name__ == "__main__":
    PATH.write_text(svg(), encoding="utf-8")
