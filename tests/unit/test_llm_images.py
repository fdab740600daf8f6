"""Pictures through the real openai client to the scripted server, and the pictures that they start from."""

from __future__ import annotations

import base64
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent_worker.domain.chat import Usage
from agent_worker.domain.errors import ProcessorError, UpstreamError
from agent_worker.domain.images import ImageRequest
from agent_worker.llm.images import MAX_PICTURE_BYTES, pixels
from agent_worker.llm.models import Models
from agent_worker.llm.references import fetch
from agent_worker.testing.openai_replies import PIXEL
from agent_worker.testing.openai_server import Drawn, Hang, ScriptedOpenAI, Status

PIXEL_URL = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


def asked(**options: object) -> ImageRequest:
    return ImageRequest(prompt="a harbour", idempotency_key="run:draw:1", **options)  # type: ignore[arg-type]


@pytest.fixture
async def models(server: ScriptedOpenAI, tmp_path: Path) -> AsyncIterator[Models]:
    made = Models(openai_base_url=server.base_url, data_dir=tmp_path)
    yield made
    await made.close()


async def test_a_picture_is_kept_in_its_address_with_what_it_used(
    server: ScriptedOpenAI, models: Models
) -> None:
    picture = await models.images.generate("openai/gpt-image-2", asked())
    assert (picture.url, picture.media_type) == (PIXEL_URL, "image/png")
    assert picture.usage == Usage(10, 100, output_image_tokens=100)
    request = server.requests[0]
    assert request.path == "/v1/images/generations"
    assert request.body == {"model": "gpt-image-2", "prompt": "a harbour", "n": 1}
    assert request.headers["idempotency-key"] == "run:draw:1"


async def test_an_address_is_passed_on(server: ScriptedOpenAI, models: Models) -> None:
    server.script_pictures(Drawn(url="https://pictures.example/1.png", tokens=None))
    picture = await models.images.generate("openai/any", asked(aspect_ratio="16:9"))
    assert picture.url == "https://pictures.example/1.png"
    assert picture.usage == Usage()
    assert server.requests[0].body["size"] == "1360x768"


async def test_the_media_type_is_the_pictures_own(server: ScriptedOpenAI, models: Models) -> None:
    server.script_pictures(Drawn(b"\xff\xd8\xff\xe0jpeg"))
    picture = await models.images.generate("openai/any", asked())
    assert picture.media_type == "image/jpeg"
    assert picture.url.startswith("data:image/jpeg;base64,")


async def test_pictures_to_start_from_are_sent_as_files(server: ScriptedOpenAI, models: Models) -> None:
    await models.images.generate("openai/any", asked(references=(PIXEL_URL, PIXEL_URL), size="1024x1024"))
    request = server.requests[0]
    assert request.path == "/v1/images/edits"
    file = {"type": "image/png", "bytes": len(PIXEL)}
    assert request.body["image"] == [{"filename": "0.png", **file}, {"filename": "1.png", **file}]
    assert (request.body["prompt"], request.body["size"]) == ("a harbour", "1024x1024")
    assert request.headers["idempotency-key"] == "run:draw:1"


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(429, "rate_limited", True), (500, "upstream_error", True), (400, "upstream_refused", False)],
)
async def test_refusals_are_those_of_chat(
    server: ScriptedOpenAI, models: Models, status: int, code: str, retryable: bool
) -> None:
    server.script_pictures(Status(status))
    with pytest.raises(UpstreamError) as caught:
        await models.images.generate("openai/any", asked())
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert len(server.requests) == 1


async def test_a_picture_without_measure_is_refused(server: ScriptedOpenAI, models: Models) -> None:
    server.script_pictures(Drawn(b"x" * (MAX_PICTURE_BYTES + 3)))
    with pytest.raises(ProcessorError, match="more than") as caught:
        await models.images.generate("openai/any", asked())
    assert not caught.value.retryable


