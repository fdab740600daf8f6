"""`generate-image`: have a provider make a picture, and keep its address."""

from __future__ import annotations

from agent_worker.domain.json import JsonObject
from agent_worker.pipelines.conditions import as_text
from agent_worker.pipelines.definition.blocks import GenerateImage
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.execution import Step, unsupported
from agent_worker.pipelines.state import Effect


async def run(step: Step, block: GenerateImage) -> Effect:
    """Ask the provider once.

    Raises:
        ProcessorError: No provider of pictures is configured (code `upstream_refused`, seen as `provider_error`).
        UpstreamError: The provider refused or broke.
    """
    images = step.execution.around.images
    if images is None:
        raise unsupported("No provider of pictures is configured here.", code="upstream_refused")
    values = step.scope.values
    model = values.get(block.image_model.name) if isinstance(block.image_model, Ref) else block.image_model
    given = {"aspectRatio": block.aspect_ratio, "resolution": block.resolution, "size": block.size}
    options: JsonObject = {name: value for name, value in given.items() if value is not None}
    url = await images.generate(
        str(model),
        as_text(values.get(block.prompt)),
        options=options,
        references=tuple(as_text(values.get(name)) for name in block.reference_images),
        idempotency_key=step.idempotency_key(1),
    )
    await step.voice.say("file-available", {"id": f"{step.place}:file", "mediaType": "image/png", "url": url})
    return step.writes(block.output, url)
