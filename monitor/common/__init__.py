"""The ground that everything else stands on: it imports nothing of ours, so that `detectors` and `sinks` may use it."""
