"""One stack per file. What a stack needs of another is handed to it by the app."""
