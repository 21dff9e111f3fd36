"""The report of a training: one HTML page that needs nothing beside itself."""
