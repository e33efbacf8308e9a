"""Footage in and out: image sequences through OpenImageIO, movies through ffmpeg."""
