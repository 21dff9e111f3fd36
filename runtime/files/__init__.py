"""Files that are whole, or not there: written in one step, sealed with a digest, read with suspicion."""
