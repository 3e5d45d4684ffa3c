"""What workers derive from sound and video: waveforms, previews, thumbnails of keyframes, HLS."""
