from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.models import answers_of

from datamanager.inference.zoo import zoo_model
from training.embedding import SIZE as PICTURE_SIZE
from training.embedding import Views, duplicates, embedded, made_views, recalls, recorded_views, thumbnails

MODEL = zoo_model("embedding")
NEAR = MODEL.manifest.options["near_duplicate"]


@cache
def made() -> Views:
    return made_views(30, seed=4713)


def test_vectors_have_length_1_and_as_many_numbers_as_the_manifest_says() -> None:
    vectors = embedded(MODEL.data(), made().pictures[:5])
    assert vectors.shape == (5, MODEL.manifest.options["dimensions"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_picture_is_found_by_what_was_cut_out_of_it_in_other_weather() -> None:
    views = made()
    found = recalls(embedded(MODEL.data(), views.pictures), views)
    assert found["recall_at_1"] >= 0.95
    assert found["recall_at_5"] == 1


def test_near_duplicates_are_told_from_other_pictures() -> None:
    views = made()
    found = duplicates(embedded(MODEL.data(), views.pictures), views, NEAR)
    assert found["found"] >= 0.9
    assert found["false"] <= 0.001


def test_frames_of_real_recordings_are_found_again_and_more_often_than_by_thumbnails(recordings: Path) -> None:
    views = recorded_views(recordings, seed=4714, sparse=4)
    vectors = embedded(MODEL.data(), views.pictures)
    found, plain = recalls(vectors, views), recalls(thumbnails(views.pictures), views)
    assert found["recall_at_1"] >= max(0.7, plain["recall_at_1"])
    assert found["recall_at_5"] >= 0.9
    near = duplicates(vectors, views, NEAR)
    assert near["found"] >= 0.95
    assert near["false"] <= 0.005


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_colour_has_a_vector_too(level: int) -> None:
    vectors = embedded(MODEL.data(), [np.full((PICTURE_SIZE, PICTURE_SIZE, 3), level, np.uint8)])
    np.testing.assert_allclose(np.linalg.norm(vectors), 1, atol=1e-5)


def test_frames_go_the_way_of_a_robots_frames_to_the_same_vectors(tmp_path: Path) -> None:
    pictures = made().pictures[:4]  # of the model's size already: nothing is scaled on the way
    answers = answers_of(MODEL, pictures, tmp_path)
    vectors = [answer.vector for answer in answers]
    np.testing.assert_allclose(
        np.stack([v for v in vectors if v is not None]), embedded(MODEL.data(), pictures), atol=1e-4
    )
