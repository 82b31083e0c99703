import json

import numpy as np
import pytest
from whdr import parse_judgements, read_judgements, whdr

from coembed.errors import DataError


def point(number, x, y, opaque=True):
    return {"id": number, "x": x, "y": y, "opaque": opaque, "min_separation": 0.05, "sRGB": "7f7f7f"}


def comparison(first, second, darker, score):
    return {
        "id": 1,
        "point1": first,
        "point2": second,
        "darker": darker,
        "darker_score": score,
        "min_separation": 0.05,
    }


def document(*comparisons):
    # Over a 2 x 2 albedo: 1 top left, 2 top right, 3 bottom left, 4 bottom right; 5 is glass, 6 is undecided.
    points = [point(1, 0.1, 0.1), point(2, 0.9, 0.2), point(3, 0.2, 0.99), point(4, 1.0, 1.0)]
    points += [point(5, 0.5, 0.5, opaque=False), point(6, 0.4, 0.4, opaque=None)]
    return {"intrinsic_points": points, "intrinsic_comparisons": list(comparisons)}


ALBEDO = np.array([[0.2, 0.4], [0.21, 0.6]])[..., None] * np.array([0.5, 1.0, 1.5])


def test_the_weighted_share_by_hand():
    judged = parse_judgements(
        document(
            comparison(1, 2, "1", 0.5),  # 0.2 < 0.4: agrees
            comparison(1, 3, "E", 1.0),  # 0.21 / 0.2 = 1.05: alike, agrees
            comparison(2, 4, "2", 0.25),  # 0.4 < 0.6: the first is darker, so it disagrees
            comparison(4, 3, "E", 0.75),  # disagrees
        )
    )
    assert whdr(ALBEDO, judged) == pytest.approx((0.25 + 0.75) / 2.5)
    assert whdr(7 * ALBEDO, judged) == pytest.approx(0.4)
    assert whdr(ALBEDO.mean(2), judged) == pytest.approx(0.4)
    assert whdr(np.ones((2, 2, 3)), judged) == pytest.approx((0.5 + 0.25) / 2.5)
    # At a smaller delta points 1 and 3 differ as well.
    assert whdr(ALBEDO, judged, delta=0.04) == pytest.approx(2.0 / 2.5)


def test_what_people_did_not_say_does_not_count():
    judged = parse_judgements(
        document(
            comparison(1, 2, "1", 1.0),
            comparison(1, 2, None, 1.0),
            comparison(1, 2, "2", None),
            comparison(1, 2, "2", 0.0),
            comparison(1, 5, "2", 1.0),
            comparison(6, 1, "2", 1.0),
        )
    )
    assert len(judged.weight) == 1
    assert whdr(ALBEDO, judged) == 0.0
    assert whdr(ALBEDO[:, ::-1], judged) == 1.0


def test_black_points_compare_as_equal_and_never_divide_by_zero():
    judged = parse_judgements(document(comparison(1, 2, "E", 1.0), comparison(1, 3, "1", 1.0)))
    assert whdr(np.array([[0.0, 0.0], [0.5, 0.5]]), judged) == 0.0


def test_a_file_is_read_and_its_faults_name_it(tmp_path):
    path = tmp_path / "102.json"
    path.write_text(json.dumps(document(comparison(2, 1, "2", 0.3))))
    judged = read_judgements(path)
    assert judged.darker.tolist() == [2] and judged.weight.tolist() == [0.3]
    assert judged.first.tolist() == [[0.9, 0.2]] and judged.second.tolist() == [[0.1, 0.1]]
    for text in ("{", "[]", '{"intrinsic_points": []}', json.dumps(document(comparison(1, 99, "1", 1.0)))):
        path.write_text(text)
        with pytest.raises(DataError, match=r"102\.json"):
            read_judgements(path)
    with pytest.raises(DataError, match=r"103\.json"):
        read_judgements(tmp_path / "103.json")


def test_no_comparison_that_counts_is_an_error_not_a_number():
    with pytest.raises(DataError, match="no comparison"):
        whdr(ALBEDO, parse_judgements(document()))
