"""Files that commands read and write: inputs, outputs, vectors, annotated images."""
