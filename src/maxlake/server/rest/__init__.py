"""The part of the core REST surface that PyODPS entry objects need (rest.md)."""
