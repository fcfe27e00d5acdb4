"""A stretch of the events topic written once more: without the group, and without moving its offsets."""
