"""Image files made by the test, against the images that they were made of."""

from __future__ import annotations

import contextlib
import struct
import zlib

from gluonbook.predictions.images import ImageError, read_image
from gluonbook.system.files import FileFailure
import numpy as np
from PIL import Image, ImageFile
import pytest


@pytest.fixture(scope="module")
def boot(dataset):
    """The first test image, an ankle boot: uint8 (28, 28), light on dark."""
    return dataset.test.images[0, 0]


def photo(boot, size=(400, 300), ground=250):
    """The thing enlarged, dark on a light ground, in the middle of a larger image."""
    large = Image.fromarray(boot).resize((200, 200), Image.Resampling.BICUBIC)
    pixels = np.full(size[::-1], 0, np.uint8)
    top, left = (size[1] - 200) // 2, (size[0] - 200) // 2
    pixels[top : top + 200, left : left + 200] = np.asarray(large)
    return (ground - np.minimum(pixels, ground)).astype(np.uint8)


def expected(boot):
    """The thing trimmed, scaled to 28 pixels along its longer side, and centred."""
    rows, columns = np.flatnonzero(boot.any(axis=1)), np.flatnonzero(boot.any(axis=0))
    thing = boot[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 28 / max(thing.shape)
    height, width = (round(side * scale) for side in thing.shape)
    centred = np.zeros((28, 28))
    scaled = Image.fromarray(thing).resize((width, height), Image.Resampling.BICUBIC)
    top, left = (28 - height) // 2, (28 - width) // 2
    centred[top : top + height, left : left + width] = np.asarray(scaled)
    return centred


def test_an_image_of_the_data_set_stays_as_it_is(boot, tmp_path):
    Image.fromarray(boot).save(tmp_path / "boot.png")
    np.testing.assert_array_equal(read_image(tmp_path / "boot.png"), boot)
    Image.fromarray(255 - boot).save(tmp_path / "light.png")
    np.testing.assert_array_equal(read_image(tmp_path / "light.png"), boot)


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg"])
@pytest.mark.parametrize("ground", [250, 200])
def test_a_photo_becomes_the_image_of_the_data_set(boot, tmp_path, name, ground):
    Image.fromarray(photo(boot, ground=ground)).save(tmp_path / name)
    found = read_image(tmp_path / name).astype(float)
    # The edges depend on how an image is scaled: 12 of 255 gray levels on average, where two
    # different boots of the data set are 40 apart.
    assert np.abs(found - expected(boot) * min(1, ground / 255)).mean() < 12


def test_color_transparency_and_16_bits_are_gray(boot, tmp_path):
    gray = photo(boot)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    one = read_image(tmp_path / "gray.png")
    Image.fromarray(np.stack([gray] * 3, axis=2)).save(tmp_path / "color.png")
    np.testing.assert_array_equal(read_image(tmp_path / "color.png"), one)
    Image.fromarray(gray.astype(np.uint16) << 8).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), one)
    black = np.zeros((*gray.shape, 4), np.uint8)
    black[..., 3] = 250 - gray  # black where the thing is, and nothing around it
    Image.fromarray(black).save(tmp_path / "clear.png")
    assert np.abs(read_image(tmp_path / "clear.png").astype(int) - one).max() <= 8


