"""What turns texts, images and recordings into tensors, as a model's own files say."""
