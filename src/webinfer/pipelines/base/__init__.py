"""What all tasks share: the pipeline, and how texts, images, labels and scores are read."""