def test_the_camera_was_held_upright(boot, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    turned = Image.fromarray(np.rot90(photo(boot)))
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(photo(boot)).save(tmp_path / "upright.jpg", quality=95)
    found, upright = (
        read_image(tmp_path / name).astype(int) for name in ("turned.jpg", "upright.jpg")
    )
    assert np.abs(found - upright).mean() < 2


def test_the_ground_can_be_stated(boot, tmp_path):
    Image.fromarray(boot).save(tmp_path / "boot.png")
    for ground, image in (("dark", boot), ("light", 255 - boot)):
        np.testing.assert_array_equal(read_image(tmp_path / "boot.png", ground), image)


@pytest.mark.parametrize("place", [26299, 41623], ids=str)
def test_a_thing_that_fills_its_image_is_no_light_ground(dataset, tmp_path, place):
    """The two bags of the data set that are light along most of their border."""
    bag = dataset.train.images[place, 0]
    Image.fromarray(bag).save(tmp_path / "bag.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bag.png"), bag)
    Image.fromarray(255 - bag).save(tmp_path / "light.png")
    np.testing.assert_array_equal(read_image(tmp_path / "light.png"), bag)


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_parts_of_a_gray_image_are_white(boot, tmp_path, bits):
    """As a program keeps a cutout: the ground is black, and said to be transparent."""
    gray = photo(boot, ground=255)
    Image.fromarray(gray).save(tmp_path / "white.png")
    cutout = np.where(gray == 255, 0, np.maximum(gray, 1)).astype(f"uint{bits}") << bits - 8
    Image.fromarray(cutout).save(tmp_path / "clear.png", transparency=0)
    found, white = (read_image(tmp_path / name).astype(int) for name in ("clear.png", "white.png"))
    assert np.abs(found - white).max() <= 1  # level 0 of the thing has become 1


def test_a_16_bit_image_was_held_upright_too(boot, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = photo(boot).astype(np.uint16) << 8
    Image.fromarray(np.rot90(deep).copy()).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(deep).save(tmp_path / "upright.png")
    found, upright = (read_image(tmp_path / name) for name in ("turned.png", "upright.png"))
    np.testing.assert_array_equal(found, upright)


@pytest.mark.parametrize(
    "image",
    [
        *(Image.new("L", size, level) for size in ((50, 90), (28, 28)) for level in (0, 90, 255)),
        Image.new("RGBA", (50, 90)),
        Image.fromarray(np.random.RandomState(0).randint(245, 256, (90, 50), np.uint8)),
        Image.fromarray(np.pad(np.zeros((9, 9), np.uint8), 30, constant_values=100)),
    ],
)
def test_an_image_of_ground_alone_is_refused(tmp_path, image):
    """One level, nothing but noise, or a thing that is dark on a ground that is said to be dark."""
    image.save(tmp_path / "empty.png")
    with pytest.raises(
        ImageError, match="there is nothing in .*empty.png but ground: name another"
    ):
        read_image(tmp_path / "empty.png", "dark" if image.mode == "L" else "auto")


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(width=100_000, height=100_000):
    """A PNG of a few kilobytes that says that it unpacks to 10 GB."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_files_that_are_no_images_are_refused_in_one_sentence(boot, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as GluonCV does
    Image.fromarray(photo(boot)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    Image.fromarray(boot).save(tmp_path / "boot.gif")
    for name, content, told in (
        ("empty.png", b"", "is not a PNG or JPEG image, or is damaged"),
        ("text.png", b"not an image", "is not a PNG or JPEG image"),
        ("half.png", whole[: len(whole) // 2], "is not a PNG or JPEG image, or is damaged"),
        ("boot.gif", (tmp_path / "boot.gif").read_bytes(), "is not a PNG or JPEG image"),
        ("bomb.png", bomb(), "has more than 50,000,000 pixels: reduce it first"),
        ("large.png", bomb(7072, 7071), "has more than 50,000,000 pixels: reduce it first"),
        ("thread.png", bomb(1, 49_999_999), "has more than 65,535 pixels along one side: reduce"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=f"{name} {told}") as failure:
            read_image(tmp_path / name)
        assert "\n" not in str(failure.value)
    with pytest.raises(FileFailure, match="none.png is missing"):
        read_image(tmp_path / "none.png")


def test_damaged_images_are_read_or_refused(boot, tmp_path):
    Image.fromarray(boot).save(tmp_path / "boot.png")
    Image.fromarray(photo(boot)).save(tmp_path / "photo.jpg")
    random = np.random.RandomState(0)
    for name in ("boot.png", "photo.jpg"):
        whole = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            damaged[random.randint(len(whole), size=random.randint(1, 8))] = random.randint(256)
            (tmp_path / name).write_bytes(damaged[: random.randint(1, len(whole) + 1)].tobytes())
            with contextlib.suppress(ImageError, FileFailure):
                assert read_image(tmp_path / name).shape == (28, 28)
