"""How fast rows move, and how much memory that takes: see README.md here."""
