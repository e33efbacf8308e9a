"""Have frames coloured by the ColorMNet worker, through the host client shared by all hosts."""

import os
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .errors import Cancelled, PassError
from .exemplars import Exemplar
from .progress import Reporter
from .settings import PassSettings

if TYPE_CHECKING:
    from colormnet_host.client import Client, Session, Ticket
    from colormnet_host.job import Progress
    from colormnet_host.weights import WeightsFile

AHEAD = 4  # frames handed to the worker beyond the one waited for
EXIT_CODES = {"weights": 3, "device": 4, "out_of_memory": 4}


class Coloured(NamedTuple):
    """A frame the worker finished."""

    number: int
    path: str
    confidence: float  # mean over the picture, 0 to 1
    cached: bool


class Work(NamedTuple):
    """The frames of one clip, to be coloured in order."""

    session: str  # the shot's name in the worker: the same for the same plate, so its memory is kept
    name: str  # for messages
    frames: List[Tuple[int, str, str]]  # (frame number, plate path, output path), in the order of play
    exemplars: List[Exemplar]
    space: str  # OCIO space of plate and output


class Colourist:
    """One connection to the worker for a whole pass; started when first needed."""

    def __init__(self, launcher: Any = None, host: str = "DaVinci Resolve") -> None:
        self._launcher = launcher
        self._host = host
        self._client: Optional[Client] = None
        self._weights: Dict[str, WeightsFile] = {}

    def weights(self, model: str) -> str:
        """A digest of the weights the model has now: with other ones a clip is not unchanged. Raises PassError.

        Asked once for each model in a pass, before anything is rendered.
        """
        if model not in self._weights:
            from colormnet_host import client as host_client
            from colormnet_host.weights import find_weights

            try:
                self._weights[model] = find_weights(model, getattr(self._launcher, "python", None))
            except host_client.WorkerUnavailable as error:
                raise PassError(str(error), 4) from error
            except host_client.WorkerError as error:
                raise PassError(str(error), EXIT_CODES.get(error.code, 2)) from error
        return self._weights[model].sha256[:16]

    def _connect(self) -> "Client":
        if self._client is None:
            try:
                from colormnet_host.client import Client
            except ImportError as error:
                raise PassError(
                    "The ColorMNet plugin folder cannot be found ({0}): run 'install.py host resolve' again.".format(
                        error
                    )
                ) from error
            self._client = Client(launcher=self._launcher, name=self._host)
        return self._client

    def close(self) -> None:
        """Drop the connection; the worker goes on until it is idle."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def colour(self, work: Work, settings: PassSettings, reporter: Reporter) -> List[Coloured]:
        """Colour all frames of ``work`` in order; every output file appears whole or not at all.

        Frames the worker has done before come from its cache. Raises PassError and Cancelled.
        """
        client = self._connect()
        from colormnet_host import client as host_client
        from colormnet_host.job import Exemplar as HostExemplar
        from colormnet_host.job import SessionSettings
        from colormnet_host.weights import renew

        plates = {number: plate for number, plate, _output in work.frames}
        total = len(work.frames)

        def said(progress: "Progress") -> None:
            reporter.stage("'{0}': {1}".format(work.name, progress.message or progress.stage))

        try:
            session = client.open_session(
                work.session,
                SessionSettings(
                    space=work.space,
                    model=settings.model,
                    working_size=settings.working_size,
                    saturation=settings.saturation,
                ),
                frames=[number for number, _plate, _output in work.frames],
                exemplars=[HostExemplar(path=e.path, space=e.space, frame=e.frame) for e in work.exemplars],
                plates=plates.__getitem__,
                progress=said,
                cancel=reporter.cancelled,
            )
            try:
                if settings.model in self._weights:
                    renew(client, self._weights[settings.model])
                coloured = self._stream(session, work, total, reporter)
                for note in session.status().notes:  # such as an exemplar without colour
                    reporter.warn("'{0}': {1}".format(work.name, note))
                return coloured
            finally:
                session.close()
        except host_client.Cancelled:
            raise Cancelled() from None
        except host_client.OutOfMemory as error:
            advice = " (a working size of {0} would fit)".format(error.working_size) if error.working_size else ""
            raise PassError("'{0}': {1}{2}".format(work.name, error, advice), EXIT_CODES["out_of_memory"]) from error
        except host_client.WorkerError as error:
            raise PassError("'{0}': {1}".format(work.name, error), EXIT_CODES.get(error.code, 2)) from error
        except host_client.WorkerUnavailable as error:
            raise PassError(str(error), 4) from error

    def _stream(self, session: "Session", work: Work, total: int, reporter: Reporter) -> List[Coloured]:
        done: List[Coloured] = []
        under_way: Deque[Tuple[Tuple[int, str, str], Ticket]] = deque()
        waiting = deque(work.frames)
        try:
            while waiting or under_way:
                while waiting and len(under_way) < AHEAD and not reporter.cancelled():
                    frame = waiting.popleft()
                    under_way.append((frame, session.submit(frame[0], frame[1], frame[2])))
                if reporter.cancelled():
                    raise Cancelled()
                (number, _plate, output), ticket = under_way[0]
                result = ticket.result(cancel=reporter.cancelled)
                under_way.popleft()
                if not os.path.isfile(output):
                    raise PassError(
                        "The worker reports frame {0} of '{1}' as done but {2} is not there: check the disk and run "
                        "the pass again.".format(number, work.name, output)
                    )
                done.append(Coloured(number, output, result.confidence, result.cached))
                reporter.stage(
                    "Colouring '{0}': frame {1} of {2}".format(work.name, len(done), total), float(len(done)) / total
                )
            return done
        finally:
            for _frame, ticket in under_way:
                ticket.cancel()


def least_sure(frames: Sequence[Coloured]) -> Optional[Coloured]:
    """The frame where one more exemplar would help most; None without frames."""
    return min(frames, key=lambda frame: frame.confidence) if frames else None
