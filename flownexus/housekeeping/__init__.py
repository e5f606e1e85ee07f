"""Repairs what was left behind and forgets what is old."""
