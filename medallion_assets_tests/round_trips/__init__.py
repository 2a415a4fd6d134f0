"""How many requests each act makes, and what it takes when every request is slow or fails."""
