"""The types of values in a definition, as JSON Schemas and as rules for inputs."""
