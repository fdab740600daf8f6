"""`generate-image`: have a provider make a picture, and keep its address."""

from __future__ import annotations

from agent_worker.domain.images import ImageRequest
from agent_worker.pipelines.conditions import as_text
from agent_worker.pipelines.definition.blocks import GenerateImage
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.state import Effect


async def run(step: Step, block: GenerateImage) -> Effect:
    """Ask the provider once; that counts as a call of a model.

    Raises:
        LimitExceeded: The run may ask no more.
        ProcessorError: No provider of pictures is configured (code `upstream_refused`, seen as `provider_error`), or as
            `ImageMaker.generate` raises it.
        UpstreamError: The provider refused or broke.
    """
    images = step.execution.around.images
    if images is None:
        raise unsupported("No provider of pictures is configured here.", code="upstream_refused")
    values = step.scope.values
    chosen = values.get(block.image_model.name) if isinstance(block.image_model, Ref) else block.image_model
    model = str(chosen)
    step.execution.budget.check(model)
    picture = await images.generate(
        model,
        ImageRequest(
            prompt=as_text(values.get(block.prompt)),
            aspect_ratio=block.aspect_ratio,
            resolution=block.resolution,
            size=block.size,
            references=tuple(as_text(values.get(name)) for name in block.reference_images),
            idempotency_key=step.idempotency_key(1),
        ),
    )
    step.execution.budget.spend(model, picture.usage)
    said = {"id": f"{step.place}:file", "mediaType": picture.media_type, "url": picture.url}
    await step.voice.say("file-available", said)
    return step.writes(block.output, picture.url)
