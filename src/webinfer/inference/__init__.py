"""A loaded model: requests built, sessions made, results assembled."""
