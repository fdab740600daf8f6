"""Routes that are nobody else's: health, metrics, the dashboard."""
