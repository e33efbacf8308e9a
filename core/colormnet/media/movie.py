"""Movies as a source and a sink of frames, through ffmpeg.

A movie is decoded as a stream: one frame is held at a time. It is written in segments of whole frames into a hidden
folder beside the output and put together, with the sound of the input, when the last frame is there: the movie
appears whole or not at all, and an interrupted one goes on where its last segment ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import ffmpeg
import numpy as np

from colormnet.errors import InputError
from colormnet.files import write_error
from colormnet.media.atomic import check_folder, prepare_folder, refuse_folders, refuse_overwrite
from colormnet.media.ffmpeg_tools import MovieFacts, add_frames, as_file, command, probe
from colormnet.media.frames import (
    ColourHint,
    FloatArray,
    FrameSource,
    MediaInfo,
    PlateFrame,
    SinkSettings,
    Window,
    left_out,
)
from colormnet.media.images import PictureFrame, alpha_of, divided, multiplied_alpha, place, to_float
from colormnet.media.locks import FolderLock
from colormnet.media.mxf import write_display_aspect
from colormnet.media.notation import choose_frames, is_movie, parse_frames

__all__ = ["MovieFrame", "MovieSink", "MovieSource", "is_movie"]

_SEGMENT = re.compile(r"(\d{7})-(\d{7})\.mov")  # places of its first frame and of the one after its last
_LIST = "list"  # of the segments, as ffmpeg reads it
_SKIP_AHEAD = 200  # frames it is cheaper to decode and drop than to start another decoder for
_MATRICES = {
    "bt470bg": "bt470bg",
    "smpte170m": "smpte170m",
    "smpte240m": "smpte240m",
    "fcc": "fcc",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
_CODECS: dict[str, tuple[str, ...]] = {
    ".mov": ("prores", "dnxhr", "h264"),
    ".mp4": ("h264",),
    ".mxf": ("dnxhr",),
    ".mkv": ("prores", "dnxhr", "h264"),
    ".m4v": ("h264",),
    ".qt": ("prores", "dnxhr", "h264"),
}


@dataclass(frozen=True)
class MovieFrame:
    """What a :class:`PlateFrame` of a movie carries for the sink: its alpha (H, W) if any, and its timecode."""

    alpha: FloatArray | None
    timecode: str | None


class MovieSource:
    """A movie. See :func:`colormnet.media.frames.open_source`.

    Frames are counted from 1 as they are stored. A movie of variable frame rate is read one stored frame for one, and
    has the mean rate; its notes say so. Untagged movies are read as Rec.709 with video range.
    """

    def __init__(self, spec: str, frames: str | Sequence[int] | None = None) -> None:
        self._facts = probe(Path(spec))
        self._path = Path(spec)
        self._frames = choose_frames(spec, range(1, len(self._facts.times) + 1), parse_frames(frames))
        self._lock = threading.Lock()
        self._decoder: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._next = 0

    @property
    def facts(self) -> MovieFacts:
        """What ffmpeg says of the movie."""
        return self._facts

    @property
    def info(self) -> MediaInfo:
        """What is known of the footage."""
        facts = self._facts
        window = Window(0, 0, facts.width, facts.height)
        notes = []
        if facts.variable:
            notes.append(
                f"The frame rate of {self._path.name} varies: frames are kept one for one and play at "
                f"{float(facts.rate):.3f} a second."
            )
        if facts.sample_aspect != 1:
            aspect = float(facts.sample_aspect)
            notes.append(
                f"Pixels are {aspect:g} times as wide as high: passed through; "
                "the network sees the plate flattened to square."
            )
        if facts.interlaced:
            notes.append(f"{self._path.name} is interlaced: its frames are coloured as they are stored.")
        code = facts.timecode
        return MediaInfo(
            name=str(self._path),
            kind="movie",
            format="movie",
            width=facts.width,
            height=facts.height,
            display=window,
            data=window,
            pixel_aspect=float(facts.sample_aspect),
            frame_rate=facts.rate,
            timecode=code if code is None else add_frames(code, self._frames[0] - 1, facts.rate),
            bits=f"uint{facts.bits}",
            alpha=facts.alpha,
            hint=ColourHint("movie", tag=facts.transfer),
            notes=tuple(notes),
        )

    @property
    def frames(self) -> list[int]:
        """Frame numbers asked for, ascending."""
        return list(self._frames)

    @property
    def whole(self) -> bool:
        """Every frame of the movie is asked for."""
        return len(self._frames) == len(self._facts.times)

    def paths(self) -> list[Path]:
        """The movie."""
        return [self._path]

    def read(self, number: int) -> PlateFrame:
        """Read a frame; one after the other is fastest. Raises InputError when the movie ends early or is damaged."""
        if not 1 <= number <= len(self._facts.times):
            raise InputError(f"{self._path} has no frame {number}; it has frames 1-{len(self._facts.times)}.")
        facts = self._facts
        with self._lock:
            if self._decoder is None or not self._next <= number <= self._next + _SKIP_AHEAD:
                self._start(number)
            size = facts.width * facts.height * (8 if facts.alpha else 6)
            data = b""
            while self._next <= number:
                data = self._pull(size)
                self._next += 1
        channels = 4 if facts.alpha else 3
        codes = np.frombuffer(data, dtype="<u2").reshape(facts.height, facts.width, channels)
        code = facts.timecode
        held = MovieFrame(
            alpha=to_float(codes[..., 3]) if facts.alpha else None,
            timecode=None if code is None else add_frames(code, number - 1, facts.rate),
        )
        return PlateFrame(number, to_float(np.ascontiguousarray(codes[..., :3])), held)

    def _start(self, number: int) -> None:
        self._stop()
        facts = self._facts
        how: dict[str, Any] = {}
        if number > 1:
            # A little early, so that rounding to the ticks of the file (a frame each in MXF) never lands behind it.
            how["ss"] = f"{max(0.0, facts.times[number - 1] - 0.25 / float(facts.rate)):.6f}"
        kind = "rgba64le" if facts.alpha else "rgb48le"
        source = ffmpeg.input(as_file(self._path), **how)["v:0"]
        stream = source.output(
            "pipe:",
            format="rawvideo",
            vf=f"scale={_decode_scale(facts)}:flags=accurate_rnd+full_chroma_int,format={kind}",
            fps_mode="passthrough",
        )
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the decoder
        self._decoder = subprocess.Popen(
            command(stream), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, bufsize=1 << 20
        )
        self._next = number

    def _pull(self, size: int) -> bytes:
        assert self._decoder is not None
        assert self._decoder.stdout is not None
        data = self._decoder.stdout.read(size)
        if len(data) < size:
            frame = self._next
            said = self._said()
            code = self._decoder.wait()
            self._stop()
            if code < 0:
                raise InputError(
                    f"{self._path} could not be read at frame {frame}: ffmpeg was ended by signal {-code}; resume."
                )
            raise InputError(
                f"{self._path} ends at frame {frame} of {len(self._facts.times)} ({said}); it is truncated or damaged."
            )
        return data

    def _said(self) -> str:
        if self._errors is None:
            return "no reason given"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return re.sub(r"^\[[^\]]*\] ", "", lines[-1]).rstrip(".") if lines else "no more data"

    def _stop(self) -> None:
        if self._decoder is not None:
            self._decoder.kill()
            if self._decoder.stdout is not None:
                self._decoder.stdout.close()
            self._decoder.wait()
            self._decoder = None
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def close(self) -> None:
        """End the decoder."""
        with self._lock:
            self._stop()

    def __enter__(self) -> MovieSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _decode_scale(facts: MovieFacts) -> str:
    matrix = _MATRICES.get(facts.colorspace or "", "bt709")
    return f"in_color_matrix={matrix}:in_range={'pc' if facts.full_range else 'tv'}:out_range=pc"


class MovieSink:
    """A movie to write. See :func:`colormnet.media.frames.open_sink`.

    Frames come in ascending order. ``notes`` says what the output does not carry over.
    """

    def __init__(self, spec: str, source: FrameSource, settings: SinkSettings) -> None:
        self._path = Path(spec)
        self._source = source
        self._info = source.info
        self._settings = settings
        self._frames = source.frames
        self._facts = source.facts if isinstance(source, MovieSource) else None
        self.notes: tuple[str, ...] = ()
        self._codec = self._choose_codec()
        self._rate = self._info.frame_rate or settings.frame_rate
        if settings.frame_rate is not None and self._facts is None:
            self._rate = settings.frame_rate
        if self._rate is None:
            self._rate = Fraction(24)
            self._note("The plate does not say its frame rate; the movie plays at 24 frames a second.")
        self._check()
        refuse_folders([self._path])
        refuse_overwrite([self._path], source.paths())
        self._folder = self._path.with_name(f".{self._path.name}.segments")
        there = self._folder.iterdir() if self._folder.is_dir() else ()
        self.begun = any(_SEGMENT.fullmatch(entry.name) for entry in there)
        self._encoder: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._open: list[int] = []
        self._closed = False
        self._finished = settings.resume and self._already_there()
        self._done: set[int] = set()
        if settings.resume and not self._finished:
            self._done = self._frames_in(self._segments())
        self._lock: FolderLock | None = None

    def check(self) -> None:
        """Raise InputError where the folder cannot be made or written to; nothing is made."""
        check_folder(self._path.parent, self._path.name)

    def prepare(self) -> None:
        """Make and take the folder of the segments. Raises InputError, also where another writer has it."""
        prepare_folder(self._path.parent, self._path.name)
        if not self._finished:
            self._take_folder()

    @property
    def alpha_apart(self) -> bool:
        """Whether the movie holds the plate's alpha; it is never multiplied into a movie's colour."""
        return self._alpha

    # -- what is asked for ------------------------------------------------------------------------------------------

    def _choose_codec(self) -> str:
        able = _CODECS[self._path.suffix.lower()]
        codec = self._settings.codec or able[0]
        if codec not in able:
            raise InputError(f"{self._path.suffix} movies are written as {' or '.join(able)} here, not {codec}.")
        return codec

    def _check(self) -> None:
        if self._settings.content != "colour" or self._settings.layers:
            raise InputError(f"{self._path} cannot hold layers; write them to EXR, as in out.####.exr.")
        width, height = self._info.width, self._info.height
        if self._codec == "h264" and not self._wide_chroma and (width % 2 or height % 2):
            raise InputError(
                f"H.264 needs even sizes and the plate is {width}x{height}; write a .mov (ProRes) instead."
            )
        if self._codec == "dnxhr" and (width < 256 or height < 120):
            raise InputError(
                f"DNxHR needs 256x120 pixels or more and the plate is {width}x{height}; write a .mov instead."
            )
        for text in left_out(self._info, f"{self._path} ({self._codec})", alpha=self._alpha, timecode=True):
            self._note(text)
        if self._facts is not None and self._facts.audio:
            if not self._settings.audio:
                self._note("The sound is left out as asked.")
            elif not self._source.whole:  # type: ignore[attr-defined]
                self._note("The sound is left out, because only a part of the clip is written.")

    def _note(self, text: str) -> None:
        self.notes = (*self.notes, text)

    @property
    def _alpha(self) -> bool:
        return self._info.alpha and self._codec == "prores"

    @property
    def _wide_chroma(self) -> bool:
        """A 4:4:4 movie stays one."""
        return self._facts is not None and bool(re.match(r"yuva?444|gbr|rgb|bgr", self._facts.pixel_format))

    @property
    def _sample_aspect(self) -> Fraction:
        if self._facts is not None:
            return self._facts.sample_aspect
        return Fraction(self._info.pixel_aspect).limit_denominator(1000)

    @property
    def _sound(self) -> bool:
        facts = self._facts
        return facts is not None and facts.audio > 0 and self._settings.audio and len(self._frames) == len(facts.times)

    # -- segments ---------------------------------------------------------------------------------------------------

    def _fingerprint(self) -> str:
        job = [str(self._source.paths()[0]), self._frames, self._codec, str(self._rate), self._info.width]
        job += [self._info.height, self._alpha, self._wide_chroma]
        return hashlib.sha256(json.dumps(job).encode()).hexdigest()

    def _already_there(self) -> bool:
        return not self._folder.exists() and self._path.is_file() and _frames_of(self._path) == len(self._frames)

    def _segments(self) -> list[Path]:
        """Finished segments of this very movie that follow each other from its first frame on. Raises OSError."""
        mark = self._folder / "job"
        if not mark.is_file() or mark.read_text() != self._fingerprint():
            return []
        found, end = [], 0
        for entry in sorted(self._folder.iterdir()):
            name = _SEGMENT.fullmatch(entry.name)
            if name and int(name[1]) == end:
                found.append(entry)
                end = int(name[2])
        return found

    def _numbers_in(self, segment: Path) -> list[int]:
        first, _, end = segment.stem.partition("-")
        return self._frames[int(first) : int(end)]

    def _frames_in(self, segments: list[Path]) -> set[int]:
        return {number for segment in segments for number in self._numbers_in(segment)}

    def _take_folder(self) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            self._lock = FolderLock(self._folder, self._path)
            self._go_on_from(self._segments() if self._settings.resume else [])
        except OSError as error:
            if self._lock is not None:
                self._leave()
            raise write_error(self._path, error) from error

    def _go_on_from(self, kept: list[Path]) -> None:
        """Of the segments' folder, keep these alone. Raises OSError."""
        self._done = self._frames_in(kept)
        self._tidy(kept)
        if not kept:  # else it is there, and a full disk would leave it empty
            (self._folder / "job").write_text(self._fingerprint())

    def _tidy(self, kept: list[Path]) -> None:
        """Remove all but these segments and what says whose they are."""
        for entry in self._folder.iterdir():
            if entry not in kept and entry.name != FolderLock.NAME and not (kept and entry.name == "job"):
                entry.unlink()

    def path(self, number: int) -> Path:
        """The movie, for every frame."""
        return self._path

    def has(self, number: int) -> bool:
        """Whether the frame is in a finished segment, or the movie finished."""
        return self._finished or number in self._done

    def keep(self, numbers: Collection[int]) -> None:
        """Go on behind the finished segments of these frames alone, from the first frame on. Raises InputError."""
        known = set(numbers)
        if self._finished:
            if known.issuperset(self._frames):
                return
            self._finished = False
            self._take_folder()
        try:
            found = self._segments()
            self._go_on_from([*itertools.takewhile(lambda each: known.issuperset(self._numbers_in(each)), found)])
        except OSError as error:
            raise write_error(self._path, error) from error

    def write(
        self, frame: PlateFrame, pixels: FloatArray | None = None, layers: Mapping[str, FloatArray] | None = None
    ) -> None:
        """Write the next frame. Raises InputError."""
        if self._finished or self._closed:
            raise InputError(f"{self._path} is finished; no frame can be added.")
        if layers:
            raise InputError(f"{self._path} cannot hold layers; write them to EXR.")
        position = len(self._done) + len(self._open)
        expected = self._frames[position] if position < len(self._frames) else None
        if frame.number != expected:
            raise InputError(f"{self._path} expects frame {expected} next and was given {frame.number}.")
        height, width = frame.pixels.shape[:2]
        if pixels is None or pixels.shape != (height, width, 3):
            raise InputError(f"The coloured frame {frame.number} does not have the plate's size {width}x{height}.")
        codes = self._codes(frame, pixels)
        if self._encoder is None:
            self._start(codes.shape[1], codes.shape[0])
        assert self._encoder is not None
        assert self._encoder.stdin is not None
        try:
            left = codes.data.cast("B")
            while left:  # a pipe takes only a part where a signal comes between (Ctrl-Z)
                left = left[self._encoder.stdin.write(left) :]
        except OSError as error:
            raise self._failed() from error
        except BaseException:  # the segment ends in the middle of a frame
            self._drop_encoder()
            self._open = []
            raise
        self._open.append(frame.number)
        if len(self._open) >= self._settings.segment_frames:
            self._end_segment()

    def _codes(self, frame: PlateFrame, pixels: FloatArray) -> np.ndarray[Any, np.dtype[np.uint16]]:
        """Interleaved 16-bit code values on the display window."""
        multiplied = multiplied_alpha(frame) if self._alpha else None
        pixels = pixels if multiplied is None else divided(pixels, multiplied)
        planes = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
        if self._alpha:
            planes = np.concatenate([planes, self._alpha_of(frame)[..., None]], axis=-1)
        data, display = self._info.data, self._info.display
        if data != display:
            planes = place(planes, data, display)
        scaled = np.clip(planes, np.float32(0.0), np.float32(1.0)) * np.float32(65535.0)
        return np.ascontiguousarray(np.rint(scaled).astype("<u2"))

    def _alpha_of(self, frame: PlateFrame) -> FloatArray:
        held = frame.passthrough
        if isinstance(held, MovieFrame) and held.alpha is not None:
            return held.alpha
        if isinstance(held, PictureFrame):
            alpha = alpha_of(held)
            if alpha is not None:
                return alpha
        return np.ones(frame.pixels.shape[:2], np.float32)

    def _start(self, width: int, height: int) -> None:
        source = ffmpeg.input(
            "pipe:",
            format="rawvideo",
            pix_fmt="rgba64le" if self._alpha else "rgb48le",
            s=f"{width}x{height}",
            framerate=str(self._rate),
        )
        kind, options = self._encoding()
        matrix, primaries, transfer = self._tags()
        matrix_name = _MATRICES.get(matrix, "bt709")
        aspect = self._sample_aspect
        filters = (
            f"scale=in_range=pc:out_color_matrix={matrix_name}:out_range=tv:flags=accurate_rnd+full_chroma_int,"
            f"format={kind},setparams=range=tv:color_primaries={primaries}:color_trc={transfer}:colorspace={matrix},"
            f"setsar={aspect.numerator}/{aspect.denominator}"
        )
        assert self._rate is not None
        stream = source.output(
            as_file(self._folder / "open.mov"),
            vf=filters,
            color_primaries=primaries,
            color_trc=transfer,
            colorspace=matrix,
            color_range="tv",
            video_track_timescale=_timescale(self._rate),
            **options,
        )
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the encoder
        arguments = [word for word in command(stream) if word != "-nostdin"]
        self._encoder = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._errors, bufsize=0
        )

    def _encoding(self) -> tuple[str, dict[str, Any]]:
        """Pixel format and encoder options."""
        if self._codec == "prores":
            full = self._alpha or self._wide_chroma
            kind = "yuva444p10le" if self._alpha else "yuv444p10le" if full else "yuv422p10le"
            return kind, {"c:v": "prores_ks", "profile:v": 4 if full else 3, "vendor": "apl0"}
        if self._codec == "dnxhr":
            if self._wide_chroma:
                return "yuv444p10le", {"c:v": "dnxhd", "profile:v": "dnxhr_444"}
            return "yuv422p10le", {"c:v": "dnxhd", "profile:v": "dnxhr_hqx"}
        kind = "yuv444p" if self._wide_chroma else "yuv420p"
        # Without B-frames segments follow each other without a gap in time.
        return kind, {"c:v": "libx264", "crf": 14, "preset": "medium", "bf": 0}

    def _tags(self) -> tuple[str, str, str]:
        """Matrix, primaries and transfer of the output: those of the input movie, Rec.709 where it is untagged."""
        facts = self._facts
        if facts is None:
            return "bt709", "bt709", "bt709"
        matrix = facts.colorspace if facts.colorspace and facts.colorspace in _MATRICES else "bt709"
        return matrix, facts.primaries or "bt709", facts.transfer or "bt709"

    def _end_segment(self) -> None:
        encoder = self._encoder
        if encoder is None:
            return
        assert encoder.stdin is not None
        try:
            encoder.stdin.close()
        except OSError as error:
            raise self._failed() from error
        if encoder.wait() != 0:
            raise self._failed()
        self._drop_encoder()
        ended, self._open = self._open, []
        first, segment = len(self._done), self._folder / "open.mov"
        if _frames_of(segment) != len(ended):  # older ffmpegs end well on a disk that fills up at the very end
            raise write_error(self._path, "the encoder left a broken segment")
        try:
            os.replace(segment, self._folder / f"{first:07d}-{first + len(ended):07d}.mov")
        except OSError as error:
            raise write_error(self._path, error) from error
        self._done.update(ended)

    def _failed(self) -> InputError:
        """What the encoder died of."""
        if self._encoder is not None:
            with contextlib.suppress(OSError):
                if self._encoder.stdin is not None:
                    self._encoder.stdin.close()
            self._encoder.wait()
        said = ""
        if self._errors is not None:
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace")
        if not said.strip() and self._encoder is not None and self._encoder.returncode < 0:
            said = f"ffmpeg was ended by signal {-self._encoder.returncode}"
        self._drop_encoder()
        self._open = []
        return write_error(self._path, _reason(said))

    def _drop_encoder(self) -> None:
        if self._encoder is not None:
            if self._encoder.poll() is None:
                self._encoder.kill()
            with contextlib.suppress(OSError):
                if self._encoder.stdin is not None:
                    self._encoder.stdin.close()
            self._encoder.wait()
            self._encoder = None
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Put the segments together; the movie appears under its name.

        Raises InputError where frames are missing or the disk is full; finished segments stay.
        """
        if self._closed or self._finished:
            self._closed = True
            return
        try:
            self._end_segment()
            if len(self._done) != len(self._frames):
                missing = self._frames[len(self._done)]
                raise InputError(f"{self._path} was not finished: frame {missing} and later ones were not written.")
            self._join()
        except BaseException:
            self.suspend()
            raise
        self._closed = True
        self._done = set()
        self._leave()

    def _join(self) -> None:
        temporary = self._folder / f"joined{self._path.suffix}"  # where the next run clears it away
        try:
            (self._folder / _LIST).write_text("".join(f"file '{entry.name}'\n" for entry in self._segments()))
            problem = ""
            for sound in self._sound_options():
                problem = self._mux(temporary, sound)
                if not problem:
                    break
            if problem:
                raise write_error(self._path, _reason(problem))
            if self._path.suffix.lower() == ".mxf" and self._sample_aspect != 1:
                write_display_aspect(
                    temporary, self._sample_aspect * self._info.display.width / self._info.display.height
                )
            if _frames_of(temporary) != len(self._frames):
                raise write_error(self._path, "the joined movie lacks frames")
            if self._settings.fsync:
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except OSError as error:
            raise write_error(self._path, error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _sound_options(self) -> list[dict[str, Any] | None]:
        """Ways to carry the sound, best first: copied; else recoded to what the container holds."""
        if not self._sound:
            return [None]
        if self._path.suffix.lower() == ".mxf":
            return [{"c:a": "copy"}, {"c:a": "pcm_s24le", "ar": 48000}]
        recoded = {"c:a": "aac", "b:a": "320k"} if self._path.suffix.lower() == ".mp4" else {"c:a": "pcm_s24le"}
        return [{"c:a": "copy"}, recoded]

    def _mux(self, target: Path, sound: dict[str, Any] | None) -> str:
        """Run ffmpeg; what it complained of when it failed, else an empty text.

        It runs in the segments' folder: it looks for listed files beside the list, and misreads names like take#2.mov.
        """
        picture = ffmpeg.input(_LIST, format="concat", safe=0)
        streams = [picture["v:0"]]
        options: dict[str, Any] = {"c:v": "copy"}
        assert self._rate is not None
        if self._facts is not None:
            original = ffmpeg.input(str(self._facts.path.absolute()))
            if sound is not None:
                streams.append(original["a"])
                options.update(sound)
            else:
                # Only there for its metadata: ffmpeg-python leaves out an input that no stream comes from.
                options["metadata_from"] = str(self._facts.path.absolute())
            options["map_metadata"] = 1
        code = self._info.timecode
        if code is not None:
            if self._path.suffix.lower() == ".mkv":
                options["metadata"] = f"timecode={code}"
            else:
                options["timecode"] = code
        if self._path.suffix.lower() in (".mov", ".mp4"):
            options["video_track_timescale"] = _timescale(self._rate)
            options["movflags"] = "+write_colr"
        extra = options.pop("metadata_from", None)
        arguments = command(ffmpeg.output(*streams, target.name, **options))
        if extra is not None:
            where = arguments.index("-map") if "-map" in arguments else arguments.index("-c:v")
            arguments[where:where] = ["-i", extra]
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=self._folder)
        said = done.stderr.decode("utf-8", "replace")
        if done.returncode == 0 and target.is_file():
            return ""
        with contextlib.suppress(OSError):
            target.unlink()
        return said or "ffmpeg gave no reason"

    def suspend(self) -> None:
        """Finish the open segment and keep all of them for a sink with ``resume``; without any, nothing is left.

        A segment goes where its encoder failed, and an unfinished one of H.264: its frames lean on each other, so
        cutting it early would change their pixels. Raises InputError where the open segment cannot be finished.
        """
        if self._closed or self._finished:
            return
        self._closed = True
        try:
            if self._codec != "h264":
                self._end_segment()
        finally:
            self._drop_encoder()
            self._leave()

    def abort(self) -> None:
        """Drop everything; the movie does not appear."""
        if self._closed or self._finished:
            return
        self._closed = True
        self._done = set()
        self._drop_encoder()
        self._leave()

    def _leave(self) -> None:
        """Give the folder back, with what of it is done."""
        try:
            with contextlib.suppress(OSError):  # what cannot be removed is, when the folder is taken again
                self._tidy(self._segments() if self._done else [])
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None
        if not self._done:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> MovieSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.suspend()


def _frames_of(path: Path) -> int:
    """Frames of a movie; 0 where it cannot be read."""
    try:
        return len(probe(path).times)
    except InputError:
        return 0


def _timescale(rate: Fraction) -> int:
    """Ticks a second in which the length of a frame is a whole number."""
    return rate.numerator if rate.numerator >= 10_000 else rate.numerator * 1000


def _reason(said: str) -> str:
    lines = [re.sub(r"^\[[^\]]*\] ", "", line.strip()) for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"no space|denied|too large|quota|read-only", line, re.I)]
    return (telling or lines or ["ffmpeg gave no reason"])[0].rstrip(".")
