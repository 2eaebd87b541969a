"""What a session means: read sessions, write sessions, streams, instances."""
