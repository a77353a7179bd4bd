"""Opening audio files that strangers made: decoded whole to one channel, or one clear error."""

import io
import re
import shlex
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from csa.errors import DataError
from csa.extras import needed_for
from csa.modalities.base import Kind
from csa.modalities.drawing import waveform

if TYPE_CHECKING:
    from PIL.Image import Image

READ = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff"})
"""Endings (lower case) of audio that is decoded."""
_UNREAD = frozenset({".m4a", ".aac", ".wma"})
SUFFIXES = READ | _UNREAD
"""Endings by which audio files are recognised in a folder; those of AAC and WMA too, so that a line
says how they are converted.
"""
MIN_SECONDS, MAX_SECONDS = 0.05, 600.0
_SILENT_PEAK = 1e-4  # -80 dB of full scale: below the noise of any recording
_CONTENT_SHARE = 0.98  # of the frames that an MP3's header promises; its encoder's padding may lack
_LOUD_PEAK, _QUIET_PEAK = 1.5, 1e-3
_LOUDEST_PEAK = 16.0  # 24 dB above full scale: more than any mix, less than integers as floats
_BLOCK = 1 << 20
_HEAD = 1 << 16
_PLACEHOLDER = 0x7FFF0000
_DATA_CHUNK = re.compile(r"^\s*data\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
# the length of a WAV file that was piped: unknown when its header was written
_STREAMED = 2**32 - 2**16


@dataclass(frozen=True, eq=False)
class Recording:
    """Sound of one channel.

    Args:
        samples: shape (n,), float32, full scale is [-1, 1].
        rate: samples a second.
    """

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    def at(self, rate: int) -> NDArray[np.float32]:
        """The samples at another rate (soxr, high quality), shape (about seconds * rate,)."""
        if rate == self.rate:
            return self.samples
        with needed_for("audio at another rate", DataError):
            import soxr

        resampled: NDArray[np.float32] = soxr.resample(self.samples, self.rate, rate)
        return resampled


class Audio(Kind):
    """Sound: a whole recording of one channel."""

    name, plural, feature = "audio", "audio", "Audio"
    suffixes = SUFFIXES
    members = frozenset(ending.removeprefix(".") for ending in READ)

    def decode(self, file: BinaryIO, name: str, max_pixels: int) -> Recording:
        """See `Kind.decode`."""
        return decode_audio(file, name)

    def holds(self, item: Any, name: str) -> bool:
        """See `Kind.holds`."""
        return isinstance(item, Recording)

    def preview(self, item: Any, name: str) -> "Image":
        """See `Kind.preview`; its waveform."""
        return waveform(item.samples, item.seconds, name)

    def scale(self, item: Any) -> tuple[str, float] | None:
        """See `Kind.scale`; its peak."""
        return "peak", float(np.abs(item.samples).max())

    def scale_notes(self, view: str, scales: Sequence[tuple[str, float]]) -> list[str]:
        """See `Kind.scale_notes`; what is far above full scale or far below."""
        peaks = [peak for _, peak in scales]
        loud = [peak for peak in peaks if peak > _LOUD_PEAK]
        quiet = [peak for peak in peaks if peak < _QUIET_PEAK]
        said = [(loud, f"go beyond full scale, up to {max(loud, default=0):.3g} times")]
        said += [(quiet, f"reach no more than {max(quiet, default=0):.2g} of full scale")]
        return [
            f"{len(found)} of {len(peaks)} sounds of view {view!r} {words}; were they written at "
            f"another scale?"
            for found, words in said
            if found
        ]


def decode_audio(file: BinaryIO, name: str) -> Recording:
    """Decode WAV, FLAC, MP3, Ogg Vorbis, Opus or AIFF; channels are averaged.

    Args:
        file: open and seekable.
        name: what errors call it.

    Returns:
        The whole recording, one channel, at the rate of the file.

    Raises:
        DataError: not audio, damaged or cut off, empty, silent, with NaN, far above full scale,
            shorter than 0.05 s or longer than 600 s; or the extra `audio` is not installed.
    """
    try:
        with needed_for(f"{name}: audio", DataError):
            import soundfile
    except OSError as error:
        raise DataError(
            f"{name}: soundfile finds no libsndfile ({error}); install that library"
        ) from None
    try:
        with soundfile.SoundFile(_measured(file)) as opened:
            recording = Recording(_read(opened, name), int(opened.samplerate))
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        if PurePath(name).suffix.lower() in _UNREAD:
            raise DataError(
                f"{name}: AAC and WMA are not decoded here; convert it, for example: ffmpeg -i "
                f"{shlex.quote(name)} {shlex.quote(str(PurePath(name).with_suffix('.wav')))}"
            ) from None
        raise DataError(
            f"{name}: not audio that can be decoded ({_plain(error)}); fetch it again, or drop "
            f"its row"
        ) from None
    _check(recording, name)
    return recording


def _measured(file: BinaryIO) -> BinaryIO:
    """A WAV file whose header says how long it is; one that was piped holds a placeholder."""
    head = file.read(_HEAD)
    size = file.seek(0, 2)
    at = head.find(b"data")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and 0 < at <= len(head) - 16:
        (length,) = struct.unpack("<I", head[at + 4 : at + 8])
        rest = size - at - 8
        (next_length,) = struct.unpack("<I", head[at + 12 : at + 16])
        is_empty = length == 0 and next_length + 8 == rest  # another chunk follows
        if (length == 0 and rest > 0 and not is_empty) or length >= _PLACEHOLDER > rest:
            file.seek(at + 8)
            sizes = (struct.pack("<I", at + rest), struct.pack("<I", rest))
            whole = head[:4] + sizes[0] + head[8 : at + 4] + sizes[1] + file.read()
            return io.BytesIO(whole)
    file.seek(0)
    return file


def _read(opened: Any, name: str) -> NDArray[np.float32]:
    promised = opened.frames / opened.samplerate
    if promised > MAX_SECONDS:
        raise DataError(
            f"{name}: {promised:.0f} s of audio, more than {MAX_SECONDS:.0f}; cut it into clips"
        )
    parts = [np.zeros(0, np.float32)]
    # Not SoundFile.blocks: where a file ends early it hands out what the buffer held before.
    while len(block := opened.read(_BLOCK, dtype="float32", always_2d=True)):
        parts.append(block.mean(axis=1))
    samples = np.concatenate(parts)
    if len(samples) < _CONTENT_SHARE * opened.frames or _cut_off(opened.extra_info):
        raise DataError(f"{name}: the audio is cut off or damaged; fetch it again, or drop its row")
    return np.ascontiguousarray(samples, dtype=np.float32)


def _cut_off(log: str) -> bool:
    """Whether the decoder met less than a WAV's header promises, or no end of an Ogg stream."""
    chunk = _DATA_CHUNK.search(log)
    return "File ended unexpectedly" in log or bool(
        chunk and int(chunk[2]) < int(chunk[1]) < _STREAMED
    )


def _check(recording: Recording, name: str) -> None:
    samples = recording.samples
    if not np.isfinite(samples).all():
        raise DataError(f"{name}: the audio holds NaN or infinity; fetch it again, or drop its row")
    if recording.seconds < MIN_SECONDS:
        raise DataError(
            f"{name}: {len(samples)} samples of audio; at least {MIN_SECONDS} s are needed, so "
            f"drop its row"
        )
    peak = float(np.abs(samples).max())
    if peak > _LOUDEST_PEAK:
        raise DataError(
            f"{name}: samples up to {peak:,.0f}, where full scale is 1; were whole numbers written "
            f"as floating point? Divide by 32,768, or drop its row"
        )
    if peak < _SILENT_PEAK:
        raise DataError(f"{name}: the audio is silent; fetch it again, or drop its row")


def _plain(error: BaseException) -> str:
    """The decoder's words without what differs from run to run."""
    return re.sub(r"^Error opening .*?: ", "", " ".join(str(error).split())).rstrip(".")
