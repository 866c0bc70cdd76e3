import io
import os
import tarfile
from pathlib import Path

import av
import numpy as np
import pytest

from orchestrator.data.video import UndecodableVideo, VideoInfo, first_frame, probe


def clip(folder: Path, suffix: str, codec: str, frames: int = 20, **options: str) -> bytes:
    """A clip of 48x64 noise at 10 frames a second."""
    path = folder / f"clip{suffix}"
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


KINDS = [
    pytest.param(".mp4", "libx264", {}, id="mp4"),
    pytest.param(".mp4", "libx264", {"movflags": "faststart"}, id="mp4 with its index first"),
    pytest.param(".mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}, id="fragmented mp4"),
    pytest.param(".webm", "libvpx", {}, id="webm"),
    pytest.param(".mkv", "libx264", {}, id="mkv"),
    pytest.param(".avi", "mpeg4", {}, id="avi"),
]


@pytest.mark.parametrize(("suffix", "codec", "options"), KINDS)
def test_a_whole_video_says_its_frames_size_and_length(
    tmp_path: Path, suffix: str, codec: str, options: dict[str, str]
) -> None:
    info = probe(memoryview(clip(tmp_path, suffix, codec, **options)))
    assert info == VideoInfo(frames=20, height=48, width=64, seconds=pytest.approx(2.0, abs=0.21), fps=10.0)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.7])
@pytest.mark.parametrize(("suffix", "codec", "options"), KINDS)
def test_a_truncated_video_is_refused(
    tmp_path: Path, suffix: str, codec: str, options: dict[str, str], part: float
) -> None:
    whole = clip(tmp_path, suffix, codec, **options)
    with pytest.raises(UndecodableVideo, match=r"truncated|not a whole video"):
        probe(whole[: int(len(whole) * part)])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk" * 1000,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
    ],
    ids=["nothing", "junk", "a playlist of other files", "a script of other files"],
)
def test_what_is_no_video_is_refused(content: bytes) -> None:
    with pytest.raises(UndecodableVideo, match="not a whole video"):
        probe(content)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UndecodableVideo, match="without a video stream"):
        probe(path.read_bytes())


def test_the_first_frame_is_decoded_to_rgb(tmp_path: Path) -> None:
    frame = first_frame(clip(tmp_path, ".avi", "mpeg4", 3))
    assert (frame.shape, frame.dtype) == ((48, 64, 3), np.uint8)


def test_real_clips_of_ten_seconds_are_probed() -> None:
    folder = os.environ.get("ORCHESTRATOR_TEST_DATA")
    if folder is None:
        pytest.skip("ORCHESTRATOR_TEST_DATA is unset: no real videos here")
    archive = next(path for path in sorted(Path(folder).glob("*.tar*")) if "video" in path.name)
    found = {}
    with tarfile.open(archive) as members:
        for member in members:
            if member.name.endswith(".mp4"):
                content = members.extractfile(member)
                assert content is not None
                found[os.path.basename(member.name)] = probe(io.BytesIO(content.read()).getvalue())
    assert {(info.frames, info.height, info.width) for info in found.values()} == {
        (280, 256, 340),
        (57, 256, 340),
        (300, 256, 340),
        (300, 240, 426),
    }
