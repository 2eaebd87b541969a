"""Tables at rest: catalog, snapshots, plans, scans, commits. No HTTP, no sessions."""
