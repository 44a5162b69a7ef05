"""Tasks over text: feature extraction, similarity, classification, masks, generation."""
