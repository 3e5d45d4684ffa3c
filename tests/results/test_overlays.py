"""Boxes and masks are drawn where they are, in the colours of their classes, and anew when results change."""

import io
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.browse_server import Recorder
from support.results import box, detections, put_results, quality

from datamanager.clock import SystemClock
from datamanager.errors import Refused
from datamanager.kinds.images.overlay import OverlayBox, OverlayMask, draw_overlay
from datamanager.playback.overlays import parse_overlay
from datamanager.storage.thumbnails import Thumbnail, Thumbnails

NS = 1_000_000_000
T0 = 1_700_000_000 * NS
GREY = (90, 90, 90)
GREEN = (0x3C, 0xB4, 0x4B)  # of class 2
YELLOW = (0xFF, 0xE1, 0x19)  # of class 0


def picture(width: int, height: int, name: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), GREY if mode == "RGB" else (*GREY, 255) if mode == "RGBA" else 90).save(
        out, name, **options
    )
    return out.getvalue()


def pixels(data: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"))


def near(colour: tuple[int, int, int], shown: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which pixels have that colour, as far as JPEG keeps it."""
    return np.abs(shown.astype(int) - colour).max(axis=-1) < 40


def car(*corners: float, score: float = 0.9, track_id: int | None = None) -> OverlayBox:
    return OverlayBox(corners, "car", 2, score, track_id)  # type: ignore[arg-type]  # four


def test_a_box_is_drawn_where_it_is_and_hides_nothing_within() -> None:
    shown = pixels(draw_overlay(picture(640, 360), [car(200, 100, 800, 400)], [], (1280, 720)))
    assert shown.shape == (360, 640, 3)
    assert near(GREEN, shown[50:200, 100]).mean() > 0.95
    assert near(GREEN, shown[50:200, 400]).mean() > 0.95
    assert near(GREEN, shown[50, 200:400]).mean() > 0.95  # the label stands above its left end
    assert near(GREEN, shown[200, 100:400]).mean() > 0.95
    assert near(GREY, shown[56:194, 106:394]).all()
    assert near(GREY, shown[210:, :]).all()
    label = shown[32:48, 102:170]
    assert near(GREEN, label).mean() > 0.4
    assert (label.max(axis=-1) < 60).sum() > 60  # black letters


def test_a_thumbnail_has_boxes_without_words() -> None:
    shown = pixels(draw_overlay(picture(120, 68), [car(400, 200, 800, 600)], [], (1280, 720)))
    green = np.argwhere(near(GREEN, shown))
    assert (green.min(axis=0).tolist(), green.max(axis=0).tolist()) == ([19, 38], [57, 75])
    assert near(GREY, shown[:16]).all()


@pytest.mark.parametrize(
    "corners",
    [(-50.0, -50.0, 700.0, 500.0), (700.0, 500.0, 900.0, 600.0), (5.0, 5.0, 5.0, 5.0), (300.0, 200.0, 100.0, 50.0)],
)
def test_a_box_beyond_the_picture_is_cut(corners: tuple[float, ...]) -> None:
    shown = pixels(draw_overlay(picture(640, 360), [car(*corners)], [], None))
    assert near(GREEN, shown).any()


def test_what_is_no_place_is_left_out_and_the_best_are_drawn() -> None:
    plain = pixels(draw_overlay(picture(640, 360), [], [], None))
    assert near(GREY, plain).all()
    odd = [car(float("nan"), 0, 1, 1), car(0, 0, float("inf"), 1)]
    assert (pixels(draw_overlay(picture(640, 360), odd, [], None)) == plain).all()
    many = [car(600, 340, 620, 350, score=0.1)] + [car(10, 60, 30, 80)] * 300
    assert not near(GREEN, pixels(draw_overlay(picture(640, 360), many, [], None))[330:, 590:]).any()


def test_labels_do_not_hide_each_other() -> None:
    boxes = [car(100, 100, 200, 200, track_id=1), car(104, 103, 204, 203, score=0.8, track_id=2)]
    both = pixels(draw_overlay(picture(640, 360), boxes, [], None))
    alone = pixels(draw_overlay(picture(640, 360), boxes[:1], [], None))
    dark = (alone[80:99, 100:180].max(axis=-1) < 60).sum()
    assert (both[80:99, 100:180].max(axis=-1) < 60).sum() == pytest.approx(dark, abs=3)
    assert near(GREEN, both[106:121, 106:170]).mean() > 0.4  # the other one's stands in its box


def test_a_name_may_be_anything() -> None:
    for name in ("", "名前", "a\nb\x00c", "x" * 500, "\ud800"):
        found = OverlayBox((10.0, 50.0, 60.0, 90.0), name, None, 0.5, 3)
        assert pixels(draw_overlay(picture(640, 360), [found], [], None)).shape == (360, 640, 3)
        assert len(found.label) < 50


@pytest.mark.parametrize(
    "data",
    [
        picture(64, 48, "JPEG"),
        picture(64, 48, "WEBP", "RGBA"),
        picture(64, 48, "PNG", "L"),
        picture(64, 48, "PNG", "P"),
        picture(64, 48, "TIFF"),
    ],
)
def test_any_picture_with_colours_is_drawn_into(data: bytes) -> None:
    assert near(GREEN, pixels(draw_overlay(data, [car(5, 5, 20, 20)], [], None))).any()


def test_a_turned_picture_is_drawn_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = pixels(draw_overlay(picture(64, 48, "JPEG", exif=exif), [car(0, 40, 47, 63)], [], None))
    assert shown.shape == (64, 48, 3)
    assert near(GREY, shown[:36]).all()


@pytest.mark.parametrize("data", [b"", b"no picture", picture(64, 48)[:60], picture(8, 8, "PNG", "I;16")])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(Refused, match="picture") as refused:
        draw_overlay(data, [car(0, 0, 5, 5)], [], None)
    assert refused.value.code == "bad_payload"


def test_a_mask_veils_its_cells_alone() -> None:
    mask = OverlayMask((4, 4), ((0, 8), (1, 8)), (2,))
    shown = pixels(draw_overlay(picture(64, 64), [], [mask], None))
    assert near(GREY, shown[:24]).all()
    veiled = tuple(round(0.55 * grey + 0.45 * green) for grey, green in zip(GREY, GREEN, strict=True))
    assert (np.abs(shown[40:].astype(int) - veiled).max(axis=-1) < 6).all()
    for broken in (((0, 8), (1, 9)), ((0, -8), (1, 24)), ()):
        same = pixels(draw_overlay(picture(64, 64), [], [OverlayMask((4, 4), broken, (2,))], None))
        assert near(GREY, same).all()
    huge = OverlayMask((1 << 20, 1 << 20), ((1, 1 << 40),), (2,))
    assert near(GREY, pixels(draw_overlay(picture(64, 64), [], [huge], None))).all()


def test_what_is_asked_is_read_or_refused() -> None:
    assert parse_overlay("detections") == (("detections", None),)
    assert parse_overlay("detections:a,segments,detections:b,segments") == (
        ("detections", "a"),
        ("segments", None),
        ("detections", "b"),
    )
    for text in ("", "boxes", "detections:", "detections,", ",", "Detections", "detections:" + "x" * 190, "x" * 10_000):
        with pytest.raises(Refused) as refused:
            parse_overlay(text)
        assert refused.value.code == "wrong_type"


# Over HTTP.


async def frame_with(recorder: Recorder, session_id: str, **more: Any) -> str:
    """A frame of 1280 x 720 whose original, preview and thumbnail are there."""
    await recorder.session("over", session_id, {"front": "images"})
    original = picture(1280, 720, "JPEG")
    key = f"processed/over/{session_id}/preview.jpg"
    await recorder.s3.put(key, picture(640, 360, "JPEG"))
    (frame_id,) = await recorder.frames(
        "over", session_id, "front", [T0], data=original, width=1280, height=720, thumbnail=True, **more
    )
    await recorder.mongo.durable("frames_metadata").update_one({"_id": frame_id}, {"$set": {"keys.preview": key}})
    small = Thumbnail(frame_id, picture(120, 68, "JPEG"), "image/jpeg")
    await Thumbnails(recorder.mongo, SystemClock()).put([small])
    return frame_id


def seen(session_id: str, frame_id: str, *corners: float, **changes: Any) -> Any:
    found = [box("person", 0.9, corners) | {"class_id": 2}]
    return detections("over", session_id, frame_id, T0, found, **{"extra": {"width": 1280, "height": 720}, **changes})


async def drawn(http: httpx.AsyncClient, frame_id: str, tier: str, overlay: str) -> httpx.Response:
    answer = await http.get(f"/frames/{frame_id}/{tier}", params={"overlay": overlay})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg"), answer.text
    return answer


async def test_every_tier_is_drawn_into(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_id = await frame_with(recorder, "tiers")
    await put_results(recorder.mongo, [seen("tiers", frame_id, 640, 360, 1000, 700)])
    for tier, shape in [("preview", (360, 640)), ("thumbnail", (68, 120)), ("original", (720, 1280))]:
        shown = pixels((await drawn(http, frame_id, tier, "detections")).content)
        assert shown.shape[:2] == shape
        green = np.argwhere(near(GREEN, shown[round(0.51 * shape[0]) :]))  # below the label
        assert green[:, 1].min() / shape[1] == pytest.approx(0.5, abs=0.02)
        assert green[:, 1].max() / shape[1] == pytest.approx(1000 / 1280, abs=0.02)


async def test_a_known_picture_is_not_sent_again_until_results_change(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    frame_id = await frame_with(recorder, "etag")
    await put_results(recorder.mongo, [seen("etag", frame_id, 640, 360, 1000, 700)])
    first = await drawn(http, frame_id, "preview", "detections")
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    address = f"/frames/{frame_id}/preview?overlay=detections"
    again = await http.get(address, headers={"if-none-match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = await http.get(f"/frames/{frame_id}/thumbnail?overlay=detections", headers={"if-none-match": etag})
    assert other.status_code == 200
    results = recorder.mongo.durable("results")
    await results.update_one({"frame_id": frame_id}, {"$set": {"detections.0.track_id": 7}})
    tracked = await http.get(address, headers={"if-none-match": etag})
    assert tracked.status_code == 200
    assert tracked.headers["etag"] != etag
    assert tracked.content != first.content


async def test_the_newest_is_drawn_or_the_rule_s_that_is_named(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_id = await frame_with(recorder, "rules")
    old = seen("rules", frame_id, 640, 360, 1000, 700, enrichment="old")
    new = seen("rules", frame_id, 100, 360, 300, 700, enrichment="new")
    await put_results(recorder.mongo, [old], at_ns=T0)
    await put_results(recorder.mongo, [new], at_ns=T0 + 1)
    await put_results(recorder.mongo, [seen("rules", frame_id, 0, 0, 9, 9, enrichment="broken", status="failed")])

    async def sides(overlay: str) -> tuple[bool, bool]:
        shown = near(GREEN, pixels((await drawn(http, frame_id, "preview", overlay)).content))
        return bool(shown[300, :160].any()), bool(shown[300, 300:].any())

    assert await sides("detections") == (True, False)
    assert await sides("detections:new") == (True, False)
    assert await sides("detections:old") == (False, True)
    assert await sides("detections:old,detections:new") == (True, True)
    assert await sides("detections,detections:new,segments") == (True, False)


async def test_masks_are_drawn(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_id = await frame_with(recorder, "masks")
    masks = [{"size": [9, 16], "runs": [72, 72]}]
    of_objects = seen("masks", frame_id, 0, 360, 1280, 720, task="segment", enrichment="objects")
    of_objects.extra["masks"] = masks
    regions = quality("over", "masks", frame_id, T0, enrichment="regions", task="segment")
    regions.extra["map"] = {"size": [2, 1], "runs": [[0, 1], [2, 1]]}
    await put_results(recorder.mongo, [of_objects, regions])
    shown = pixels((await drawn(http, frame_id, "preview", "segments:objects")).content)
    assert near(GREY, shown[:140]).all()
    veiled = tuple(round(0.55 * grey + 0.45 * green) for grey, green in zip(GREY, GREEN, strict=True))
    assert (np.abs(shown[220:].astype(int) - veiled).max(axis=-1) < 8).all()
    shown = pixels((await drawn(http, frame_id, "preview", "segments:regions")).content)
    for rows, colour in ((shown[:40], YELLOW), (shown[320:], GREEN)):
        mixed = tuple(round(0.55 * grey + 0.45 * c) for grey, c in zip(GREY, colour, strict=True))
        assert (np.abs(rows.astype(int) - mixed).max(axis=-1) < 8).all()


async def test_with_nothing_to_draw_the_tier_is_as_without(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_id = await frame_with(recorder, "plain")
    await put_results(recorder.mongo, [detections("over", "plain", frame_id, T0, [])])
    for overlay in ("detections", "segments", "detections:nobody"):
        answer = await http.get(f"/frames/{frame_id}/preview", params={"overlay": overlay})
        assert answer.status_code == 307
        small = await http.get(f"/frames/{frame_id}/thumbnail", params={"overlay": overlay})
        assert small.content == (await http.get(f"/frames/{frame_id}/thumbnail")).content


async def test_what_cannot_be_drawn_is_a_problem(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_id = await frame_with(recorder, "bad")
    await put_results(recorder.mongo, [seen("bad", frame_id, 640, 360, 1000, 700)])
    frames = recorder.mongo.durable("frames_metadata")
    for overlay in ("boxes", "", "detections:"):
        answer = await http.get(f"/frames/{frame_id}/preview", params={"overlay": overlay})
        assert (answer.status_code, answer.json()["code"]) == (400, "wrong_type"), overlay
    assert (await http.get("/frames/nothing/preview?overlay=detections")).status_code == 404
    await frames.update_one({"_id": frame_id}, {"$set": {"width": 6000, "height": 4001}})
    large = await http.get(f"/frames/{frame_id}/original?overlay=detections")
    assert (large.status_code, large.json()["code"]) == (422, "tier_impossible")
    await frames.update_one({"_id": frame_id}, {"$set": {"width": 6000, "height": 4000}})
    assert (await http.get(f"/frames/{frame_id}/original?overlay=detections")).status_code == 200
    await frames.update_one({"_id": frame_id}, {"$set": {"role": "pointcloud"}})
    cloud = await http.get(f"/frames/{frame_id}/preview?overlay=detections")
    assert (cloud.status_code, cloud.json()["code"]) == (422, "tier_impossible")
    await recorder.s3.put("processed/over/bad/preview.jpg", b"no picture")
    await frames.update_one({"_id": frame_id}, {"$set": {"role": "rgb"}})
    broken = await http.get(f"/frames/{frame_id}/preview?overlay=detections")
    assert (broken.status_code, broken.json()["code"]) == (422, "tier_impossible")
    await frames.update_one({"_id": frame_id}, {"$unset": {"keys.preview": 1}})
    pending = await http.get(f"/frames/{frame_id}/preview?overlay=detections", timeout=10)
    assert (pending.status_code, pending.json()["status"]) == (202, "pending")