async def test_only_openai_makes_pictures_and_needs_a_key(models: Models, tmp_path: Path) -> None:
    with pytest.raises(ProcessorError) as caught:
        await models.images.generate("anthropic/any", asked())
    assert caught.value.code == "unknown_model"
    without = Models(data_dir=tmp_path)
    with pytest.raises(ProcessorError) as caught:
        await without.images.generate("openai/any", asked())
    assert caught.value.code == "missing_key"


async def test_a_request_that_is_given_up_is_given_up_at_the_server(
    server: ScriptedOpenAI, models: Models
) -> None:
    import asyncio

    server.script_pictures(Hang())
    task = asyncio.create_task(models.images.generate("openai/any", asked()))
    await asyncio.to_thread(server.wait_until, lambda each: bool(each.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.wait_until, lambda each: each.abandoned == 1)


@pytest.mark.parametrize(
    ("ratio", "resolution", "size"),
    [
        (None, None, None),
        ("1:1", None, "1024x1024"),
        ("3:2", "1K", "1536x1024"),
        ("1:1", "2k", "2048x2048"),
        ("9:16", "2K", "1536x2720"),
        ("16:9", "4K", "3840x2160"),
        (None, "4K", "2880x2880"),
        ("3:1", "4K", "3840x1280"),
    ],
)
def test_ratio_and_resolution_become_sides_that_openai_takes(
    ratio: str | None, resolution: str | None, size: str | None
) -> None:
    found = pixels(asked(aspect_ratio=ratio, resolution=resolution))
    assert found == size
    if found is not None:
        width, height = map(int, found.split("x"))
        assert width % 16 == height % 16 == 0
        assert max(width, height) <= 3840
        assert width * height <= 3840 * 2160


@pytest.mark.parametrize(
    ("ratio", "resolution"), [("wide", None), ("1:0", None), ("4:1", None), ("1:1", "8K"), ("-1:1", None)]
)
def test_what_is_no_ratio_or_resolution_is_refused(ratio: str, resolution: str | None) -> None:
    with pytest.raises(ProcessorError) as caught:
        pixels(asked(aspect_ratio=ratio, resolution=resolution))
    assert (caught.value.code, caught.value.retryable) == ("invalid_setting", False)


@pytest.fixture
def pictures() -> Iterator[str]:
    """An address on this machine at which pictures stand, and one that leads away."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_picture = self.path == "/1.png"
            self.send_response(200 if is_picture else 302)
            self.send_header("content-type", "image/png")
            self.send_header("location", "/1.png")
            self.end_headers()
            self.wfile.write(PIXEL if is_picture else b"")

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


async def test_pictures_of_the_providers_own_server_are_fetched(pictures: str) -> None:
    assert await fetch(f"{pictures}/1.png", trusted=f"{pictures}/v1") == (PIXEL, "image/png")


@pytest.mark.parametrize(
    "address",
    [
        "{}/1.png",
        "http://localhost/1.png",
        "http://127.0.0.1/1.png",
        "http://[::1]/1.png",
        "http://[::ffff:127.0.0.1]/1.png",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/1.png",
        "http://0.0.0.0/1.png",
        "http://2130706433/1.png",
        "file:///etc/passwd",
        "ftp://example.org/1.png",
        "data:text/html;base64,PGI+",
        "data:image/png;base64,***",
        "data:",
        "1.png",
        "NONE",
    ],
)
async def test_addresses_of_the_workers_own_network_and_what_is_no_picture_are_refused(
    pictures: str, address: str
) -> None:
    with pytest.raises(ProcessorError) as caught:
        await fetch(address.format(pictures), trusted="https://api.openai.com/v1")
    assert (caught.value.code, caught.value.retryable) == ("invalid_setting", False)


async def test_a_picture_that_has_moved_is_not_followed(pictures: str) -> None:
    with pytest.raises(ProcessorError, match="HTTP 302"):
        await fetch(f"{pictures}/away", trusted=pictures)
