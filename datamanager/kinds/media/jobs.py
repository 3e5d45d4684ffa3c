"""The jobs that derive something from sound and video, by their names."""

__all__ = ["AUDIO_JOB", "HLS_JOB", "THUMBNAILS_JOB"]

AUDIO_JOB = "audio_preview"
"""Makes waveform peaks and the Opus preview of a sound."""
THUMBNAILS_JOB = "video_thumbnails"
"""Makes small pictures of a video's keyframes."""
HLS_JOB = "video_hls"
"""Makes the segments of a video's preview; of a chunk of a live stream what players take."""
