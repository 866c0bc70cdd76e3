"""Looks into encoded videos: their size and length, whether they are whole, and their first frame."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.base.errors import DataError
from orchestrator.data.arrays import Bytes8

if TYPE_CHECKING:
    import av

VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v")
"""Names of files that are taken for videos."""

# Playlists and scripts (HLS, concat) name other files and addresses, which FFmpeg would go and open.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,flv,asf"
_MOST_PIXELS = 1 << 26
_MISSING_SECONDS = 0.5


class UndecodableVideo(DataError):
    """The bytes are no video that can be decoded to its end."""

    code = "undecodable_video"


@dataclass(frozen=True)
class VideoInfo:
    """What a video is: frames, pixels, seconds, and frames a second (0 where the container does not say)."""

    frames: int
    height: int
    width: int
    seconds: float
    fps: float


@dataclass(frozen=True)
class _Extent:
    """What the packets of a video say: how many hold frames, where the last one ends, the last key packet."""

    packets: int
    seconds: float
    key: Any
    broken: bool


def probe(encoded: bytes | memoryview) -> VideoInfo:
    """Check a video from its first frame to its last packet, without decoding what lies between.

    The first frame and the last key frame are decoded and every packet is read: some milliseconds for a clip of ten
    seconds. That catches what is no video, an absent index, and a truncated file: fewer packets than the index says, a
    packet cut short, or (Matroska and WebM, which have no index of frames) packets that end more than half a second
    before the stated end. Not seen: what a transport stream lacks (it states no length), and flipped bits inside a
    frame, most of which decoders hide.

    Raises:
        UndecodableVideo: and why.
    """
    with _opened(encoded) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream), None)
        if frame is None:
            raise UndecodableVideo("not a whole video: it has no frame")
        if frame.width * frame.height > _MOST_PIXELS:
            raise UndecodableVideo(f"a video of {frame.width} x {frame.height} pixels; the most is {_MOST_PIXELS}")
        container.seek(0)
        extent = _extent(container, stream.index)
        _check_whole(container, stream, extent)
        _check_last_key(stream, extent)
        return VideoInfo(
            frames=extent.packets,
            height=frame.height,
            width=frame.width,
            seconds=_seconds(stream, extent),
            fps=float(stream.average_rate or 0),
        )


def first_frame(encoded: bytes | memoryview) -> Bytes8:
    """The first frame of a video, (H, W, 3) uint8 RGB.

    Raises:
        UndecodableVideo: there is none.
    """
    with _opened(encoded) as container:
        frame = next(container.decode(container.streams.video[0]), None)
        if frame is None:
            raise UndecodableVideo("not a whole video: it has no frame")
        return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


@contextmanager
def _opened(encoded: bytes | memoryview) -> Iterator[av.container.InputContainer]:
    """The container, with a video stream that is decoded in this thread; FFmpeg's errors become UndecodableVideo."""
    import av

    try:
        options = {"format_whitelist": _FORMATS}
        with av.open(io.BytesIO(encoded), mode="r", container_options=options) as container:
            if not container.streams.video:
                raise UndecodableVideo("a file without a video stream")
            decoder = container.streams.video[0].codec_context
            if decoder is None:
                raise UndecodableVideo("a video of a codec that is not known")
            decoder.thread_count = 1
            yield container
    except (av.FFmpegError, ValueError, EOFError, MemoryError) as error:
        raise UndecodableVideo(f"not a whole video: {_plain(error)}") from error


def _extent(container: av.container.InputContainer, video: int) -> _Extent:
    """Read every packet of all streams; only those of the video are counted."""
    packets, end, key, broken = 0, 0.0, None, False
    for packet in container.demux():
        if packet.size == 0:
            continue
        broken = broken or packet.is_corrupt
        if packet.pts is not None and packet.time_base is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index == video:
            packets += 1
            key = packet if packet.is_keyframe else key
    return _Extent(packets, end, key, broken)


def _check_whole(container: av.container.InputContainer, stream: av.VideoStream, extent: _Extent) -> None:
    if extent.broken:
        raise UndecodableVideo(f"truncated: packet {extent.packets} is cut short")
    if extent.packets < stream.frames:
        raise UndecodableVideo(f"truncated: {extent.packets} of {stream.frames} frames")
    stated = (container.duration or 0) / 1e6
    if not stream.frames and extent.seconds < stated - _MISSING_SECONDS:
        raise UndecodableVideo(f"truncated: {extent.seconds:.1f} of {stated:.1f} seconds")


def _check_last_key(stream: av.VideoStream, extent: _Extent) -> None:
    if extent.key is None:
        raise UndecodableVideo("not a whole video: it has no key frame")
    decoder = stream.codec_context
    decoder.flush_buffers()
    if not [*decoder.decode(extent.key), *decoder.decode(None)]:
        raise UndecodableVideo("not a whole video: its last key frame cannot be decoded")


def _seconds(stream: av.VideoStream, extent: _Extent) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return extent.seconds


def _plain(error: Exception) -> str:
    """FFmpeg's message without the error number and the name of the file that is none."""
    return str(getattr(error, "strerror", None) or error or "it ends too early")
