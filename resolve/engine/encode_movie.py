"""Write numbered EXR frames into one QuickTime movie. Runs in the engine's Python, not in Resolve's.

Usage: encode_movie.py PATTERN FIRST COUNT MOVIE prores4444|dnxhr RATE

Code values pass as they are (no colour conversion): what Resolve rendered in the timeline's output space is what a
movie of that timeline holds. Values outside 0..1 do not fit into a movie: they are clipped, counted and told.
"""

import os
import subprocess
import sys
import tempfile
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import OpenImageIO as oiio  # noqa: N813 - its usual name

CODECS = {
    "prores4444": ["-c:v", "prores_ks", "-profile:v", "4", "-vendor", "apl0", "-pix_fmt", "yuv444p10le"],
    "dnxhr": ["-c:v", "dnxhd", "-profile:v", "dnxhr_444", "-pix_fmt", "yuv444p10le"],
}
RATES = {
    "23.976": "24000/1001",
    "23.98": "24000/1001",
    "29.97": "30000/1001",
    "59.94": "60000/1001",
    "47.952": "48000/1001",
}


def read_frame(path: str) -> np.ndarray:
    """(H, W, 3) float32 of the first three channels; raises SystemExit with a sentence."""
    found = oiio.ImageInput.open(path)
    if found is None:
        raise SystemExit(f"{path} cannot be read: {oiio.geterror()}")
    try:
        pixels = found.read_image(0, 0, 0, 3, oiio.FLOAT)
    finally:
        found.close()
    if pixels is None:
        raise SystemExit(f"{path} is broken")
    return np.asarray(pixels, dtype=np.float32)[..., :3]


def main(arguments: list[str]) -> int:
    """Encode; 0 when the movie is whole."""
    pattern, first, count, movie, codec, rate = arguments
    numbers = range(int(first), int(first) + int(count))
    frame_rate = str(Fraction(RATES.get(rate.split()[0], rate.split()[0])))
    folder, name = os.path.split(pattern)
    size = read_frame(os.path.join(folder, name % numbers[0])).shape
    handle, temporary = tempfile.mkstemp(prefix=".colormnet-", suffix=".mov", dir=os.path.dirname(movie))
    os.close(handle)
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    scale = "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb48le"]
    command += ["-s", f"{size[1]}x{size[0]}", "-r", frame_rate, "-i", "-", "-vf", f"{scale},{tags}"]
    command += [*CODECS[codec], temporary]
    clipped = 0
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in numbers:
            pixels = read_frame(os.path.join(folder, name % number))
            if pixels.shape != size:
                raise SystemExit(
                    f"frame {number} is {pixels.shape[1]}x{pixels.shape[0]}, the first {size[1]}x{size[0]}"
                )
            clipped += int(np.count_nonzero(~((pixels >= 0.0) & (pixels <= 1.0)).all(axis=-1)))
            codes = np.rint(np.clip(np.nan_to_num(pixels), 0.0, 1.0) * 65535.0).astype("<u2")
            process.stdin.write(codes.tobytes())
        said = process.communicate()[1].decode("utf-8", "replace").strip()
        if process.returncode != 0:
            raise SystemExit(said.splitlines()[-1] if said else "ffmpeg failed")
        os.replace(temporary, movie)
    except BrokenPipeError:
        raise SystemExit(process.communicate()[1].decode("utf-8", "replace").strip() or "ffmpeg stopped") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    if clipped:
        print(f"warning: {clipped} pixels outside 0..1 were clipped for the movie; EXR delivery keeps them.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
