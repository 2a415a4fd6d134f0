"""A reader of a site never sees half of a refresh, wherever the writer stops."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from medallion_assets.errors import SettingsError
from medallion_assets.local.emulator import REGION, Emulator
from medallion_assets.panels.document import FORMAT, Document
from medallion_assets.site.files import SiteFile, page_files
from medallion_assets.site.place import FolderPlace, SitePlace, open_place
from medallion_assets.site.write import KEPT, POINTER, Written, write_site

NOW = datetime.now(UTC)


def document(number: int) -> Document:
    content = json.dumps({"format": FORMAT, "number": number}).encode()
    return Document(content, hashlib.sha256(content).hexdigest()[:16])


def write(place: SitePlace, number: int, *, now: datetime = NOW) -> Written:
    return write_site(place, document(number), {}, now=now, poll_seconds=10)


class Stopped(Exception):
    """The writer was killed."""


class Mortal:
    """A place whose writer dies before its call number `left`."""

    def __init__(self, place: SitePlace, left: int) -> None:
        self._place = place
        self._left = left

    def put(self, path: str, file: SiteFile) -> None:
        self._live()
        self._place.put(path, file)

    def list(self, folder: str) -> Mapping[str, datetime]:
        self._live()
        return self._place.list(folder)

    def remove(self, path: str) -> None:
        self._live()
        self._place.remove(path)

    def _live(self) -> None:
        if not self._left:
            raise Stopped
        self._left -= 1


def read(root: Path) -> int | None:
    """Return the number that a browser shows, by the same way; None if there is no page yet."""
    if not (root / "index.html").exists():
        return None
    for asset in re.findall(r'(?:href|src)="(page/[^"]+)"', (root / "index.html").read_text()):
        assert (root / asset).is_file()
    if not (root / POINTER).exists():
        return None
    pointer = json.loads((root / POINTER).read_text())
    content = (root / "data" / pointer["panels"]).read_bytes()
    assert hashlib.sha256(content).hexdigest()[:16] == pointer["panels"].removesuffix(".json")
    return int(json.loads(content)["number"])


@pytest.mark.parametrize("start", ["nothing", "an older page", "this page"])
def test_a_reader_sees_one_refresh_or_the_next_wherever_the_writer_dies(
    tmp_path: Path, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, deaths = tmp_path / "site", 0
    if start != "nothing":
        with monkeypatch.context() as older:
            if start == "an older page":
                files = {path.replace("page/", "page/older-"): file for path, file in page_files().items()}
                index = files["index.html"]
                older_index = replace(index, content=index.content.replace(b"page/", b"page/older-"))
                older.setattr("medallion_assets.site.write.page_files", lambda: {**files, "index.html": older_index})
            write(FolderPlace(root), 1000)
    for calls in range(100):
        before = read(root)
        try:
            write(Mortal(FolderPlace(root), calls), calls)
        except Stopped:
            deaths += 1
            assert read(root) in {before, calls}
            continue
        break
    assert deaths == {"nothing": 12, "an older page": 12, "this page": 4}[start]
    assert read(root) == deaths
    assert [path.name for path in root.rglob(".*")] == []


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path)
    now = datetime.now(UTC)
    assert write(place, 1, now=now).is_new
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert not write(place, 1, now=now).is_new
    again = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert [path.name for path in written if again[path] != written[path]] == ["latest.json"]


def test_old_documents_go_but_never_the_newest(tmp_path: Path) -> None:
    place, now = FolderPlace(tmp_path), datetime.now(UTC)
    assert [write(place, number, now=now).removed for number in (1, 2)] == [0, 0]
    later = now + KEPT + timedelta(minutes=1)
    assert write(place, 2, now=later) == Written(document(2).version, is_new=True, removed=1)
    assert read(tmp_path) == 2


def test_a_bucket_gives_browsers_the_right_headers(aws: Emulator) -> None:
    bucket, client = f"site-{os.environ['AWS_ACCESS_KEY_ID']}", boto3.client("s3")
    client.create_bucket(Bucket=bucket)
    place = open_place(f"s3://{bucket}/numbers", region=REGION)
    write(place, 1)
    assert set(place.list("data")) == {POINTER, f"data/{document(1).version}.json"}

    def headers(path: str) -> tuple[str, str]:
        found = client.head_object(Bucket=bucket, Key=f"numbers/{path}")
        return found["ContentType"], found["CacheControl"]

    script = next(path for path in place.list("page") if path.endswith("/page.js"))
    kept = "public, max-age=31536000, immutable"
    assert headers("index.html") == ("text/html; charset=utf-8", "no-cache")
    assert headers(POINTER) == ("application/json", "no-cache")
    assert headers(f"data/{document(1).version}.json") == ("application/json", kept)
    assert headers(script) == ("text/javascript; charset=utf-8", kept)


@pytest.mark.parametrize("url", ["", "s3://", "https://bucket/site"])
def test_another_place_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="The site"):
        open_place(url, region=REGION)


def test_the_chart_library_is_the_released_file() -> None:
    folder = Path(__file__).parents[2] / "medallion_assets/site/page/uplot"
    listed = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "VERSION").read_text(), re.MULTILINE)
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for _, name in listed} == {
        name: digest for digest, name in listed
    }
    assert {name for _, name in listed} == {path.name for path in folder.iterdir()} - {"VERSION"}
