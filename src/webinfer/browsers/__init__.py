"""Finding, installing, starting and ending browsers. Nothing here knows what runs inside of them."""
