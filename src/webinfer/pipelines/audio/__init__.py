"""Tasks over recordings: speech recognition by Whisper-type and CTC models."""
