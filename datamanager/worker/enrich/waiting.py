"""A frame that waits for a model, with what the model will look at."""

from dataclasses import dataclass

from datamanager.inference.host import FramePicture
from datamanager.storage.enrichments import Enrichment
from datamanager.storage.inference_job import InferenceJob, TakenInference
from datamanager.worker.enrich.originals import Original, Originals

__all__ = ["Waiting"]


@dataclass(slots=True, eq=False)
class Waiting:
    """A frame that waits for a model.

    Attributes:
        rule: asks for it.
        output: the stream of its result, whichever model looks at it in the end.
        needs_previous: whether the model wants the frame before it, and does not have that.
        alone: whether it goes by itself, for a batch that it was in has failed.
        passed: lanes that could not take it and passed it on.
    """

    taken: TakenInference
    rule: Enrichment
    output: str
    needs_previous: bool = False
    alone: bool = False
    passed: int = 0
    _original: Original | None = None
    _previous: Original | None = None

    @property
    def job(self) -> InferenceJob:
        """What is asked."""
        return self.taken.job

    def ask(self, originals: Originals, *, ahead: bool) -> bool:
        """Begins to fetch what the model will look at, unless that was asked for before.

        Args:
            originals: fetches it.
            ahead: whether the frame's turn has not come.

        Returns:
            Whether all of it is on its way or here; what is needed now always is.
        """
        job, before = self.job, self.job.previous
        if self._original is None:
            self._original = originals.ask(job.key, job.size_bytes, ahead=ahead)
        if self._previous is None and self.needs_previous and before is not None:
            self._previous = originals.ask(before.key, before.size_bytes, ahead=ahead)
            return self._original is not None and self._previous is not None
        return self._original is not None

    async def picture(self) -> FramePicture | None:
        """What the model looks at; None when its bytes are gone from S3. To be asked for before."""
        assert self._original is not None  # noqa: S101  # as said: whoever calls has asked for it
        data = await self._original.data()
        if data is None:
            return None
        before, previous = self.job.previous, self._previous
        return FramePicture(
            self.job.frame_id,
            data,
            previous_id=None if before is None else before.frame_id,
            previous=None if previous is None else await previous.data(),
        )

    def let_go(self) -> None:
        """Gives the memory back that its bytes take."""
        for original in (self._original, self._previous):
            if original is not None:
                original.let_go()
        self._original = self._previous = None
