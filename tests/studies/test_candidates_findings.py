import pandas as pd

from bnadapt.gain.candidates import DEFAULT
from bnadapt.studies.candidates.findings import candidates_table, sentences


def records(family: str, count: int, **scores: float) -> list[dict]:
    common = {"family": family, "seed": 1}
    return [
        {**common, "record": f"{family} {index}", "candidate": name, "iou": iou}
        for index in range(count)
        for name, iou in scores.items()
    ]


def test_natural_pairs_are_never_averaged_with_other_targets():
    own, inverted = records("own", 3, none=0.8), records("inversion", 3, none=0.0)
    table = pd.DataFrame([*own, *inverted, *records("pair", 12, none=0.5, **{DEFAULT: 0.4})])
    rows = candidates_table(table).rows
    assert rows == [
        ["natural pairs", "12", "0.500", "0.400", "0.500"],
        ["the source itself", "3", "0.800", "", "0.800"],
        ["inverted copies of the source", "3", "0.000", "", "0.000"],
    ]
    harm = "helps by more than 0.02 in 0 % of the records, harms by more in 100 %, and costs 0.10 at worst."
    assert sentences(table)[1] == f"natural pairs: {DEFAULT} {harm}"


def test_a_candidate_that_was_rarely_possible_has_no_mean():
    table = pd.DataFrame([*records("pair", 10, none=0.5), *records("pair", 2, corrected=0.9)])
    assert candidates_table(table).rows[0][3] == ""
    assert "corrected" not in sentences(table)[0]
